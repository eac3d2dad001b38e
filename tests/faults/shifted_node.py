"""A site's node on a machine whose clock is an hour off: what it signs carries the wrong time."""

from __future__ import annotations

from datetime import datetime, timedelta

from flwr.supernode import node_auth_http_interceptor as signing

from gaitkeeper_client.agent import node

AHEAD = timedelta(hours=1)
_right = signing.now


def main(by: timedelta = AHEAD) -> None:
    """Entry point of the child process."""

    def wrong() -> datetime:
        return _right() + by

    vars(signing)["now"] = wrong
    node.main()


if __name__ == "__main__":
    main()
