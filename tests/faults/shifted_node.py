"""A site's node on a machine whose clock is an hour ahead: what it signs carries the wrong time."""

from __future__ import annotations

from datetime import datetime, timedelta

from flwr.supernode import node_auth_http_interceptor as signing

from gaitkeeper_client.agent import node

_right = signing.now


def _wrong() -> datetime:
    return _right() + timedelta(hours=1)


def main() -> None:
    """Entry point of the child process."""
    vars(signing)["now"] = _wrong
    node.main()


if __name__ == "__main__":
    main()
