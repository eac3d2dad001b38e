"""Replies that come late, twice, in another's name, or in another order than they were sent in."""

from __future__ import annotations

import time
from functools import partial

import httpx
from flwr.app import Metadata, RecordDict
from flwr.app.message import make_message
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import get_object_tree
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from tests.faults.backwards_node import SAID
from tests.faults.nodes import OTHER, SITE, other_node
from tests.faults.relay import Relay
from tests.faults.stage import MOMENT_S, SITES, Stage
from tests.faults.words import summary

from gaitkeeper_client.agent.node import load_node_key
from gaitkeeper_server.rounds.states import Outcome

_UNANSWERED = (Outcome.INVITED, Outcome.DISPATCHED)


def replies_reversed(stage: Stage) -> str:
    """The replies of a round leave in the sites' order, are held on the line, and arrive in the reverse order."""
    traps = {site: stage.trap(site, "stored") for site in SITES}
    run = stage.begin()
    arrived: list[str] = []
    try:
        for trap in traps.values():
            stage.wait(trap.hit, MOMENT_S)
        for site, trap in traps.items():
            stage.relays[site].set("held")
            trap.release()
            # A node that waits for its trainer asks the coordinator for nothing: what is held is its reply.
            stage.wait(partial(_holds, stage.relays[site]), MOMENT_S)
        for site in reversed(SITES):
            stage.relays[site].set("pass")
            arrived += _await_further(stage, run, tuple(arrived))
    finally:
        for site, trap in traps.items():
            trap.release()
            stage.relays[site].set("pass")
    return f"arrived {', '.join(arrived)}; {summary(stage.end_of(run))}"


def _holds(relay: Relay) -> bool:
    return relay.held > 0


def _await_further(stage: Stage, run: str, known: tuple[str, ...]) -> list[str]:
    """Wait until the journal has the word of further sites in round 1: who they are."""

    def further() -> list[str]:
        words = stage.journal.outcomes(run, 1)
        return [word.site for word in words if word.outcome not in _UNANSWERED and word.site not in known]

    stage.wait(lambda: bool(further()), MOMENT_S)
    return further()


def parts_reversed(stage: Stage) -> str:
    """The parts of each of one site's replies come the last one first, and each of them twice."""
    log = stage.keys[SITE].with_name("node.log")
    before = log.read_text("utf-8", errors="replace").count(SAID)
    with other_node(stage, "tests.faults.backwards_node"):
        ended = summary(stage.end_of(stage.begin()))
    replies = log.read_text("utf-8", errors="replace").count(SAID) - before
    return f"{replies} replies so; {ended}"


def late(stage: Stage) -> str:
    """A reply comes after its round was closed: in the next round it must not be taken for that round's."""
    trap = stage.trap(SITE, "stored")
    second = stage.trap("conductor", "dispatched", 2)
    run = stage.begin(rounds=2, deadline_s=30.0)
    try:
        stage.wait(second.hit, MOMENT_S)
        trap.release()
        stage.pause(1.0)
    finally:
        trap.release()
        second.release()
    return summary(stage.end_of(run))


def reply_again(stage: Stage, pretended: str) -> str:
    """A second reply to a message that was answered, by the site itself, or by another one for it.

    Flower answers 200 also where it does not keep a reply; what counts is what the round was made of.
    """
    trap = stage.trap("conductor", "dispatched", 2)
    run = stage.begin()
    try:
        stage.wait(trap.hit, MOMENT_S)
        stage.pause(1.0)
        sender = {"itself": SITE, "another": OTHER}[pretended]
        key = load_node_key(stage.keys[sender])
        number = int((stage.folder / sender / "node.number").read_text("ascii"))
        answered, flower_run = (stage.folder / SITE / "last-message").read_text("ascii").split()
        request = _reply(answered, int(flower_run), number)
        address = f"127.0.0.1:{stage.config.fleet_port}"
        root = stage.home.root_certificate.read_bytes()
        signed = NodeAuthHttpInterceptor(key, key.public_key())
        with FleetHttpClient.from_server_address(address, False, root, interceptors=[signed]) as client:
            try:
                client.PushMessages(request)
                told = "answered with 200"
            except httpx.HTTPStatusError as error:
                told = f"refused with {error.response.status_code}"
    finally:
        trap.release()
    return f"{told}; {summary(stage.end_of(run))}"


def _reply(answered: str, flower_run: int, number: int) -> PushMessagesRequest:
    """A reply without an update to a message, in every other way as flwr sends one. ``number``: the sender's node."""
    metadata = Metadata(
        run_id=flower_run,
        message_id="",
        src_node_id=number,
        dst_node_id=SUPERLINK_NODE_ID,
        reply_to_message_id=answered,
        group_id="",
        created_at=time.time(),
        ttl=60.0,
        message_type="train",
    )
    message = make_message(metadata, content=RecordDict())
    vars(message.metadata)["_message_id"] = message.object_id
    return PushMessagesRequest(
        node=Node(node_id=number),
        messages_list=[message_to_proto(message)],
        message_object_trees=[get_object_tree(message)],
    )
