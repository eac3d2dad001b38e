"""The round loop: every outcome a site can have, quorum and deadline, resume, pause and stop."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Error
from tests.unit.rounds_fixtures import SITES, STUDY, Answer, ScriptedGrid, add_one, weights

from gaitkeeper_server.rounds.aggregate import mean_of_updates
from gaitkeeper_server.rounds.conductor import Conductor, Pace
from gaitkeeper_server.rounds.journal import Journal, weights_to_bytes
from gaitkeeper_server.rounds.roster import Presence
from gaitkeeper_server.rounds.states import Outcome, RoundState, RunState, Wish
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import RoundOrder, RoundReply, SiteReport, Weights

PACE = Pace(poll_s=0.005, absent_grace_s=0.2, missing_grace_s=0.05, look_s=0.02, look_again_s=0.1)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "journal.sqlite")
    made.request_run("run", STUDY, SITES, weights())
    return made


def conduct(journal: Journal, grid: ScriptedGrid) -> RunState:
    return Conductor(grid, journal, "run", roster=grid.roster, pace=PACE).conduct()  # type: ignore[arg-type]


def outcomes(journal: Journal, number: int) -> dict[str, Outcome]:
    return {item.site: item.outcome for item in journal.outcomes("run", number)}


def site_is(site: str, answer: Answer) -> Answer:
    """All sites behave but ``site``."""

    def mixed(who: str, order: RoundOrder, incoming: Weights) -> RoundReply | Error | None:
        return answer(who, order, incoming) if who == site else add_one(who, order, incoming)

    return mixed


def test_all_sites_train_and_evaluate_once_a_round(journal: Journal) -> None:
    grid = ScriptedGrid(add_one)
    assert conduct(journal, grid) is RunState.SUCCEEDED
    assert sorted(grid.asked) == sorted((site, number) for site in SITES for number in (1, 2, 3, 4))
    checkpoint = journal.checkpoint("run")
    assert checkpoint is not None
    # Each round adds the mean of 1, 4/3 and 5/3 to every weight.
    np.testing.assert_allclose(checkpoint.weights["bias"], 4.0, rtol=1e-6)
    final = journal.outcomes("run", 4)
    assert {item.metrics["correct"] for item in final} == {7.0}
    assert journal.outcomes("run", 1)[0].metrics == {}


def test_a_refusal_is_recorded_with_its_reason_and_degrades_the_run(journal: Journal) -> None:
    def refuse(site: str, order: RoundOrder, incoming: Weights) -> RoundReply:
        return RoundReply(SiteReport(site, "refused", "budget-spent", "The budget is spent."))

    assert conduct(journal, ScriptedGrid(site_is("clinic-b", refuse))) is RunState.DEGRADED
    refused = next(item for item in journal.outcomes("run", 2) if item.site == "clinic-b")
    assert (refused.outcome, refused.code) == (Outcome.REFUSED, "budget-spent")
    assert "clinic-b" in journal.run("run").detail


def broken_update(kind: str) -> Answer:
    def answer(site: str, order: RoundOrder, incoming: Weights) -> RoundReply:
        update = weights(1.0)
        if kind == "nan":
            update["bias"][1] = np.nan
        elif kind == "infinite":
            update["bias"][1] = np.inf
        elif kind == "shape":
            update["bias"] = np.zeros(4, np.float32)
        elif kind == "type":
            update["bias"] = np.zeros(3, np.float64)
        elif kind == "names":
            update["other"] = update.pop("bias")
        name = "clinic-a" if kind == "impostor" else site
        return RoundReply(SiteReport(name, "trained"), None if kind == "empty" else update)

    return answer


@pytest.mark.parametrize("kind", ["nan", "infinite", "shape", "type", "names", "empty", "impostor"])
def test_an_unusable_update_is_not_counted(journal: Journal, kind: str) -> None:
    conduct(journal, ScriptedGrid(site_is("clinic-c", broken_update(kind))))
    assert outcomes(journal, 1) == {
        "clinic-a": Outcome.INCLUDED,
        "clinic-b": Outcome.INCLUDED,
        "clinic-c": Outcome.FAILED,
    }
    assert len(list(journal.each_reply("run", 1))) == 2


def test_silence_ends_at_the_deadline_as_late(journal: Journal) -> None:
    grid = ScriptedGrid(site_is("clinic-a", lambda *_: None))
    assert conduct(journal, grid) is RunState.DEGRADED
    assert outcomes(journal, 1)["clinic-a"] is Outcome.LATE


def test_a_site_that_is_not_there_is_absent(journal: Journal) -> None:
    grid = ScriptedGrid(add_one)
    del grid.present["clinic-b"]
    assert conduct(journal, grid) is RunState.DEGRADED
    assert {outcomes(journal, number)["clinic-b"] for number in (1, 2, 3, 4)} == {Outcome.ABSENT}


def test_too_few_sites_fail_the_run_and_say_who_was_missing(journal: Journal) -> None:
    grid = ScriptedGrid(add_one)
    grid.present = {"clinic-a": grid.present["clinic-a"]}
    assert conduct(journal, grid) is RunState.FAILED
    record = journal.run("run")
    assert "clinic-b absent" in record.detail
    assert "1 of the 2 sites" in record.detail
    assert journal.rounds("run")[0].state is RoundState.ABANDONED
    assert record.committed == 0


def test_a_dead_trainer_is_asked_again_and_then_given_up(journal: Journal) -> None:
    error = Error(code=3, reason="the trainer is gone")
    grid = ScriptedGrid(site_is("clinic-b", lambda *_: error))
    assert conduct(journal, grid) is RunState.DEGRADED
    assert grid.asked.count(("clinic-b", 1)) == 3
    failed = next(item for item in journal.outcomes("run", 1) if item.site == "clinic-b")
    assert failed.outcome is Outcome.FAILED
    assert "the trainer is gone" in failed.message


def test_a_node_that_starts_anew_is_asked_again_in_the_same_round(journal: Journal) -> None:
    grid = ScriptedGrid(add_one)

    def forgets_once(site: str, order: RoundOrder, incoming: Weights) -> RoundReply | None:
        if grid.present["clinic-b"].since == "t0":
            # The node dies with the message and comes back.
            grid.present["clinic-b"] = Presence(grid.present["clinic-b"].node_id, "t1")
            return None
        return add_one(site, order, incoming)

    grid.answer = site_is("clinic-b", forgets_once)
    assert conduct(journal, grid) is RunState.SUCCEEDED
    assert grid.asked.count(("clinic-b", 1)) == 2


@pytest.mark.parametrize("pushes", range(1, 12))
def test_after_a_crash_anywhere_the_same_run_goes_on_to_the_same_bits(tmp_path: Path, pushes: int) -> None:
    """Crash after every possible number of messages; the rest is asked, nothing twice that was recorded."""
    reference = Journal(tmp_path / "whole.sqlite")
    reference.request_run("run", STUDY, SITES, weights())
    conduct(reference, ScriptedGrid(add_one))
    crashed = Journal(tmp_path / "crashed.sqlite")
    crashed.request_run("run", STUDY, SITES, weights())
    with pytest.raises(ConnectionError):
        conduct(crashed, ScriptedGrid(add_one, fail_after_pushes=pushes))
    assert not crashed.run("run").state.terminal
    done = {(item.number, o.site) for item in crashed.rounds("run") for o in crashed.outcomes("run", item.number)
            if o.outcome is Outcome.INCLUDED}  # fmt: skip
    again = ScriptedGrid(add_one)
    assert conduct(Journal(tmp_path / "crashed.sqlite"), again) is RunState.SUCCEEDED
    assert not done & {(number, site) for site, number in again.asked}
    ours, theirs = crashed.checkpoint("run"), reference.checkpoint("run")
    assert ours is not None
    assert theirs is not None
    assert weights_to_bytes(ours.weights) == weights_to_bytes(theirs.weights)


def test_the_recorded_replies_give_the_committed_bits(journal: Journal) -> None:
    conduct(journal, ScriptedGrid(add_one))
    again = mean_of_updates(journal.each_reply("run", 3))
    checkpoint = journal.checkpoint("run")
    assert checkpoint is not None
    assert weights_to_bytes(again) == weights_to_bytes(checkpoint.weights)


def test_stop_ends_the_run_and_keeps_what_was_committed(journal: Journal) -> None:
    def stop_in_round_two(site: str, order: RoundOrder, incoming: Weights) -> RoundReply | None:
        if order.round == 2:
            journal.set_wish("run", Wish.STOP)
            return None
        return add_one(site, order, incoming)

    assert conduct(journal, ScriptedGrid(stop_in_round_two)) is RunState.STOPPED
    assert journal.run("run").committed == 1
    # Terminal is terminal: asked again, nothing is sent.
    grid = ScriptedGrid(add_one)
    assert conduct(journal, grid) is RunState.STOPPED
    assert grid.asked == []


def test_a_changed_byte_in_the_checkpoint_is_noticed(journal: Journal, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "journal.sqlite") as database:
        (data,) = database.execute("SELECT weights FROM weights").fetchone()
        database.execute("UPDATE weights SET weights = ?", (data[:-1] + bytes([data[-1] ^ 1]),))
    with pytest.raises(GaitkeeperError) as error:
        journal.checkpoint("run")
    assert error.value.code == "journal-damaged"


def test_one_reply_counts_the_first(journal: Journal) -> None:
    from gaitkeeper_server.rounds.states import SiteOutcome

    journal.open_round("run", 1, SITES)
    journal.record_outcome("run", 1, SiteOutcome("clinic-a", Outcome.INCLUDED), weights(1.0))
    journal.record_outcome("run", 1, SiteOutcome("clinic-a", Outcome.INCLUDED), weights(2.0))
    (kept,) = journal.each_reply("run", 1)
    assert kept["bias"][0] == 1.0


def test_a_run_is_found_by_its_beginning_only_where_that_is_unambiguous(journal: Journal) -> None:
    journal.request_run("ruined", STUDY, SITES, weights())
    assert journal.run("rui").run == "ruined"
    for unclear in ("ru", "", "%", "x"):
        with pytest.raises(GaitkeeperError) as error:
            journal.run(unclear)
        assert error.value.code == "run-unknown"
