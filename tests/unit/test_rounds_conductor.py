"""The round loop: every outcome a site can have, quorum and deadline, resume, pause and stop."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Error
from tests.unit.rounds_fixtures import SITES, STUDY, Answer, ScriptedGrid, add_one, weights

from gaitkeeper_server.rounds.aggregate import check_update, mean_of_updates
from gaitkeeper_server.rounds.conductor import Conductor, Pace
from gaitkeeper_server.rounds.journal import Journal, weights_to_bytes
from gaitkeeper_server.rounds.publish import round_points
from gaitkeeper_server.rounds.roster import Presence
from gaitkeeper_server.rounds.states import Outcome, RoundState, RunState, SiteOutcome, Wish
from gaitkeeper_server.rounds.trained import trained_weights
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import RoundOrder, RoundReply, SiteReport, Weights
from gaitkeeper_shared.models.bundle import weights_of
from gaitkeeper_shared.models.registry import build
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.study import parse_study

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


def test_a_site_that_does_not_know_its_name_keeps_its_reason(journal: Journal) -> None:
    def unnamed(site: str, order: RoundOrder, incoming: Weights) -> RoundReply:
        return RoundReply(SiteReport("", "refused", "vault-locked", "The vault is locked."))

    assert conduct(journal, ScriptedGrid(site_is("clinic-b", unnamed))) is RunState.DEGRADED
    refused = next(item for item in journal.outcomes("run", 1) if item.site == "clinic-b")
    assert (refused.outcome, refused.code, refused.message) == (Outcome.REFUSED, "vault-locked", "The vault is locked.")


def test_without_a_name_nothing_else_counts(journal: Journal) -> None:
    def unnamed(site: str, order: RoundOrder, incoming: Weights) -> RoundReply:
        return RoundReply(replace(add_one(site, order, incoming).report, site=""), incoming)

    conduct(journal, ScriptedGrid(site_is("clinic-b", unnamed)))
    assert outcomes(journal, 1)["clinic-b"] is Outcome.FAILED


def test_counts_are_kept_where_the_study_asks_for_them_with_its_own_noise(journal: Journal) -> None:
    def talkative(site: str, order: RoundOrder, incoming: Weights) -> RoundReply:
        metrics = {"evaluated": 10.0, "correct": 7.0, "noise_std": 1e-9}
        return replace(add_one(site, order, incoming), metrics=metrics)

    assert conduct(journal, ScriptedGrid(talkative)) is RunState.SUCCEEDED
    assert all(item.metrics == {} for item in journal.outcomes("run", 1))
    kept = journal.outcomes("run", 2)[0].metrics
    assert set(kept) == {"evaluated", "correct", "noise_std"}
    assert kept["noise_std"] == pytest.approx(plan(parse_study(STUDY)).count_noise_std)
    assert kept["noise_std"] > 1.0


@pytest.mark.parametrize(
    "metrics", [{"age of patient 7": 81.0}, {"evaluated": float("nan")}, {"correct": float("inf")}, {"a\nb": 1.0}]
)
def test_odd_metrics_neither_count_nor_reach_mlflow(journal: Journal, metrics: dict[str, float]) -> None:
    def hostile(site: str, order: RoundOrder, incoming: Weights) -> RoundReply:
        return replace(add_one(site, order, incoming), metrics=metrics)

    assert conduct(journal, ScriptedGrid(site_is("clinic-b", hostile))) is RunState.DEGRADED
    published = [
        point for item in journal.rounds("run") for point in round_points(item, journal.outcomes("run", item.number))
    ]
    assert all(math.isfinite(point.value) for point in published)
    assert not [point.name for point in published if point.name.endswith(".clinic-b")]
    assert {point.name for point in published if point.name.endswith(".clinic-a")} == {
        "epsilon_spent.clinic-a",
        "site_seconds.clinic-a",
        "evaluated.clinic-a",
        "correct.clinic-a",
        "noise_std.clinic-a",
    }


def test_an_odd_metric_in_an_old_journal_is_not_published(journal: Journal) -> None:
    journal.open_round("run", 2, SITES)
    metrics = {"evaluated": 9.0, "a\nb": 1.0, "correct": float("nan")}
    journal.record_outcome("run", 2, SiteOutcome("clinic-a", Outcome.INCLUDED, metrics=metrics), weights(1.0))
    journal.commit_round("run", 2, weights(1.0))
    names = {point.name for point in round_points(journal.rounds("run")[0], journal.outcomes("run", 2))}
    assert "evaluated.clinic-a" in names
    assert not names & {"a\nb.clinic-a", "correct.clinic-a"}


def test_a_replys_seconds_are_measured_here(journal: Journal) -> None:
    def slow(site: str, order: RoundOrder, incoming: Weights) -> RoundReply:
        reply = add_one(site, order, incoming)
        return replace(reply, report=replace(reply.report, seconds=4711.0))

    grid = ScriptedGrid(slow, delay_s=0.05)
    assert conduct(journal, grid) is RunState.SUCCEEDED
    measured = [o.seconds for item in journal.rounds("run") for o in journal.outcomes("run", item.number)]
    assert len(measured) == 12
    assert all(0.05 <= seconds < 60 for seconds in measured)


@pytest.mark.parametrize("average", [0.0, 0.7, 1.0])
def test_the_final_evaluation_judges_what_is_registered(tmp_path: Path, average: float) -> None:
    study = STUDY.replace(b"rounds = 3", b"rounds = 3\naverage = %g" % average)
    journal = Journal(tmp_path / "journal.sqlite")
    journal.request_run("run", study, SITES, weights())
    grid = ScriptedGrid(add_one)
    assert conduct(journal, grid) is RunState.SUCCEEDED
    # Rounds end at 4/3, 8/3 and 4: their mean is 8/3, that of the last two 10/3.
    expected = {0.0: 4.0, 0.7: 10 / 3, 1.0: 8 / 3}[average]
    for site in SITES:
        np.testing.assert_allclose(grid.sent[site, 4]["bias"], expected, rtol=1e-6)
    registered = trained_weights(journal, "run")
    assert weights_to_bytes(registered) == weights_to_bytes(grid.sent["clinic-a", 4])


def test_arrays_that_the_study_keeps_must_come_back_as_they_were_sent() -> None:
    spec = replace(ModelSpec.of(parse_study(STUDY), "0" * 64), trained="head")
    model = build(spec)
    sent = weights_of(model)
    free = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert free < set(sent)
    for name in sent:
        changed = {**sent, name: sent[name] + np.float32(1e-6)}
        check_update("clinic-a", changed, sent, "all")
        if name in free:
            check_update("clinic-a", changed, sent, "head")
        else:
            with pytest.raises(GaitkeeperError, match="it changed"):
                check_update("clinic-a", changed, sent, "head")


def test_the_order_of_arrays_is_no_matter() -> None:
    ours = weights(0.0)
    theirs = dict(reversed(weights(1.0).items()))
    assert set(check_update("clinic-a", theirs, ours)) == set(ours)
    assert list(theirs) != list(ours)


def test_a_run_refuses_an_update_of_frozen_arrays(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    study = STUDY.replace(b"[training]", b'[model]\ntrained = "head"\n[training]')
    journal.request_run("run", study, SITES, {"encoder.w": weights()["bias"], "head.w": weights()["bias"]})

    def obedient(site: str, order: RoundOrder, incoming: Weights) -> RoundReply:
        reply = add_one(site, order, incoming)
        kept = {"encoder.w": incoming["encoder.w"]}
        return reply if reply.weights is None else replace(reply, weights={**reply.weights, **kept})

    def mixed(site: str, order: RoundOrder, incoming: Weights) -> RoundReply:
        return (add_one if site == "clinic-c" else obedient)(site, order, incoming)

    assert conduct(journal, ScriptedGrid(mixed)) is RunState.DEGRADED
    assert outcomes(journal, 1)["clinic-c"] is Outcome.FAILED
    assert outcomes(journal, 1)["clinic-a"] is Outcome.INCLUDED


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
        delta = 1e-3 if kind == "other delta" else 1e-5
        spent = float("inf") if kind == "infinite epsilon" else 0.5
        report = SiteReport(name, "trained", epsilon_spent=spent, delta=delta)
        return RoundReply(report, None if kind == "empty" else update)

    return answer


UNUSABLE = ["nan", "infinite", "shape", "type", "names", "empty", "impostor", "other delta", "infinite epsilon"]


def test_the_update_that_the_spoilt_ones_are_made_from_is_usable(journal: Journal) -> None:
    assert conduct(journal, ScriptedGrid(site_is("clinic-c", broken_update("no way")))) is RunState.SUCCEEDED


@pytest.mark.parametrize("kind", UNUSABLE)
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


def test_too_few_sites_pause_the_run_and_say_who_was_missing(journal: Journal) -> None:
    grid = ScriptedGrid(add_one)
    grid.present = {"clinic-a": grid.present["clinic-a"]}
    assert conduct(journal, grid) is RunState.PAUSED
    record = journal.run("run")
    assert record.paused_itself
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
