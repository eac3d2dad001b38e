"""What one site may leave in the SuperLink's memory: through Flower's own handlers, with real orders and replies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, Metadata, RecordDict
from flwr.app.message import make_message, remove_content_from_message
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import PushMessagesResponse
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ConfirmMessageReceivedResponse,
    ObjectTree,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PushAppMessagesRequest,
    PushAppMessagesResponse,
)
from flwr.supercore.constant import TASK_TOKEN_HEADER
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.primitives.asymmetric import generate_key_pairs, public_key_to_bytes
from tests.unit.superlink_fixtures import SuperLink, announced, signed_by

from gaitkeeper_server.rounds import bell, gate, quota, room
from gaitkeeper_server.rounds.callers import Callers, DoorLimits
from gaitkeeper_server.rounds.collection import trouble
from gaitkeeper_server.rounds.link_state import LinkStateInMemory, node_number

MODEL = 2_000
LEAST = 100_000


@dataclass
class Run:
    """A run under way at a SuperLink with one node, which has polled."""

    link: SuperLink
    number: int
    token: str

    @property
    def node(self) -> int:
        return node_number(self.link.public_key)

    @property
    def state(self) -> LinkStateInMemory:
        assert isinstance(self.link.state, LinkStateInMemory)
        return self.link.state

    def message(self, content: RecordDict, *, reply_to: str = "") -> Message:
        source, target = (self.node, SUPERLINK_NODE_ID) if reply_to else (SUPERLINK_NODE_ID, self.node)
        made = make_message(
            Metadata(
                self.number, "", source, target, reply_to, "1", now().timestamp(), 300.0 if reply_to else 600.0, "train"
            ),
            content,
        )
        vars(made.metadata)["_message_id"] = made.object_id
        return made

    def conduct(self, path: str, request: Any, answer: Any) -> Any:
        body = self.link.ask(
            f"/v1/runtime/{path}", request.SerializeToString(), {TASK_TOKEN_HEADER: self.token.encode()}
        )
        return answer.FromString(body)

    def fleet(self, path: str, request: Any, answer: Any) -> Any:
        body = self.link.ask(f"/v1/fleet/{path}", request.SerializeToString(), self.link.signed())
        return answer.FromString(body)

    def order(self, size: int = MODEL) -> str:
        """An order with weights is sent to the node; its id."""
        made = self.message(RecordDict({"weights": ArrayRecord([np.random.default_rng().normal(size=size)])}))
        tree, objects = get_object_tree(made), get_all_nested_objects(made)
        request = PushAppMessagesRequest(
            messages_list=[message_to_proto(remove_content_from_message(made))], message_object_trees=[tree]
        )
        said = self.conduct("push-messages", request, PushAppMessagesResponse)
        for item in said.objects_to_push:
            part = PushObjectRequest(
                run_id=self.number,
                object_id=item,
                object_content=objects[item].deflate(),
                session_id=said.session_id,
                node=Node(node_id=SUPERLINK_NODE_ID),
            )
            assert self.conduct("push-object", part, PushObjectResponse).stored
        return str(said.message_ids[0])

    def reply(self, order: str, content: RecordDict, change: Callable[[ObjectTree], None] = lambda _: None) -> int:
        """The node replies; how many of its objects were taken."""
        made = self.message(content, reply_to=order)
        request, objects = announced(self.node, made), get_all_nested_objects(made)
        change(request.message_object_trees[0])
        said = self.fleet("push-messages", request, PushMessagesResponse)
        stored = 0
        for item in said.objects_to_push:
            if item not in objects:
                continue
            part = PushObjectRequest(
                node=Node(node_id=self.node),
                run_id=self.number,
                object_id=item,
                object_content=objects[item].deflate(),
                session_id=said.session_id,
            )
            stored += self.fleet("push-object", part, PushObjectResponse).stored
        return stored

    def read(self, order: str) -> Message | None:
        """What the conductor reads as the answer to an order; it takes it away."""
        said = self.conduct("pull-messages", PullAppMessagesRequest(message_ids=[order]), PullAppMessagesResponse)
        if not said.messages_list:
            return None
        found = message_from_proto(said.messages_list[0])
        done = ConfirmMessageReceivedRequest(run_id=self.number, message_object_id=found.metadata.message_id)
        self.conduct("confirm-message-received", done, ConfirmMessageReceivedResponse)
        return found

    @property
    def held(self) -> tuple[int, int]:
        return self.state.quota.held(self.node)

    @property
    def bytes_in_store(self) -> int:
        store: Any = self.state.object_store
        return sum(len(entry.content) for entry in store.store.values())


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(quota, "LEAST_BYTES", LEAST)
    link = SuperLink()
    begun = link.begin_run()
    made = Run(link, begun.number, begun.token)
    assert made.state.acknowledge_node_heartbeat(made.node, 60.0)
    return made


def update(size: int = MODEL) -> RecordDict:
    return RecordDict({"weights": ArrayRecord([np.random.default_rng().normal(size=size)])})


def test_an_honest_reply_passes_and_leaves_nothing_once_it_was_read(run: Run) -> None:
    for _ in range(30):  # more than the quota, if each stayed
        order = run.order()
        assert run.reply(order, update()) >= 3
        assert run.held[1] > 8 * MODEL
        answer = run.read(order)
        assert answer is not None
        assert trouble(answer, run.node) is None
        assert run.held == (0, 0)


def test_a_large_model_has_a_large_quota(run: Run) -> None:
    order = run.order(4 * LEAST)
    assert run.reply(order, update(8 * LEAST)) >= 3  # twice the weights, as masked ones are
    answer = run.read(order)
    assert answer is not None
    assert not answer.has_error()


def test_a_reply_beyond_the_quota_is_dropped_whole_and_the_conductor_reads_why(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    order = run.order()
    empty = run.bytes_in_store
    parts = RecordDict({f"part-{i}": ArrayRecord([np.random.default_rng(i).normal(size=5_000)]) for i in range(8)})
    with caplog.at_level(logging.WARNING, "gaitkeeper.superlink"):
        assert run.reply(order, parts) < 15  # of some thirty
    assert "clinic-a: refused" in caplog.text
    assert run.bytes_in_store < empty + 1_000  # the word for it alone
    answer = run.read(order)
    assert answer is not None
    why = trouble(answer, run.node)
    assert why is not None
    assert "more than" in why
    assert "bytes" in why
    again = run.order()  # the site is asked once more, and heard
    assert run.reply(again, update()) >= 3
    assert not (run.read(again) or answer).has_error()


def test_endless_objects_are_not_even_announced(run: Run) -> None:
    order = run.order()
    before = len(run.state.object_store)

    def endless(tree: ObjectTree) -> None:
        tree.children.extend(ObjectTree(object_id=f"{i:064x}") for i in range(quota.MOST_OBJECTS))

    assert run.reply(order, update(), endless) == 0
    assert len(run.state.object_store) - before < 5
    answer = run.read(order)
    assert answer is not None
    assert "objects" in str(trouble(answer, run.node))


def test_the_same_message_with_other_objects_again_and_again_stays_within_the_quota(run: Run) -> None:
    """Flower takes a message that it knows once more, with whatever is beside it now; nothing ever removes that."""
    order = run.order()
    content = update(10)
    for turn in range(12):

        def other(tree: ObjectTree, turn: int = turn) -> None:
            tree.children.extend(ObjectTree(object_id=f"{turn:032x}{i:032x}") for i in range(1_000))

        run.reply(order, content, other)
    assert run.held[0] <= quota.MOST_OBJECTS
    assert len(run.state.object_store) < quota.MOST_OBJECTS + 50

    def renamed(tree: ObjectTree) -> None:
        tree.object_id = "f" * 64

    fresh = run.order()
    assert run.reply(fresh, content, renamed) == 0
    answer = run.read(fresh)
    assert answer is not None
    assert "different names" in str(trouble(answer, run.node))
    run.state.cleanup_run(run.number)
    assert run.held == (0, 0)


def test_replies_to_nothing_leave_nothing(run: Run) -> None:
    order = run.order()
    assert run.reply(order, update()) >= 3
    assert run.read(order) is not None
    state: Any = run.state
    before = len(state._object_push_sessions), len(state.quota._pushes)
    for _ in range(5):
        assert run.reply(order, update()) == 0  # it was answered, and the answer taken away
    assert (len(state._object_push_sessions), len(state.quota._pushes)) == before
    assert run.held == (0, 0)


def test_an_order_that_was_not_for_a_node_is_not_answered_in_its_name(run: Run) -> None:
    """A refusal of one node's reply must not take another site's place."""
    order = run.order()
    run.state._refuse(run.node + 1, order, "made up")
    assert run.reply(order, update()) >= 3
    answer = run.read(order)
    assert answer is not None
    assert not answer.has_error()


class Slow:
    """An application that reads the body and then waits."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.go.wait()
        await gate._answer(send, 200, b"text/plain", b"done")


def test_a_site_sends_only_so_much_at_a_time() -> None:
    async def asked(door: gate.FleetGate, path: str, length: bytes) -> int:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [*((name.lower().encode(), value) for name, value in signed_by(key).items())]
        headers.append((b"content-length", length))
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
        scope["client"] = ("192.0.2.1", 1)
        await door(scope, receive, send)
        return int(sent[0]["status"])

    key = generate_key_pairs()[0]

    async def story() -> None:
        slow, keys, callers = Slow(), gate.EnrolledKeys(), Callers(DoorLimits())
        keys.replace({"clinic-a": public_key_to_bytes(key.public_key())})
        callers.come(("192.0.2.1", 1), lambda: None)
        door = gate.FleetGate(gate.InTurn(slow), keys, bell.Bell(0.0), bell.Bell(0.0), room.Room(lambda: 1), callers)
        push, other = "/v1/fleet/push-object", "/v1/fleet/send-node-heartbeat"
        large = str(gate._LARGEST_OBJECT).encode()
        running = [asyncio.create_task(asked(door, push, large)) for _ in range(2)]
        await asyncio.sleep(0.05)
        assert await asked(door, other, b"10") == 429
        slow.go.set()
        assert await asyncio.gather(*running) == [200, 200]
        assert await asked(door, other, b"10") == 200
        for length in (b"", b"-1", b"x", b"9" * 5000, str(gate._LARGEST_REQUEST + 1).encode()):
            assert await asked(door, other, length) == 413
        assert await asked(door, push, str(gate._LARGEST_OBJECT + 1).encode()) == 413

    asyncio.run(story())


def test_config_alone_counts_too(run: Run) -> None:
    order = run.order()
    assert run.reply(order, RecordDict({"c": ConfigRecord({"b": bytes(2 * LEAST)})})) == 0 or run.held[1] <= LEAST
    answer = run.read(order)
    assert answer is not None
    assert answer.has_error()
