"""What a coordinator's conductor holds with 10, 100 and 1,000 sites: its checks, its journal, its sums.

The grid makes each reply when it is asked for it, a few at a time, as the deployment's unpacks them: no engine's memory
is in the numbers. Each number of sites is a process of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.result import Result
from tests.bench.sites import LONGEST_S, SIZES, WEIGHTS, requested


def measure() -> tuple[Result, ...]:
    """``coordinator_memory_1000_over_10_sites``."""
    peaks, words = [], []
    for sites in SIZES:
        command = [sys.executable, "-m", "tests.bench.conductor", str(sites)]
        done = subprocess.run(command, capture_output=True, timeout=LONGEST_S, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode(errors="replace")[-500:])
        found = json.loads(done.stdout.splitlines()[-1])
        peaks.append(found["peak_mib"])
        words.append(f"{sites}: {found['peak_mib']:.0f} MiB, {found['processor_s']:.2f} s of processor time a round")
    what = (
        f"peak resident memory of the conductor with its journal, {SIZES[-1]} sites over {SIZES[0]}, an update of "
        f"{WEIGHTS:,} numbers each"
    )
    name = f"coordinator_memory_{SIZES[-1]}_over_{SIZES[0]}_sites"
    return (Result(name, peaks[-1] / peaks[0], "ratio", what, "about 1", "; ".join(words)),)


def main(sites: int) -> None:
    """Play the rounds with so many sites; the last line says what they took."""
    from typing import Any, cast

    from tests.unit.rounds_fixtures import LazyGrid

    from gaitkeeper_server.rounds.conductor import Conductor, Pace
    from gaitkeeper_server.rounds.states import RunState

    names = tuple(f"site-{number:04d}" for number in range(sites))
    grid = LazyGrid(names)
    with tempfile.TemporaryDirectory() as folder:
        journal = requested(Path(folder), names)
        ends: list[float] = []

        def note(_round: int) -> None:
            ends.append(time.process_time())

        pace = Pace(poll_s=0.001)
        Conductor(cast(Any, grid), journal, "bench", roster=grid.roster, pace=pace, on_round=note).conduct()
        processor_s = ends[-1] - ends[-2]  # the first round imports what is needed
        record = journal.run("bench")
    if record.state is not RunState.SUCCEEDED:
        raise RuntimeError(f"the run {record.state}: {record.detail}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"sites": sites, "processor_s": processor_s, "peak_mib": peak}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
