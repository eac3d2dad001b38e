"""Commands of the rounds: the exit status of a run that went short, and the members of a study."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.rounds_fixtures import SITES, STUDY, ScriptedGrid, add_one, weights
from tests.unit.secure_fixtures import identity
from typer.testing import CliRunner

from gaitkeeper_server.cli import app
from gaitkeeper_server.daemon import journal_path
from gaitkeeper_server.enrolment.setup import create_coordinator
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.rounds.conductor import Conductor, Pace
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.store import CoordinatorStore
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.study import parse_study
from gaitkeeper_shared.trust.certificates import public_key_digest, read_certificate


@pytest.fixture
def home(tmp_path: Path) -> CoordinatorHome:
    place = CoordinatorHome(tmp_path / "home")
    create_coordinator(place, "gait-north", ("127.0.0.1",))
    return place


def test_a_degraded_run_has_an_exit_status_of_its_own(home: CoordinatorHome, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(journal_path(home))
    journal.request_run("short", STUDY.replace(b"rounds = 3", b"rounds = 1"), SITES, weights())
    grid = ScriptedGrid(add_one)
    del grid.present["clinic-b"]
    pace = Pace(poll_s=0.005, absent_grace_s=0.1, missing_grace_s=0.05, look_s=0.02)
    Conductor(grid, journal, "short", roster=grid.roster, pace=pace).conduct()  # type: ignore[arg-type]
    journal.set_published("short", 12)
    record = journal.run("short")
    monkeypatch.setattr("gaitkeeper_server.daemon.is_running", lambda home: True)
    monkeypatch.setattr("gaitkeeper_server.rounds.request.request_run", lambda *_: record)
    result = CliRunner().invoke(app, ["train", "rounds", "--wait", "--home", str(home.path)])
    assert isinstance(result.exception, GaitkeeperError)
    assert (result.exception.code, result.exception.exit_status) == ("run-degraded", 3)
    assert "without clinic-b" in result.exception.message
    assert "Model version 12" in result.output


def test_waiting_for_a_run_ends_when_it_pauses_itself(home: CoordinatorHome, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(journal_path(home))
    record = journal.request_run("short", STUDY, SITES, weights())
    journal.pause_run("short", "Round 1 ended with 1 of the 2 sites.", asked=False)
    monkeypatch.setattr("gaitkeeper_server.daemon.is_running", lambda home: True)
    monkeypatch.setattr("gaitkeeper_server.rounds.request.request_run", lambda *_: record)
    result = CliRunner().invoke(app, ["train", "rounds", "--wait", "--home", str(home.path)])
    assert isinstance(result.exception, GaitkeeperError)
    assert (result.exception.code, result.exception.exit_status) == ("run-paused", 4)
    assert "1 of the 2 sites" in result.exception.message
    assert "coordinator resume short" in str(result.exception)


def test_members_are_printed_as_the_table_of_a_study(home: CoordinatorHome) -> None:
    store = CoordinatorStore(home.store)
    certificate = identity("clinic-a").certificate
    store.invite("clinic-a", "token", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
    assert store.enrol("token", "key", certificate, b"node", "2026-01-01T00:00:00Z")
    table = CliRunner().invoke(app, ["members", "--home", str(home.path)]).output
    digest = public_key_digest(read_certificate(certificate, what="clinic-a"))
    study = parse_study(STUDY.replace(b"quorum = 2", b"quorum = 1") + table.encode())
    assert study.federation.sites == {"clinic-a": digest}
