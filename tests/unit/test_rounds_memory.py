"""Updates are folded in as they come: what the coordinator holds does not grow with the number of sites."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
from tests.unit.rounds_fixtures import STUDY, LazyGrid

from gaitkeeper_server.rounds.conductor import Conductor, Pace
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.states import RunState

WEIGHTS = 100_000
UPDATE = 4 * WEIGHTS


def peak(folder: Path, sites: int) -> int:
    """Bytes that a round with so many sites holds at most, beyond what is there before."""
    folder.mkdir()
    names = tuple(f"site-{number:04d}" for number in range(sites))
    study = STUDY.replace(b"rounds = 3", b"rounds = 1").replace(b"deadline_s = 0.6", b"deadline_s = 600.0")
    journal = Journal(folder / "journal.sqlite")
    journal.request_run("run", study + b"[evaluation]\nholdout = 0.0\n", names, {"w": np.zeros(WEIGHTS, np.float32)})
    grid = LazyGrid(names)
    conductor = Conductor(grid, journal, "run", roster=grid.roster, pace=Pace(poll_s=0.0))  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        assert conductor.conduct() is RunState.SUCCEEDED
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_a_round_holds_does_not_grow_with_the_sites(tmp_path: Path) -> None:
    peak(tmp_path / "warm", 2)  # imports and caches
    few, many = peak(tmp_path / "few", 8), peak(tmp_path / "many", 32)
    assert few > 8 * UPDATE  # eight replies at a time are held: the measure sees updates
    assert many - few < 4 * UPDATE
