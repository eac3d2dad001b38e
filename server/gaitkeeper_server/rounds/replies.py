"""The deployment's Flower grid, which no single site's reply can hold up or bring down.

Flower's own grid fetches the parts of a reply until they are all there, for up to two hours, and raises whatever a
malformed part raises. Here a reply whose parts are still under way waits beside the others, a broken one becomes an
error of its sender, and who sent it and what it answers is what the SuperLink checked, not what the parts say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import httpx
from flwr.app import Error, Message, Metadata
from flwr.app.message import make_message
from flwr.common.constant import ErrorCode
from flwr.common.serde_utils import metadata_from_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_pull_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, inflate_object_from_contents, pull_objects
from flwr.superlink.grid import HttpGrid

_LOOK_AGAIN_S = 0.25
"""Between looks for the parts of one reply."""
_LONGEST_REASON = 200
_AT_ONCE = 8
"""Replies that are unpacked at a time: memory does not grow with the number of sites that answer at once."""


@dataclass(slots=True)
class _Arriving:
    """A reply of which not every part is known to be there."""

    metadata: Metadata
    tree: ObjectTree
    parts: dict[str, bytes] = field(default_factory=dict)
    gone: str = ""
    """Why it can never be whole."""
    look_at: float = 0.0


class ReplyGrid(HttpGrid):
    """A grid whose ``pull_messages`` returns at once with the replies that are whole, or known to be broken."""

    _arriving: dict[str, _Arriving] | None = None
    """By the id of the message that is answered."""

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Replies to ``message_ids``. What is asked for no longer is forgotten."""
        wanted = dict.fromkeys(message_ids)
        arriving = {key: reply for key, reply in (self._arriving or {}).items() if key in wanted}
        self._arriving = arriving
        open_ids = [item for item in wanted if item not in arriving]
        untouched = any(reply.look_at == 0.0 for reply in arriving.values())
        if open_ids and not untouched:
            # The SuperLink forgets a message when it has told of the reply: it is asked for each one once.
            response = self._runtime_client.PullMessages(PullAppMessagesRequest(message_ids=open_ids))
            for proto, tree in zip(response.messages_list, response.message_object_trees, strict=True):
                metadata = metadata_from_proto(proto.metadata)
                if metadata.reply_to_message_id in wanted:
                    arriving[metadata.reply_to_message_id] = _Arriving(metadata, tree)
        whole: list[Message] = []
        for key, reply in list(arriving.items()):
            if len(whole) == _AT_ONCE:
                break
            message = self._look(reply)
            if message is not None:
                del arriving[key]
                whole.append(message)
        return whole

    def _look(self, reply: _Arriving) -> Message | None:
        if time.monotonic() < reply.look_at:
            return None
        missing = [tree.object_id for tree in iterate_object_tree(reply.tree) if tree.object_id not in reply.parts]
        try:
            pull_objects(list(dict.fromkeys(missing)), self._fetch(reply), max_tries_per_object=1)
        except ObjectPullError:
            if not reply.gone:
                reply.look_at = time.monotonic() + _LOOK_AGAIN_S
                return None
        message = _broken(reply, reply.gone) if reply.gone else _unpacked(reply)
        self._runtime_client.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(
                node=self.node, run_id=self.run.run_id, message_object_id=reply.metadata.message_id
            )
        )
        return message

    def _fetch(self, reply: _Arriving) -> Callable[[str], bytes]:
        fetch = make_pull_object_fn_protobuf(self._runtime_client.PullObject, self.node, self.run.run_id)

        def kept(object_id: str) -> bytes:
            try:
                reply.parts[object_id] = fetch(object_id)
            except ObjectPullError as error:
                reply.gone = f"a part of it was not sent: {error}"
                raise
            except httpx.HTTPStatusError as error:
                if error.response.status_code != httpx.codes.REQUEST_ENTITY_TOO_LARGE:
                    raise
                reply.gone = "a part of it is too large"
                raise ObjectPullError(object_id, reply.gone) from error
            return reply.parts[object_id]

        return kept


def _unpacked(reply: _Arriving) -> Message:
    try:
        message = inflate_object_from_contents(reply.metadata.message_id, reply.parts)
        if not isinstance(message, Message):
            raise TypeError("no message")
        if message.has_error():
            return make_message(metadata=reply.metadata, error=message.error)
        return make_message(metadata=reply.metadata, content=message.content)
    except Exception as error:
        # Whatever Flower raises over a stranger's bytes is that stranger's error.
        return _broken(reply, f"it cannot be unpacked ({type(error).__name__})")


def _broken(reply: _Arriving, why: str) -> Message:
    reason = f"Its reply cannot be used: {why}"[:_LONGEST_REASON]
    return make_message(metadata=reply.metadata, error=Error(ErrorCode.MESSAGE_UNAVAILABLE, reason))
