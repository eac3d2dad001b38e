"""Replies that would hold up or bring down a coordinator: half sent, malformed, in another's name."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Error, Message, RecordDict
from flwr.app.message import make_message
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import PullObjectResponse
from flwr.proto.runtime_pb2 import PullAppMessagesResponse
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from tests.unit.rounds_fixtures import SITES, STUDY, ScriptedGrid, add_one, weights

from gaitkeeper_server.rounds import collection, verdict
from gaitkeeper_server.rounds.conductor import Conductor, Pace
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.replies import ReplyGrid
from gaitkeeper_server.rounds.states import Outcome, RunState, SiteOutcome
from gaitkeeper_shared.federation import RoundReply, SiteReport, encode_reply, to_wire

PACE = Pace(poll_s=0.005, absent_grace_s=0.2, missing_grace_s=0.05, look_s=0.02, look_again_s=0.1)
Spoil = Callable[[Message], Message]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "journal.sqlite")
    made.request_run("run", STUDY, SITES, weights())
    return made


class SpoiltGrid(ScriptedGrid):
    """All sites behave, but what comes from one of them is changed on the way."""

    def __init__(self, site: str, spoil: Spoil) -> None:
        super().__init__(add_one)
        self.node, self.spoil = self.present[site].node_id, spoil

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """The answers that are there."""
        found = super().pull_messages(message_ids)
        return [self.spoil(item) if item.metadata.src_node_id == self.node else item for item in found]


def first_round(journal: Journal, spoil: Spoil) -> dict[str, SiteOutcome]:
    """Conduct a run in which the replies of clinic-c are spoilt; it must go on without them."""
    grid = SpoiltGrid("clinic-c", spoil)
    assert Conductor(grid, journal, "run", roster=grid.roster, pace=PACE).conduct() is RunState.DEGRADED  # type: ignore[arg-type]
    found = {item.site: item for item in journal.outcomes("run", 1)}
    assert found["clinic-a"].outcome is Outcome.INCLUDED
    assert found["clinic-b"].outcome is Outcome.INCLUDED
    assert len(list(journal.each_reply("run", 1))) == 2
    return found


def archive_as_array(message: Message) -> Message:
    buffer = io.BytesIO()
    np.savez(buffer, bias=np.zeros(3, np.float32))
    array = Array(np.zeros(3, np.float32))
    array.data = buffer.getvalue()
    record = ArrayRecord({"layer.weight": Array(weights()["layer.weight"]), "bias": array})
    message.content["arrays"] = record
    return message


def surrogate_in_its_code(message: Message) -> Message:
    report: Any = message.content["report"]
    report["status"], report["code"], report["message"] = "refused", "\ud800", "\udfff\x1b[31m"
    return message


def huge_numbers(message: Message) -> Message:
    report: Any = message.content["report"]
    report["epsilon_spent"] = 10**400
    return message


def huge_array_name(message: Message) -> Message:
    message.content["arrays"] = ArrayRecord({"\ud800" + "x" * 100_000: Array(np.zeros(3))})
    return message


@pytest.mark.parametrize("spoil", [archive_as_array, surrogate_in_its_code, huge_numbers, huge_array_name])
def test_a_malformed_reply_costs_its_sender_only(journal: Journal, spoil: Spoil) -> None:
    outcome = first_round(journal, spoil)["clinic-c"]
    assert outcome.outcome in (Outcome.FAILED, Outcome.REFUSED)
    assert outcome.message.isprintable()
    assert len(outcome.message) < 1_000


def test_an_error_that_nobody_thought_of_costs_one_reply(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = verdict.judge

    def judged(site: str, *rest: Any) -> Any:
        if site == "clinic-c":
            raise AttributeError("unforeseen")
        return judge(site, *rest)

    monkeypatch.setattr(collection, "judge", judged)
    outcome = first_round(journal, lambda message: message)["clinic-c"]
    assert (outcome.outcome, outcome.code) == (Outcome.FAILED, "update-unusable")
    assert "AttributeError" in outcome.message


def test_a_reply_of_another_node_does_not_count(journal: Journal) -> None:
    def as_another(message: Message) -> Message:
        message.metadata.__dict__["_src_node_id"] = 10  # clinic-a's
        return message

    outcome = first_round(journal, as_another)["clinic-c"]
    assert (outcome.outcome, outcome.code) == (Outcome.FAILED, "site-unreachable")
    assert "another node" in outcome.message


def test_an_error_is_told_without_its_control_characters(journal: Journal) -> None:
    def loud(message: Message) -> Message:
        return make_message(metadata=message.metadata, error=Error(3, "\x1b[2Jgone\n" + "x" * 9_000))

    outcome = first_round(journal, loud)["clinic-c"]
    assert outcome.message.isprintable()
    assert "gone" in outcome.message
    assert len(outcome.message) < 500


class Link:
    """The SuperLink's side of a grid: messages are told of once, parts as they come."""

    def __init__(self, *replies: Message) -> None:
        self.untold = list(replies)
        self.parts: dict[str, bytes] = {}
        self.gone: set[str] = set()
        self.confirmed: list[str] = []
        for reply in replies:
            reply.metadata.__dict__["_message_id"] = reply.object_id
            self.parts |= {key: item.deflate() for key, item in get_all_nested_objects(reply).items()}
        self.withheld: set[str] = set()

    def PullMessages(self, request: Any) -> PullAppMessagesResponse:
        told = [item for item in self.untold if item.metadata.reply_to_message_id in request.message_ids]
        self.untold = [item for item in self.untold if item not in told]
        return PullAppMessagesResponse(
            messages_list=[message_to_proto(make_message(metadata=m.metadata, content=RecordDict())) for m in told],
            message_object_trees=[get_object_tree(item) for item in told],
        )

    def PullObject(self, request: Any) -> PullObjectResponse:
        key = request.object_id
        there = key not in self.withheld
        return PullObjectResponse(
            object_found=key not in self.gone,
            object_available=there,
            object_content=self.parts[key] if there else b"",
        )

    def ConfirmMessageReceived(self, request: Any) -> None:
        self.confirmed.append(request.message_object_id)


@pytest.fixture
def grid() -> ReplyGrid:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, SUPERLINK_NODE_ID, 1
    return ReplyGrid("127.0.0.1:1", insecure=True, token="t")


def attach(grid: ReplyGrid, link: Link) -> None:
    grid._client = link  # type: ignore[assignment]
    grid.set_run(Run.create_empty(1))


def reply_of(node: int, question: str) -> Message:
    order = Message(RecordDict(), node, "train", ttl=600.0)
    order.metadata.__dict__["_message_id"] = question
    content = to_wire(encode_reply(RoundReply(SiteReport(f"clinic-{node}", "trained"), weights(float(node)))))
    return Message(content, reply_to=order)


def test_a_half_sent_reply_holds_up_nobody_and_counts_once_it_is_whole(grid: ReplyGrid) -> None:
    slow, quick = reply_of(11, "m1"), reply_of(12, "m2")
    link = Link(slow, quick)
    link.withheld = set(get_all_nested_objects(slow)) - {slow.object_id}
    attach(grid, link)
    started = time.monotonic()
    (first,) = grid.pull_messages(["m1", "m2"])
    assert first.metadata.reply_to_message_id == "m2"
    assert grid.pull_messages(["m1"]) == []
    assert time.monotonic() - started < 2.0
    link.withheld = set()
    while not (found := grid.pull_messages(["m1"])):
        assert time.monotonic() - started < 10.0
        time.sleep(0.02)
    assert found[0].metadata.src_node_id == 11
    assert found[0].content == slow.content
    assert link.confirmed == [quick.object_id, slow.object_id]


def test_a_reply_that_will_never_be_whole_is_an_error_of_its_sender(grid: ReplyGrid) -> None:
    reply = reply_of(11, "m1")
    link = Link(reply)
    link.gone = {reply.content.object_id}
    attach(grid, link)
    (message,) = grid.pull_messages(["m1"])
    assert message.has_error()
    assert message.metadata.reply_to_message_id == "m1"
    assert message.metadata.src_node_id == 11


@pytest.mark.parametrize("junk", [b"", b"junk", b"Message  3\0abc", b"ConfigRecord  0\0", b"Nothing  0\0"])
def test_bytes_that_are_no_message_are_an_error_of_their_sender(grid: ReplyGrid, junk: bytes) -> None:
    bad, good = reply_of(11, "m1"), reply_of(12, "m2")
    link = Link(bad, good)
    link.parts[bad.object_id] = junk
    attach(grid, link)
    found = {message.metadata.reply_to_message_id: message for message in grid.pull_messages(["m1", "m2"])}
    assert found["m1"].has_error()
    assert found["m2"].content == good.content


def test_who_sent_a_reply_is_what_the_superlink_checked(grid: ReplyGrid) -> None:
    """The parts of a message may say anything of it."""
    honest, forged = reply_of(11, "m1"), reply_of(12, "m2")
    link = Link(honest)
    # The same tree, but the message inside says that it is node 12's and answers m2.
    link.parts[honest.object_id] = link.parts[honest.object_id][:0] + forged.deflate()
    link.parts |= {key: item.deflate() for key, item in get_all_nested_objects(forged).items()}
    tree = get_object_tree(forged)
    tree.object_id = honest.object_id
    reply = PullAppMessagesResponse(
        messages_list=[message_to_proto(make_message(metadata=honest.metadata, content=RecordDict()))],
        message_object_trees=[tree],
    )
    link.PullMessages = lambda request: reply  # type: ignore[method-assign]
    attach(grid, link)
    (message,) = grid.pull_messages(["m1", "m2"])
    assert (message.metadata.src_node_id, message.metadata.reply_to_message_id) == (11, "m1")


def test_what_is_asked_for_no_longer_is_forgotten(grid: ReplyGrid) -> None:
    reply = reply_of(11, "m1")
    link = Link(reply)
    link.withheld = {reply.object_id}
    attach(grid, link)
    assert grid.pull_messages(["m1"]) == []
    link.withheld = set()
    assert grid.pull_messages(["m9"]) == []
    assert grid._arriving == {}


def test_many_replies_at_once_are_unpacked_a_few_at_a_time(grid: ReplyGrid) -> None:
    ids = [f"m{number}" for number in range(20)]
    link = Link(*(reply_of(11 + number, item) for number, item in enumerate(ids)))
    questions = 0
    pull = link.PullMessages

    def counted(request: Any) -> PullAppMessagesResponse:
        nonlocal questions
        questions += 1
        return pull(request)

    link.PullMessages = counted  # type: ignore[method-assign]
    attach(grid, link)
    left, taken = set(ids), []
    while left:
        found = grid.pull_messages(sorted(left))
        taken.append(len(found))
        left -= {message.metadata.reply_to_message_id for message in found}
    assert taken == [8, 8, 4]
    # Asking is held back by the SuperLink until there is something new: not before what is there was taken in.
    assert questions == 1
