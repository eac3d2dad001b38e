"""What a coordinator endures: updates far beyond private steps, a journal on a busy or full disk, endless names."""

from __future__ import annotations

import math
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.unit.rounds_fixtures import SITES, STUDY, ScriptedGrid, add_one, weights

from gaitkeeper_server.cli import rounds as cli
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.rounds import request, runner
from gaitkeeper_server.rounds.aggregate import check_update
from gaitkeeper_server.rounds.bounds import largest_update
from gaitkeeper_server.rounds.conductor import Conductor, Pace
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.states import Outcome, RunState
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import RoundOrder, RoundReply, Weights
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.study import parse_study

PACE = Pace(poll_s=0.005, absent_grace_s=0.2, missing_grace_s=0.05, look_s=0.02, look_again_s=0.1)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "journal.sqlite")
    made.request_run("run", STUDY, SITES, weights())
    return made


def test_the_bound_is_what_the_steps_public_numbers_say() -> None:
    study = parse_study(STUDY)
    prices = plan(study)
    bound = largest_update(study, prices, weights(), 1)
    assert prices.train is not None
    noise = prices.train.noise_multiplier * (math.sqrt(15) + 8) / 5
    assert bound == pytest.approx(1.01 * 0.5 * (100 + noise) / (1 - 0.9))
    free = replace(study, privacy=replace(study.privacy, epsilon=math.inf))
    assert largest_update(free, plan(free), weights(), 1) == math.inf


def test_honest_steps_stay_far_below_the_bound() -> None:
    """All patients in every step, all gradients in one direction, noise as it is drawn."""
    study = parse_study(STUDY.replace(b"rounds = 3", b"rounds = 3\nlocal_steps = 20"))
    prices = plan(study)
    assert prices.train is not None
    reference = {"w": np.zeros(400, np.float64)}
    random = np.random.default_rng(0)
    direction = np.ones(400) / 20
    patients = 5 * study.privacy.patients_per_site
    buffer, position = np.zeros(400), np.zeros(400)
    for _ in range(study.training.local_steps):
        noised = patients * direction + random.normal(0, prices.train.noise_multiplier, 400)
        buffer = study.training.momentum * buffer + noised / (study.privacy.sample_rate * 10)
        position -= study.training.learning_rate * buffer
    update = {"w": position}
    bound = largest_update(study, prices, reference, 1)
    assert check_update("clinic-a", update, reference, largest=bound) is update
    assert np.linalg.norm(position) < bound / 5


def test_an_update_beyond_what_private_steps_reach_is_not_counted(journal: Journal) -> None:
    def overwhelming(site: str, order: RoundOrder, incoming: Weights) -> RoundReply:
        reply = add_one(site, order, incoming)
        if site != "clinic-b" or reply.weights is None:
            return reply
        return replace(reply, weights={name: array + np.float32(1e6) for name, array in reply.weights.items()})

    grid = ScriptedGrid(overwhelming)
    assert Conductor(grid, journal, "run", roster=grid.roster, pace=PACE).conduct() is RunState.DEGRADED  # type: ignore[arg-type]
    found = {item.site: item for item in journal.outcomes("run", 1)}
    assert (found["clinic-b"].outcome, found["clinic-b"].code) == (Outcome.FAILED, "update-unusable")
    assert "private steps" in found["clinic-b"].message
    assert found["clinic-a"].outcome is Outcome.INCLUDED


def test_numbers_whose_distance_overflows_are_not_counted() -> None:
    huge = {"w": np.full(3, 1e300)}
    with pytest.raises(GaitkeeperError, match="lies inf"), np.errstate(over="ignore"):
        check_update("clinic-a", huge, {"w": np.zeros(3)}, largest=1e6)


def test_the_order_of_the_arrays_does_not_matter() -> None:
    update = dict(reversed(weights(1.0).items()))
    assert check_update("clinic-a", update, weights()) is update


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **kw: connect(path, **{**kw, "timeout": 0.01}))


def code_of(action: Any) -> str:
    with pytest.raises(GaitkeeperError) as error:
        action()
    return error.value.code


def test_a_busy_journal_is_unavailable_not_damaged(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    other = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        assert code_of(lambda: journal.set_run_state("run", RunState.RUNNING)) == "journal-unavailable"
    finally:
        other.close()
    journal.set_run_state("run", RunState.RUNNING)
    assert journal.run("run").state is RunState.RUNNING


def test_a_full_disk_leaves_the_run_to_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.request_run("run", STUDY, SITES, {"w": np.zeros(20_000, np.float32)})
    grid = ScriptedGrid(add_one)
    conductor = Conductor(grid, journal, "run", roster=grid.roster, pace=PACE)  # type: ignore[arg-type]
    connect = sqlite3.connect

    def without_space(path: Path, **kw: Any) -> sqlite3.Connection:
        database: sqlite3.Connection = connect(path, **kw)
        # SQLite's own limit gives the error of a full disk: not one page more than there are now.
        database.execute("PRAGMA max_page_count = 1")
        return database

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", without_space)
        assert code_of(conductor.conduct) == "journal-unavailable"
        assert not journal.run("run").state.terminal
    again = Conductor(grid, journal, "run", roster=grid.roster, pace=PACE)  # type: ignore[arg-type]
    assert again.conduct() is RunState.SUCCEEDED


def test_bytes_that_are_no_journal_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"no journal at all" * 500)
    assert code_of(lambda: Journal(path)) == "journal-damaged"


def test_the_conductors_process_asks_to_be_started_again(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    path = tmp_path / "journal.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        status = runner.conduct(path, "run", 1, "secret", tmp_path / "claim.lock", tmp_path / "sign", pause_s=0.0)
    finally:
        other.close()
    assert status == runner.EXIT_AGAIN


def test_a_disk_that_takes_nothing_is_no_fault_of_the_run(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gaitkeeper_shared.trust.certificates.load_certificate", full)
    lock, sign = tmp_path / "claim.lock", tmp_path / "sign"
    path = tmp_path / "journal.sqlite"
    assert runner.conduct(path, "run", 1, "secret", lock, sign, pause_s=0.0) == runner.EXIT_AGAIN
    assert sign.exists()
    # What no waiting mends does count: a run that is not in the journal.
    assert runner.conduct(path, "no such run", 1, "secret", lock, sign, pause_s=0.0) not in (0, runner.EXIT_AGAIN)


def followed(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("gaitkeeper_server.daemon.is_running", lambda home: True)
    monkeypatch.setattr(cli, "_PUBLISHED_WITHIN_S", 0.3)
    home = SimpleNamespace(path=Path("home"))
    return cli._follow(home, journal, journal.run("run"), quiet=True)  # type: ignore[arg-type]


def test_following_a_run_ends_though_the_registry_never_has_it(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.set_run_state("run", RunState.SUCCEEDED)
    started = time.monotonic()
    assert not followed(journal, monkeypatch).published
    assert 0.3 <= time.monotonic() - started < 10.0


def test_following_a_run_ends_with_its_version(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.set_run_state("run", RunState.SUCCEEDED)
    journal.set_published("run", 7)
    assert followed(journal, monkeypatch).model_version == 7


@pytest.mark.parametrize("length", [250, 255, 300, 5_000])
def test_a_study_with_an_endless_name_is_not_signed(journal: Journal, tmp_path: Path, length: int) -> None:
    home = CoordinatorHome(tmp_path)
    assert code_of(lambda: request.request_run(home, journal, "x" * length)) == "study-not-signed"
