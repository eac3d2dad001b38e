"""Where a walk leaves the published norm, joint by joint: in numbers. No model is involved.

A stretch counts when, over at least :data:`SHORTEST` percent of the cycle, the patient's mean curve lies more than
:data:`BAND_SD` of the norm's standard deviations from the norm's mean **even at the near end of its own 95 % interval**
over cycles: an angle that differs from step to step is not said to be abnormal. Absolute levels of hip and ankle depend
on where a source places its points; :data:`LEAST_DEGREES` keeps the sentences above what differs between methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import stats

from gaitkeeper_client.insight.charts.curves import SideCurve
from gaitkeeper_client.insight.norms import NormCurve
from gaitkeeper_shared.arrays import FloatArray

BAND_SD = 2.0
SHORTEST = 5
LEAST_DEGREES = 8.0
FEWEST_CYCLES = 2
"""Of a side: one cycle has no interval."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """The largest departure of one angle of one side from the norm, with the stretch that it lies in (percent).

    ``offset``: degrees by which the whole curve lies beside the norm's on average.
    """

    angle: str
    side: str
    at_percent: int
    from_percent: int
    to_percent: int
    degrees: float
    spreads: float
    offset: float


def deviations(angle: str, side: str, curve: SideCurve, norm: NormCurve) -> tuple[Deviation, ...]:
    """All stretches of a side's mean curve outside the norm's band, largest first; none for a single cycle."""
    if curve.n < FEWEST_CYCLES:
        return ()
    half_interval = float(stats.t.ppf(0.975, curve.n - 1)) * curve.sd / np.sqrt(curve.n)
    difference = curve.mean - norm.mean
    spreads = difference / norm.sd
    least = np.abs(difference) - half_interval
    outside = np.isfinite(least) & (least > BAND_SD * norm.sd) & (np.abs(difference) >= LEAST_DEGREES)
    offset = float(np.nanmean(difference))
    found = []
    for start, end in _runs(outside, np.sign(np.nan_to_num(difference))):
        if end - start < SHORTEST:
            continue
        peak = start + int(np.argmax(np.abs(difference[start:end])))
        largest = (float(difference[peak]), float(spreads[peak]), offset)
        found.append(Deviation(angle, side, peak, start, end - 1, *largest))
    return tuple(sorted(found, key=lambda item: -abs(item.spreads)))


def _runs(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], sign: FloatArray) -> list[tuple[int, int]]:
    """[start, end) of runs in which the mask holds and the sign stays the same."""
    code = np.where(mask, sign, 0.0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0.0], code, [0.0]])) != 0)
    return [(int(a), int(b)) for a, b in pairwise(edges) if code[a] != 0.0]
