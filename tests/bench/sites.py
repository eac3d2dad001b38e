"""What a round costs a coordinator with 10, 100 and 1,000 sites, simulated on Flower's simulation engine.

The conductor, its checks, its journal and the fold of the updates are the deployment's; the sites are nodes of Flower's
engine whose application adds one to every weight. Each number of sites is a process of its own, whose peak of resident
memory is the coordinator's and the engine's: the sites' workers are other processes. ``conductor`` measures what is the
coordinator's of it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tests.bench.result import Result

if TYPE_CHECKING:
    from gaitkeeper_server.rounds.journal import Journal

SIZES = (10, 100, 1000)
ROUNDS = 2
WEIGHTS = 100_000
"""Numbers of the model: an update takes 400 kB, those of 1,000 sites 400 MB."""
LONGEST_S = 1200.0
STUDY = """
name = "NAME"
[task]
labels = ["healthy", "patient"]
[input]
channels = ["hip_flexion_left"]
[training]
rounds = ROUNDS
[privacy]
epsilon = 5.0
delta = 1e-5
clip_norm = 1.0
sample_rate = 0.5
patients_per_site = 10
[evaluation]
holdout = 0.0
[federation]
quorum = SITES
deadline_s = 1200.0
aggregation = "plain"
"""


def measure() -> tuple[Result, ...]:
    """``round_sites_10`` to ``round_sites_1000``, and ``simulation_memory_1000_over_10_sites``."""
    results, peaks = [], []
    for sites in SIZES:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.sites", str(sites)], capture_output=True, timeout=LONGEST_S, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode(errors="replace")[-500:])
        found = json.loads(done.stdout.splitlines()[-1])
        peaks.append(found["peak_mib"])
        what = f"seconds of a round with {sites} sites on Flower's simulation engine, an update of {WEIGHTS:,} numbers"
        detail = f"peak of the process {found['peak_mib']:.0f} MiB"
        results.append(Result(f"round_sites_{sites}", found["seconds"], "s", what, "", detail))
    what = f"peak resident memory of the conductor with Flower's simulation engine, {SIZES[-1]} sites over {SIZES[0]}"
    detail = " ".join(f"{sites}: {peak:.0f} MiB" for sites, peak in zip(SIZES, peaks, strict=True))
    name = f"simulation_memory_{SIZES[-1]}_over_{SIZES[0]}_sites"
    return (*results, Result(name, peaks[-1] / peaks[0], "ratio", what, "", detail))


def main(sites: int) -> None:
    """Play the rounds with so many sites; the last line says what they took."""
    from gaitkeeper_server.rounds.states import RunState

    names = tuple(f"site-{number:04d}" for number in range(sites))
    with tempfile.TemporaryDirectory() as folder:
        journal = requested(Path(folder), names)
        _play(journal, names)
        record = journal.run("bench")
        if record.state is not RunState.SUCCEEDED:
            raise RuntimeError(f"the run {record.state}: {record.detail}")
        rounds = journal.rounds("bench")
    # The first one starts the engine's workers.
    started, ended = rounds[-1].started_at, rounds[-1].finished_at or ""
    seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"sites": sites, "seconds": seconds, "peak_mib": peak}))


def study_of_many(name: str, rounds: int, sites: int) -> bytes:
    """A study for so many sites, all of them in each round, in which nothing is evaluated and nothing masked."""
    return STUDY.replace("NAME", name).replace("ROUNDS", str(rounds)).replace("SITES", str(sites)).encode()


def requested(folder: Path, names: tuple[str, ...]) -> Journal:
    """A journal in which a run ``bench`` of these sites was asked for."""
    from gaitkeeper_server.rounds.journal import Journal

    journal = Journal(folder / "journal.sqlite")
    study = study_of_many("many-sites", ROUNDS, len(names))
    journal.request_run("bench", study, names, {"weights": np.zeros(WEIGHTS, np.float32)})
    return journal


def _play(journal: Journal, names: tuple[str, ...]) -> None:
    from flwr.app import Context, Message
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp

    from gaitkeeper_server.rounds import rehearsal
    from gaitkeeper_server.rounds.conductor import Conductor, Pace
    from gaitkeeper_server.rounds.engine import simulate

    rehearsal.ROLL_CALL_S = LONGEST_S  # a thousand nodes take minutes to come up
    client, server = ClientApp(), ServerApp()

    @client.train()
    def answer(message: Message, context: Context) -> Message:
        from gaitkeeper_shared.federation import RoundReply, SiteReport, decode_order, encode_reply

        _, weights = decode_order(message.content)
        site = names[int(context.node_config["partition-id"])]
        report = SiteReport(site, "trained", epsilon_spent=0.5, delta=1e-5)
        update = {key: array + np.float32(1) for key, array in weights.items()}
        return Message(encode_reply(RoundReply(report, update)), reply_to=message)

    @client.query()
    def name(message: Message, context: Context) -> Message:
        from flwr.app import ConfigRecord, RecordDict

        from gaitkeeper_shared.rehearsal import ROLL_KEY, ROLL_RECORD

        site = names[int(context.node_config["partition-id"])]
        return Message(RecordDict({ROLL_RECORD: ConfigRecord({ROLL_KEY: site})}), reply_to=message)

    @server.main()
    def conduct(grid: Grid, context: Context) -> None:
        roster = rehearsal._roll_call(grid, len(names))
        Conductor(grid, journal, "bench", roster=roster, pace=Pace(poll_s=0.01)).conduct()

    simulate(server, client, len(names))


if __name__ == "__main__":
    main(int(sys.argv[1]))
