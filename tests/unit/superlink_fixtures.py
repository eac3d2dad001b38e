"""The application of a SuperLink without its ports, and what its callers show, begin and announce there."""

from __future__ import annotations

import base64
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from flwr.app import Message
from flwr.app.message import remove_content_from_message
from flwr.common.constant import NOOP_FLWR_AID, TIMESTAMP_HEADER
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.node_pb2 import Node
from flwr.server.superlink.linkstate.linkstate import LinkState
from flwr.supercore.constant import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    FLEET_HTTP_SIGNATURE_HEADER,
    NOOP_FEDERATION_ID,
    TaskType,
)
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import get_object_tree
from flwr.supercore.primitives.asymmetric import generate_key_pairs, public_key_to_bytes, sign_message

from gaitkeeper_server.rounds.gate import EnrolledKeys
from gaitkeeper_server.rounds.short_road import ShortRoad
from gaitkeeper_server.rounds.superlink import SuperLinkSettings, _application, synchronise_nodes


def signed_by(key: EllipticCurvePrivateKey, shown: bytes | None = None) -> dict[str, bytes]:
    """The headers of a node's request; ``shown``: another public key than that of ``key``."""
    moment = now().isoformat()
    return {
        FLEET_HTTP_PUBLIC_KEY_HEADER: base64.b64encode(shown or public_key_to_bytes(key.public_key())),
        FLEET_HTTP_SIGNATURE_HEADER: base64.b64encode(sign_message(key, moment.encode())),
        TIMESTAMP_HEADER: moment.encode(),
    }


def announced(node: int, message: Message) -> PushMessagesRequest:
    """What a node says of a message before it sends the parts: the envelope, and the names of all objects. The message
    gets its name by this."""
    vars(message.metadata)["_message_id"] = message.object_id
    return PushMessagesRequest(
        node=Node(node_id=node),
        messages_list=[message_to_proto(remove_content_from_message(message))],
        message_object_trees=[get_object_tree(message)],
    )


@dataclass(frozen=True, slots=True)
class RunUnderWay:
    """Flower's number of a run, the task that conducts it, and the token of whoever does."""

    number: int
    task: int
    token: str


class SuperLink:
    """The application of a SuperLink with one enrolled site, without its ports."""

    def __init__(self) -> None:
        nowhere = Path("nowhere")
        self.application = _application(SuperLinkSettings("127.0.0.1", 1, nowhere, nowhere, 2, "secret"))
        self.state: LinkState = self.application.state.linkstate_factory.state()
        self.keys, self.key = EnrolledKeys(), generate_key_pairs()[0]
        self.enrol()

    @property
    def public_key(self) -> bytes:
        return public_key_to_bytes(self.key.public_key())

    def enrol(self) -> None:
        synchronise_nodes(self.state, self.keys, {"clinic-a": self.public_key})

    def begin_run(self) -> RunUnderWay:
        """Begin a run, as a conductor that has taken its task."""
        number = self.state.create_run("", "", "", {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TaskType.SERVER_APP)
        task = self.state.get_run_info(run_ids=[number])[0].primary_task_id
        assert task is not None
        token = self.state.claim_task(task)
        assert token is not None
        assert self.state.activate_task(task)
        return RunUnderWay(number, task, token)

    def ask(self, path: str, body: bytes, headers: dict[str, bytes], kind: bytes = b"application/protobuf") -> Any:
        scope: MutableMapping[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(b"content-type", kind), *((name.lower().encode(), value) for name, value in headers.items())],
        }
        return ShortRoad(self.application).answer(scope, body)

    def signed(self, key: EllipticCurvePrivateKey | None = None, **changes: bytes) -> dict[str, bytes]:
        return signed_by(key or self.key, self.public_key) | changes
