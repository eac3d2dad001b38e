"""The SuperLink's short road and its state in memory: Flower's own checks hold, and a node keeps its number."""

from __future__ import annotations

import base64
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL, NOOP_ACCOUNT_NAME, NOOP_FLWR_AID, TIMESTAMP_HEADER
from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import GetNodesRequest
from flwr.server.superlink.linkstate.linkstate import LinkState
from flwr.supercore.constant import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    FLEET_HTTP_SIGNATURE_HEADER,
    TASK_TOKEN_HEADER,
)
from flwr.supercore.date import now
from flwr.supercore.primitives.asymmetric import generate_key_pairs, public_key_to_bytes, sign_message

from gaitkeeper_server.rounds.gate import EnrolledKeys
from gaitkeeper_server.rounds.link_state import LinkStateInMemory, node_number
from gaitkeeper_server.rounds.short_road import ShortRoad
from gaitkeeper_server.rounds.superlink import SuperLinkSettings, _application, synchronise_nodes

PULL = "/v1/fleet/pull-messages"


def signed_by(key: EllipticCurvePrivateKey, shown: bytes | None = None) -> dict[str, bytes]:
    """The headers of a node's request; ``shown``: another public key than that of ``key``."""
    moment = now().isoformat()
    return {
        FLEET_HTTP_PUBLIC_KEY_HEADER: base64.b64encode(shown or public_key_to_bytes(key.public_key())),
        FLEET_HTTP_SIGNATURE_HEADER: base64.b64encode(sign_message(key, moment.encode())),
        TIMESTAMP_HEADER: moment.encode(),
    }


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


@pytest.fixture(scope="module")
def link() -> SuperLink:
    return SuperLink()


def test_a_node_gets_its_answer_and_is_there_from_then_on(link: SuperLink) -> None:
    number = node_number(link.public_key)
    body = PullMessagesRequest(node=Node(node_id=number)).SerializeToString()
    (before,) = link.state.get_node_info(owner_aids=[NOOP_FLWR_AID])
    assert (before.node_id, before.status) == (number, "registered")
    answer = PullMessagesResponse.FromString(link.ask(PULL, body, link.signed()))
    assert not answer.messages_list
    (after,) = link.state.get_node_info(owner_aids=[NOOP_FLWR_AID])
    assert after.status == "online"


def test_whatever_is_not_right_is_left_to_flower_which_refuses_it(link: SuperLink) -> None:
    number = node_number(link.public_key)
    body = PullMessagesRequest(node=Node(node_id=number)).SerializeToString()
    stranger = generate_key_pairs()[0]
    assert link.ask(PULL, body, link.signed()) is not None
    assert link.ask(PULL, body, {}) is None
    assert link.ask(PULL, body, link.signed(stranger)) is None  # another key's signature
    assert link.ask(PULL, body, link.signed() | {TIMESTAMP_HEADER: b"2020-01-01T00:00:00+00:00"}) is None
    posing = PullMessagesRequest(node=Node(node_id=number + 1)).SerializeToString()
    assert link.ask(PULL, posing, link.signed()) is None
    assert link.ask(PULL, b"\xff\xff", link.signed()) is None
    assert link.ask(PULL, body, link.signed(), kind=b"text/plain") is None
    assert link.ask("/v1/control/start-run", b"", link.signed()) is None
    nodes = GetNodesRequest().SerializeToString()
    assert link.ask("/v1/runtime/get-nodes", nodes, {}) is None
    assert link.ask("/v1/runtime/get-nodes", nodes, {TASK_TOKEN_HEADER: b"guessed"}) is None


def test_a_revoked_node_is_nobody_and_admitted_again_it_has_its_number(link: SuperLink) -> None:
    number = node_number(link.public_key)
    body = PullMessagesRequest(node=Node(node_id=number)).SerializeToString()
    synchronise_nodes(link.state, link.keys, {})
    assert link.ask(PULL, body, link.signed()) is None
    assert not [n for n in link.state.get_node_info(owner_aids=[NOOP_FLWR_AID]) if n.status != "unregistered"]
    link.enrol()
    assert link.ask(PULL, body, link.signed()) is not None


def test_a_node_keeps_its_number_in_the_next_life_of_the_superlink(link: SuperLink) -> None:
    assert isinstance(link.state, LinkStateInMemory)
    link.enrol()
    (known,) = [n for n in link.state.get_node_info(owner_aids=[NOOP_FLWR_AID]) if n.status != "unregistered"]
    key = link.public_key
    fresh = LinkStateInMemory(link.state.federation_manager, link.state.object_store)
    made = fresh.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, key, HEARTBEAT_DEFAULT_INTERVAL, name="clinic-a")
    assert made == known.node_id == node_number(key + b"\n")
    assert fresh.get_node_id_by_public_key(key) == made
    with pytest.raises(ValueError, match="in use"):
        fresh.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, key, HEARTBEAT_DEFAULT_INTERVAL, name="clinic-b")
