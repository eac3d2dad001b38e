"""The SuperLink's short road and its state in memory: Flower's own checks hold, and a node keeps its number."""

from __future__ import annotations

import pytest
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL, NOOP_ACCOUNT_NAME, NOOP_FLWR_AID, TIMESTAMP_HEADER
from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import GetNodesRequest
from flwr.supercore.constant import TASK_TOKEN_HEADER
from flwr.supercore.primitives.asymmetric import generate_key_pairs
from tests.unit.superlink_fixtures import SuperLink

from gaitkeeper_server.rounds.link_state import LinkStateInMemory, node_number
from gaitkeeper_server.rounds.superlink import synchronise_nodes

PULL = "/v1/fleet/pull-messages"


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
