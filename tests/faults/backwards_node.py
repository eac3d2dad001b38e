"""A site's node whose replies come in parts that are out of order: the last part first, and each of them twice."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any

import httpx
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError
from flwr.supernode import start_client_internal as worker

from gaitkeeper_client.agent import node

SAID = "parts backwards"
_log = logging.getLogger("tests.faults")


def _push(parts: Iterable[tuple[str, bytes]], push_object_fn: Callable[[str, bytes], None], **_: Any) -> None:
    whole = list(parts)
    for name, content in reversed(whole):
        push_object_fn(name, content)
        # The part again, which the coordinator has by now: it may say so.
        with contextlib.suppress(ObjectPushError, httpx.HTTPError):
            push_object_fn(name, content)
    _log.warning("%d %s", len(whole), SAID)


def main() -> None:
    """Entry point of the child process."""
    vars(worker)["push_object_contents_from_iterable"] = _push
    node.main()


if __name__ == "__main__":
    main()
