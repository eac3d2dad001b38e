"""What a masked round costs besides training: a real SuperLink and four sites on loopback that mask for real."""

from __future__ import annotations

import statistics
import tempfile
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from tests.bench.result import Result
from tests.e2e.secure_fixtures import SecureDeployment

from gaitkeeper_server.rounds.states import Outcome, RunState

ROUNDS = 8
RUN_S = 400.0


def measure() -> tuple[Result, ...]:
    """``secure_round_4_sites``."""
    with tempfile.TemporaryDirectory() as name:
        deployment = SecureDeployment(Path(name))
        try:
            deployment.start()
            deployment.start_masked_run("bench", ROUNDS, deadline_s=60.0)
            record = deployment.finish("bench", RUN_S)
            if record.state is not RunState.SUCCEEDED:
                raise RuntimeError(f"the run {record.state}: {record.detail}")
            seconds = _seconds(deployment)
        finally:
            deployment.children.stop()
    what = (
        f"seconds from the end of a masked round to the end of the next, median over {len(seconds)} rounds after the "
        "first: SuperLink, journal and four sites over TLS on loopback, keys, shares, masks and ledgers real, "
        "executors warm, a small model, no training"
    )
    detail = f"{min(seconds):.2f} to {max(seconds):.2f} s"
    return (Result("secure_round_4_sites", statistics.median(seconds), "s", what, "<= 4 s", detail),)


def _seconds(deployment: SecureDeployment) -> list[float]:
    ended = []
    for item in deployment.journal.rounds("bench"):
        outcomes = {outcome.outcome for outcome in deployment.journal.outcomes("bench", item.number)}
        if outcomes != {Outcome.INCLUDED} or item.finished_at is None:
            raise RuntimeError(f"round {item.number} ended with {outcomes}")
        ended.append(datetime.fromisoformat(item.finished_at))
    return [(after - before).total_seconds() for before, after in pairwise(ended)]
