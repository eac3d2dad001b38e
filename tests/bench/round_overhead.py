"""What a round costs besides training: a real SuperLink and three sites on loopback that do next to nothing."""

from __future__ import annotations

import statistics
import tempfile
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from tests.bench.result import Result
from tests.e2e.federation_fixtures import Deployment

from gaitkeeper_server.rounds.states import Outcome, RunState

SITES = ("clinic-a", "clinic-b", "clinic-c")
ROUNDS = 10
START_S, RUN_S = 120.0, 240.0


def measure() -> tuple[Result, ...]:
    """``round_overhead_3_sites``."""
    with tempfile.TemporaryDirectory() as name:
        deployment = Deployment(Path(name))
        try:
            seconds = _seconds_of_rounds(deployment)
        finally:
            deployment.children.stop()
    what = (
        f"seconds from the end of a round to the end of the next, median over {len(seconds)} rounds after the first: "
        "SuperLink, journal and three sites over TLS on loopback, executors warm, a small model, no training"
    )
    detail = f"{min(seconds):.2f} to {max(seconds):.2f} s"
    return (Result("round_overhead_3_sites", statistics.median(seconds), "s", what, "<= 1 s", detail),)


def _seconds_of_rounds(deployment: Deployment) -> list[float]:
    keys = {site: deployment.enrol(site) for site in SITES}
    deployment.start_superlink()
    for site, key in keys.items():
        deployment.start_site(site, key)
    ready = [key.with_name(name) for key in keys.values() for name in ("executor.ready", "node.ready")]
    deployment.wait(lambda: all(path.exists() for path in ready), START_S)
    deployment.start_run("bench", ROUNDS)
    record = deployment.finish("bench", RUN_S)
    if record.state is not RunState.SUCCEEDED:
        raise RuntimeError(f"the run {record.state}: {record.detail}")
    ended = []
    for item in deployment.journal.rounds("bench")[:ROUNDS]:
        outcomes = {outcome.outcome for outcome in deployment.journal.outcomes("bench", item.number)}
        if outcomes != {Outcome.INCLUDED} or item.finished_at is None:
            raise RuntimeError(f"round {item.number} ended with {outcomes}")
        ended.append(datetime.fromisoformat(item.finished_at))
    return [(after - before).total_seconds() for before, after in pairwise(ended)]
