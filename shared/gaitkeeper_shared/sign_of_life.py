"""Signs of life of whoever works on one of Flower's tasks: without them it is given up, and given to another."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gaitkeeper_shared.background import in_background

if TYPE_CHECKING:
    from flwr.supercore.runtime import RuntimeHttpClient

_EVERY_S = 10.0
"""A task's claim lapses after 30 s without a sign of life, later after 60 s (flwr's constants)."""


@contextlib.contextmanager
def sign_of_life(client: RuntimeHttpClient, log: logging.Logger) -> Iterator[None]:
    """Say every ten seconds, until the block ends, that the task of ``client`` is being worked on. That it could not be
    said is logged, and said again the next time."""
    import httpx
    from flwr.proto.runtime_pb2 import SendTaskHeartbeatRequest

    def beat(over: threading.Event) -> None:
        while not over.wait(_EVERY_S):
            try:
                client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
            except (httpx.HTTPError, ValueError) as error:
                log.warning("no sign of life could be given: %s", type(error).__name__)

    with in_background(beat, "sign-of-life", patience_s=_EVERY_S):
        yield
