"""Sites that are missing from a round: who is required, what stops a run, and that a straggler is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from tests.unit.rounds_fixtures import SITES, STUDY, Answer, ScriptedGrid, add_one, weights

from gaitkeeper_client.agent.executor import Executor, ExecutorSettings
from gaitkeeper_server.rounds.conductor import Conductor, Pace
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.roster import Presence
from gaitkeeper_server.rounds.states import Outcome, RoundState, RunState, Wish
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import RoundOrder, RoundReply, SiteReport, Weights
from gaitkeeper_shared.notices import RoundNotice, notices_of, only_notices, put_notices
from gaitkeeper_shared.study import parse_study

PACE = Pace(poll_s=0.005, absent_grace_s=0.15, missing_grace_s=0.05, look_s=0.02, look_again_s=0.05, notice_s=0.3)


def started(folder: Path, lines: bytes = b"", rounds: int = 2, deadline: bytes = b"0.6") -> Journal:
    journal = Journal(folder / "journal.sqlite")
    study = STUDY.replace(b"rounds = 3", b"rounds = %d" % rounds).replace(b"0.6", deadline) + lines
    journal.request_run("run", study, SITES, weights())
    return journal


def conduct(journal: Journal, grid: ScriptedGrid) -> RunState:
    return Conductor(grid, journal, "run", roster=grid.roster, pace=PACE).conduct()  # type: ignore[arg-type]


def refuse(site: str, order: RoundOrder, incoming: Weights) -> RoundReply:
    return RoundReply(SiteReport(site, "refused", "budget-spent", "The budget is spent."))


def broken(site: str, order: RoundOrder, incoming: Weights) -> RoundReply:
    return RoundReply(SiteReport(site, "trained", epsilon_spent=0.5, delta=1e-5), None)


def silent(site: str, order: RoundOrder, incoming: Weights) -> None:
    return None


def clinic_c(answer: Answer) -> Answer:
    def mixed(site: str, order: RoundOrder, incoming: Weights) -> RoundReply | Error | None:
        return (answer if site == "clinic-c" else add_one)(site, order, incoming)

    return mixed


@pytest.mark.parametrize(
    ("policy", "answer", "word"),
    [
        ("StopOnTimeout", silent, Outcome.LATE),
        ("StopOnDisconnect", None, Outcome.ABSENT),
        ("StopOnError", refuse, Outcome.REFUSED),
        ("StopOnError", broken, Outcome.FAILED),
    ],
)
def test_a_policy_stops_the_run_over_its_trouble_and_over_no_other(
    policy: str, answer: Answer | None, word: Outcome, tmp_path: Path
) -> None:
    def play(policies: list[str], name: str) -> tuple[RunState, Journal]:
        lines = ("policies = [" + ", ".join(f'"{item}"' for item in policies) + "]\n").encode()
        (tmp_path / name).mkdir()
        journal = started(tmp_path / name, lines)
        grid = ScriptedGrid(add_one if answer is None else clinic_c(answer))
        if answer is None:
            del grid.present["clinic-c"]
        return conduct(journal, grid), journal

    state, journal = play([policy], "stops")
    assert state is RunState.STOPPED
    assert policy in journal.run("run").detail
    assert "clinic-c" in journal.run("run").detail
    assert [item.state for item in journal.rounds("run")] == [RoundState.ABANDONED]
    said = {item.site: item.outcome for item in journal.outcomes("run", 1)}
    assert said["clinic-c"] is word
    assert not [outcome for outcome in said.values() if outcome.open]
    others = {"StopOnTimeout", "StopOnDisconnect", "StopOnError"} - {policy}
    state, journal = play(sorted(others), "goes-on")
    assert state is RunState.DEGRADED
    assert journal.run("run").committed == 2


def test_a_site_that_goes_away_over_its_work_stops_the_run_where_the_study_says_so(tmp_path: Path) -> None:
    def leaves(site: str, order: RoundOrder, incoming: Weights) -> None:
        grid.present.pop(site, None)

    grid = ScriptedGrid(clinic_c(leaves))
    journal = started(tmp_path, b'policies = ["StopOnDisconnect"]\n')
    assert conduct(journal, grid) is RunState.STOPPED
    (gone,) = [item for item in journal.outcomes("run", 1) if item.site == "clinic-c"]
    assert (gone.outcome, gone.code) == (Outcome.ABSENT, "not-connected")


def test_a_run_without_quorum_pauses_and_resumed_asks_those_only_whose_reply_it_has_not(tmp_path: Path) -> None:
    away = {"clinic-b", "clinic-c"}

    def some(site: str, order: RoundOrder, incoming: Weights) -> RoundReply | None:
        return None if order.round == 2 and site in away else add_one(site, order, incoming)

    journal, grid = started(tmp_path), ScriptedGrid(some)
    assert conduct(journal, grid) is RunState.PAUSED
    record = journal.run("run")
    assert (record.paused_itself, record.committed) == (True, 1)
    assert "1 of the 2 sites" in record.detail
    # Nobody asked it to go on: nothing is tried, so that nobody pays.
    asked = len(grid.asked)
    assert conduct(journal, grid) is RunState.PAUSED
    assert len(grid.asked) == asked

    away.clear()
    journal.set_wish("run", Wish.GO)
    assert journal.run("run").state is RunState.REQUESTED
    assert conduct(journal, grid) is RunState.SUCCEEDED
    assert [site for site, number in grid.asked[asked:] if number == 2] == ["clinic-b", "clinic-c"]
    assert [item.state for item in journal.rounds("run")] == [RoundState.COMMITTED] * 3


@pytest.mark.parametrize("answer", [silent, refuse])
def test_no_round_counts_without_a_required_site(answer: Answer, tmp_path: Path) -> None:
    journal = started(tmp_path, b'required = ["clinic-c"]\n')
    assert conduct(journal, ScriptedGrid(clinic_c(answer))) is RunState.PAUSED
    assert "which the study requires" in journal.run("run").detail
    assert journal.run("run").committed == 0


def test_a_required_site_is_waited_for_longer_than_the_grace(tmp_path: Path) -> None:
    grid = ScriptedGrid(add_one)
    late = grid.present.pop("clinic-c")
    comes = time.monotonic() + 3 * (PACE.absent_grace_s or 0)

    def roster(_: object) -> Mapping[str, Presence]:
        if time.monotonic() >= comes:
            grid.present["clinic-c"] = late
        return dict(grid.present)

    journal = started(tmp_path, b'required = ["clinic-c"]\n', deadline=b"30.0")
    assert Conductor(grid, journal, "run", roster=roster, pace=PACE).conduct() is RunState.SUCCEEDED  # type: ignore[arg-type]


class Late(ScriptedGrid):
    """Clinic-c's first reply arrives in the round after its own."""

    held: dict[str, Message] | None = None
    notices: list[tuple[str, tuple[RoundNotice, ...], bool]]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        names = {presence.node_id: site for site, presence in self.present.items()}
        ids = []
        for message in messages:
            told, alone = notices_of(message.content), only_notices(message.content)
            if told:
                self.notices.append((names[message.metadata.dst_node_id], told, alone))
            if alone:
                ids.append("notice")
                continue
            ids += super().push_messages([message])
            if self.asked[-1] == ("clinic-c", 1):
                self.held = {ids[-1]: self._replies.pop(ids[-1])}
            elif self.asked[-1] == ("clinic-c", 2) and self.held:
                self._replies |= self.held
        return ids


def test_a_late_reply_is_noted_and_told_and_does_not_count(tmp_path: Path) -> None:
    journal = started(tmp_path)
    grid = Late(add_one)
    grid.notices = []
    assert conduct(journal, grid) is RunState.DEGRADED
    assert "round 1 without clinic-c" in journal.run("run").detail
    (late,) = [item for item in journal.outcomes("run", 1) if item.site == "clinic-c"]
    assert late.outcome is Outcome.LATE
    assert "was not counted" in late.message
    assert len(list(journal.each_reply("run", 1))) == 2
    # With the next order, once; from then on the site was counted.
    ((site, told, alone),) = grid.notices
    assert (site, alone) == ("clinic-c", False)
    assert [(notice.run, notice.round, notice.outcome) for notice in told] == [("run", 1, "late")]


def test_who_was_late_last_is_told_when_the_run_ends(tmp_path: Path) -> None:
    journal = started(tmp_path, b"\n[evaluation]\nholdout = 0.0\n", rounds=1)
    grid = Late(add_one)
    grid.notices = []
    assert conduct(journal, grid) is RunState.DEGRADED
    ((site, told, alone),) = grid.notices
    assert (site, alone, told[0].round) == ("clinic-c", True, 1)


def test_an_operators_stop_leaves_no_site_without_a_word(tmp_path: Path) -> None:
    def stop(site: str, order: RoundOrder, incoming: Weights) -> None:
        journal.set_wish("run", Wish.STOP)

    journal = started(tmp_path)
    assert conduct(journal, ScriptedGrid(clinic_c(stop))) is RunState.STOPPED
    (stopped,) = [item for item in journal.outcomes("run", 1) if item.site == "clinic-c"]
    assert (stopped.outcome, stopped.code) == (Outcome.LATE, "round-over")


def test_the_site_notes_once_that_its_reply_was_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    entries: list[tuple[str, dict[str, str | int]]] = []

    def audit(event: str, **facts: str | int) -> None:
        entries.append((event, facts))

    executor = Executor(ExecutorSettings(0, "", application="tests.e2e.made_up_application:app"), audit)
    ScriptedGrid(add_one)  # sets the identity that messages need
    for _ in range(2):
        message = Message(content_of(RoundNotice("run", 3, "late", "deadline", "no reply after 600 s")), 7, "train")
        message.metadata.__dict__["_message_id"] = "m1"
        with caplog.at_level(logging.WARNING):
            reply, failure = executor._run_application(message, None)  # type: ignore[arg-type]
        assert not failure
        assert reply.has_content()
    assert [event for event, _ in entries] == ["reply-not-counted"]
    assert entries[0][1]["round"] == 3
    assert entries[0][1]["budget"] == "stays charged"
    assert caplog.text.count("came late and was not counted") == 1


def content_of(*notices: RoundNotice) -> RecordDict:
    content = RecordDict()
    put_notices(content, notices)
    return content


@pytest.mark.parametrize(
    "body", ["", "[1]", '{"run": 1}', '[{"run": "r", "round": "2"}]', "[" * 5000, "[" + "{}," * 20 + "{}]"]
)
def test_notices_that_are_none_are_a_catalogue_error(body: str) -> None:
    with pytest.raises(GaitkeeperError) as error:
        notices_of(RecordDict({"notices": ConfigRecord({"body": body})}))
    assert error.value.code == "round-message-unusable"


@pytest.mark.parametrize(
    "lines",
    [
        b'required = ["clinic-a", "clinic-a"]',
        b'required = ["Clinic A"]',
        b'policies = ["StopOnRain"]',
        b'policies = ["DiscardOnTimeout", "StopOnTimeout"]',
        b"grace_s = -1.0",
        b"byzantine = 1",
        b'combine = "krum"\nbyzantine = 1',
        b'combine = "median"\nbyzantine = 1',
        b'[federation.sites]\nclinic-a = "abc"',
        b'required = ["clinic-c"]\n[federation.sites]\nclinic-a = "%s"\nclinic-b = "%s"' % (b"a" * 64, b"b" * 64),
        b'[federation.sites]\nclinic-a = "%s"\nclinic-b = "%s"' % (b"a" * 64, b"a" * 64),
    ],
)
def test_a_study_whose_federation_makes_no_sense_is_refused(lines: bytes) -> None:
    parse_study(STUDY)
    with pytest.raises(GaitkeeperError) as error:
        parse_study(STUDY + lines)
    assert error.value.code == "study-bad-value"
