"""The requests of which a round is made, answered by Flower's own checks and handlers without the web framework.

Each message is cut into objects and each object is a request; through FastAPI and five middlewares it costs three
times what Flower's work in it does. Here the same functions are called one after the other: who asks is checked by
``authenticate_node`` or ``get_task``, what is answered comes from Flower's handler. Whatever is not plain, a refusal
first of all, goes the long way, so that nobody is told anything here that Flower would not say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from flwr.supercore.constant import TASK_TOKEN_HEADER
from flwr.supercore.dependencies.runtime import get_runtime_handlers, get_runtime_state, get_task
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from flwr.superlink.dependencies.linkstate import get_linkstate
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from flwr.superlink.servicer.fleet import fleet_handlers
from starlette.requests import Request

if TYPE_CHECKING:
    from fastapi import FastAPI
    from google.protobuf.message import Message

_FLEET, _RUNTIME = "/v1/fleet/", "/v1/runtime/"
_MEDIA_TYPE = PROTOBUF_MEDIA_TYPE.encode("ascii")
_log = logging.getLogger("gaitkeeper.superlink")


def _fleet(name: str) -> Callable[[Request, Any], Message]:
    with_store = name in ("pull_messages", "confirm_message_received")
    handler: Callable[..., Message] = getattr(fleet_handlers, name)

    def answer(request: Request, asked: Any) -> Message:
        authenticate_node(request)
        state = get_linkstate(request)
        if with_store:
            return handler(request=asked, state=state, store=state.object_store)
        return handler(request=asked, state=state)

    return answer


def _runtime(name: str) -> Callable[[Request, Any], Message]:
    def answer(request: Request, asked: Any) -> Message:
        state = get_runtime_state(request)
        task = get_task(request, request.headers.get(TASK_TOKEN_HEADER), state)
        handler: Callable[..., Message] = getattr(get_runtime_handlers(request), name)
        return handler(asked, state, task)

    return answer


_ANSWERS: Mapping[str, Callable[[Request, Any], Message]] = {
    **{
        _FLEET + name.replace("_", "-"): _fleet(name)
        for name in ("pull_messages", "push_messages", "pull_object", "push_object", "confirm_message_received")
    },
    **{
        _RUNTIME + name.replace("_", "-"): _runtime(name)
        for name in (
            "pull_messages",
            "push_messages",
            "pull_object",
            "push_object",
            "confirm_message_received",
            "get_nodes",
        )
    },
}


class ShortRoad:
    """Answers the requests of a round; says None to everything that the application itself has to answer."""

    def __init__(self, application: FastAPI) -> None:
        self._application = application

    def answer(self, scope: MutableMapping[str, Any], body: bytes) -> bytes | None:
        """The body of an answer with status 200, or None.

        Runs on the event loop: a handler takes two milliseconds, changing to a thread and back takes longer.
        """
        path = scope["path"]
        how = _ANSWERS.get(path)
        if how is None or not _is_protobuf(scope):
            return None
        request = Request({**scope, "app": self._application, "state": {}})
        asked = PROTOBUF_REQUEST_TYPES["POST", path]()
        try:
            asked.ParseFromString(body)
            request.state.protobuf_request = asked
            return how(request, asked).SerializeToString()
        except Exception as error:
            # The long way finds the same, and has Flower's words for it.
            _log.debug("%s: %s", path, type(error).__name__)
            return None


def _is_protobuf(scope: MutableMapping[str, Any]) -> bool:
    if scope["method"] != "POST":
        return False
    return any(name == b"content-type" and value == _MEDIA_TYPE for name, value in scope["headers"])
