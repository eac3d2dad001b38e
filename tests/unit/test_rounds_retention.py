"""What the journal forgets once a run is over, and what it keeps for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.unit.rounds_fixtures import STUDY, weights
from typer.testing import CliRunner

from gaitkeeper_server.cli import app
from gaitkeeper_server.daemon import journal_path
from gaitkeeper_server.enrolment.setup import create_coordinator
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.retention import prune
from gaitkeeper_server.rounds.states import Outcome, RunState, SiteOutcome

LATER = datetime.now(UTC) + timedelta(days=1)
BIG = {"bias": np.zeros(100_000, np.float32)}


def conducted(journal: Journal, run: str, state: RunState | None, *, published: bool) -> None:
    """A run of two rounds of two sites, in the state that is asked for."""
    journal.request_run(run, STUDY, ["a", "b"], weights())
    for number in (1, 2):
        journal.open_round(run, number, ["a", "b"])
        for site in ("a", "b"):
            journal.record_outcome(run, number, SiteOutcome(site, Outcome.INCLUDED, epsilon_spent=1.0), BIG)
        journal.commit_round(run, number, BIG, optimiser={"momentum": BIG["bias"]})
    if state is not None:
        journal.set_run_state(run, state)
    if published:
        journal.set_published(run, 7)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "journal.sqlite")
    conducted(made, "over", RunState.SUCCEEDED, published=True)
    conducted(made, "unregistered", RunState.SUCCEEDED, published=False)
    return made


def replies(journal: Journal, run: str) -> int:
    return sum(len(list(journal.each_reply(run, number))) for number in (1, 2))


def test_single_updates_go_and_the_record_stays(journal: Journal, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    before, rounds, outcomes = path.stat().st_size, journal.rounds("over"), journal.outcomes("over", 1)
    done = prune(journal, LATER)
    assert (done.replies, done.weights, done.shrunk) == (4, 2, True)
    assert replies(journal, "over") == 0
    assert replies(journal, "unregistered") == 4
    assert journal.rounds("over") == rounds
    assert journal.outcomes("over", 1) == outcomes
    last = journal.checkpoint("over")
    assert last is not None
    assert (last.number, last.weights["bias"].size) == (2, 100_000)
    assert journal.optimiser_state("over") == {}
    assert path.stat().st_size <= before - done.size + 100_000
    assert prune(journal, LATER).replies == 0


def test_an_open_run_is_not_touched(journal: Journal) -> None:
    conducted(journal, "open", None, published=False)
    journal.set_run_state("open", RunState.PAUSED)
    done = prune(journal, LATER)
    assert (done.replies, done.shrunk) == (4, False)
    assert replies(journal, "open") == 4
    assert len(list(journal.checkpoints("open", 0))) == 3
    assert journal.optimiser_state("open")


def test_a_run_that_ended_lately_keeps_its_updates(journal: Journal) -> None:
    assert prune(journal, datetime.now(UTC) - timedelta(days=1)).replies == 0
    assert replies(journal, "over") == 4


def test_the_command_says_what_it_removed(tmp_path: Path) -> None:
    home = CoordinatorHome(tmp_path / "home")
    create_coordinator(home, "tri", ("127.0.0.1",))
    conducted(Journal(journal_path(home)), "over", RunState.STOPPED, published=True)
    command = ["prune", "--home", str(home.path)]
    assert "0 updates" in CliRunner().invoke(app, command).output
    assert '"updates": 4, "weights": 2' in CliRunner().invoke(app, [*command, "--days", "0", "--json"]).output
