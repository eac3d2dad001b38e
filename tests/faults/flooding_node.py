"""A node that floods the coordinator in place of its site's replies: many and large objects, and all at once."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Any

import httpx
import numpy as np
from flwr.app import ArrayRecord, RecordDict
from flwr.app.message import make_message, remove_content_from_message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import PushMessagesRequest, PushMessagesResponse
from flwr.proto.message_pb2 import ObjectTree, PushObjectRequest
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supernode.fleet_http_client import FleetHttpClient

from gaitkeeper_client.agent import node

PART_BYTES, PARTS = 8 << 20, 12
"""Of a reply: three times of what a site may leave in memory for a small model."""
LARGE_BYTES, AT_ONCE = 60 << 20, 4
OBJECTS, ANNOUNCED = 5_000, 10
_push = FleetHttpClient.PushMessages


def flood(client: FleetHttpClient, request: PushMessagesRequest) -> PushMessagesResponse:
    """Send a reply of the right form that is far too large, then far too many names, then much at the same time."""
    reply = message_from_proto(request.messages_list[0])
    parts = {str(i): ArrayRecord([np.frombuffer(os.urandom(PART_BYTES), np.uint8)]) for i in range(PARTS)}
    made = make_message(reply.metadata, RecordDict(parts))
    vars(made.metadata)["_message_id"] = made.object_id
    tree, objects = get_object_tree(made), get_all_nested_objects(made)
    announcement = PushMessagesRequest(
        node=request.node,
        messages_list=[message_to_proto(remove_content_from_message(made))],
        message_object_trees=[tree],
    )
    said = _push(client, announcement)
    for item in said.objects_to_push:
        _send(client, request, said.session_id, item, objects[item].deflate())
    for turn in range(ANNOUNCED):
        announcement.message_object_trees[0].CopyFrom(tree)
        names = (ObjectTree(object_id=f"{turn:032x}{i:032x}") for i in range(OBJECTS))
        announcement.message_object_trees[0].children.extend(names)
        with contextlib.suppress(httpx.HTTPError):
            said = _push(client, announcement)
    body = os.urandom(LARGE_BYTES)
    threads = [
        threading.Thread(target=_send, args=(client, request, said.session_id, f"{i:064x}", body))
        for i in range(AT_ONCE)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(0.2)
    return PushMessagesResponse()


def _send(client: FleetHttpClient, request: PushMessagesRequest, session: str, item: str, content: bytes) -> Any:
    metadata = request.messages_list[0].metadata
    part = PushObjectRequest(
        node=request.node, run_id=metadata.run_id, object_id=item, object_content=content, session_id=session
    )
    with contextlib.suppress(httpx.HTTPError):
        client.PushObject(part)


def main() -> None:
    """Entry point of the child process."""
    FleetHttpClient.PushMessages = flood  # type: ignore[method-assign]
    node.main()


if __name__ == "__main__":
    main()
