"""What privacy costs in time: a patient-level DP-SGD step over the same step without privacy."""

from __future__ import annotations

import statistics

from tests.bench import steps
from tests.bench.result import Result, paired_ratio

REPEATS = 25


def measure() -> tuple[Result, ...]:
    """``dp_step_over_plain``."""
    steps.use_two_cores()
    ours, theirs = steps.interleaved(steps.private_steps(), steps.plain_steps(), REPEATS)
    value = paired_ratio(ours, theirs)
    what = f"time of a patient-level DP-SGD step over the same step without privacy; {steps.WORK}, {steps.CORES} cores"
    detail = f"{1000 * statistics.median(ours):.1f} ms over {1000 * statistics.median(theirs):.1f} ms"
    return (Result("dp_step_over_plain", value, "ratio", what, "<= 1.3", detail),)
