"""What the patient as the unit saves: a step of Opacus' DPLSTM over a patient-level DP-SGD step on the same work."""

from __future__ import annotations

import statistics

from tests.bench import steps
from tests.bench.result import Result, paired_ratio

REPEATS = 8


def measure() -> tuple[Result, ...]:
    """``dplstm_over_dp_step``."""
    steps.use_two_cores()
    theirs, ours = steps.interleaved(steps.opacus_steps(), steps.private_steps(), REPEATS)
    value = paired_ratio(theirs, ours)
    what = (
        "time of a step with Opacus' DPLSTM and per-sample gradients over a patient-level DP-SGD step; "
        f"{steps.WORK}, {steps.CORES} cores"
    )
    detail = f"{1000 * statistics.median(theirs):.1f} ms over {1000 * statistics.median(ours):.1f} ms"
    return (Result("dplstm_over_dp_step", value, "ratio", what, ">= 5", detail),)
