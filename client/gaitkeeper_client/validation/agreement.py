"""How well two measurements agree: events one to one, and the statistics of their differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from gaitkeeper_client.gait.analysis import CURVE_POINTS
from gaitkeeper_client.validation.reference import Span
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import EventType, GaitEvent

FOUND_S = 0.2
"""An event this near to the reference's is the same event: half of a short step."""
STRICT_S = 0.05
"""For F1."""
FEWEST_PAIRS = 5
"""Below, limits of agreement and ICC are withheld."""


@dataclass(frozen=True, slots=True)
class EventAgreement:
    """Events of one kind against a reference. ``errors_ms``: ours minus the reference's, one per event that was found.

    ``n``: events of the reference. ``false``: events of ours, where the reference is complete, that it does not have.
    """

    n: int = 0
    false: int = 0
    errors_ms: tuple[float, ...] = ()

    def __add__(self, other: EventAgreement) -> EventAgreement:
        return EventAgreement(self.n + other.n, self.false + other.false, self.errors_ms + other.errors_ms)

    def to_json(self) -> dict[str, float | int | list[float] | None]:
        """JSON values; null where there are too few events."""
        found, errors = len(self.errors_ms), np.abs(np.array(self.errors_ms))
        near = int(np.count_nonzero(errors <= 1000.0 * STRICT_S))
        judged = found + self.false
        return {
            "n": self.n,
            "found": found,
            "false": self.false,
            "detection_rate": _rounded(found / self.n, 4) if self.n else None,
            "precision": _rounded(found / judged, 4) if judged else None,
            "f1_50ms": _rounded(2.0 * near / (self.n + judged), 4) if self.n + judged else None,
            "bias_ms": _rounded(float(np.mean(self.errors_ms)), 2) if found else None,
            "mae_ms": _rounded(float(errors.mean()), 2) if found else None,
            "p95_ms": _rounded(float(np.percentile(errors, 95.0)), 2) if found else None,
            "loa_ms": [_rounded(limit, 2) for limit in limits_of_agreement(np.array(self.errors_ms))] or None,
        }


@dataclass(frozen=True, slots=True)
class Pairs:
    """One quantity measured twice: ``ours`` and ``reference``, in the same unit and order."""

    ours: tuple[float, ...] = ()
    reference: tuple[float, ...] = ()

    def __add__(self, other: Pairs) -> Pairs:
        return Pairs(self.ours + other.ours, self.reference + other.reference)

    def to_json(self) -> dict[str, float | int | list[float] | None]:
        """``bias`` and ``loa`` (ours minus the reference's) and ``icc21``."""
        ours, reference = np.array(self.ours), np.array(self.reference)
        return {
            "n": len(self.ours),
            "bias": _rounded(float((ours - reference).mean()), 4) if ours.size else None,
            "loa": [_rounded(limit, 4) for limit in limits_of_agreement(ours - reference)] or None,
            "icc21": None if (icc := icc21(np.stack([ours, reference], axis=1))) is None else _rounded(icc, 4),
        }


def compare_events(
    ours: Sequence[GaitEvent], reference: Sequence[GaitEvent], spans: Sequence[Span], kind: EventType
) -> EventAgreement:
    """Pair events of one kind so that the sum of the distances is least, each within :data:`FOUND_S`."""
    errors: list[float] = []
    false = n = 0
    for side in ("left", "right"):
        mine = [event for event in ours if (event.side, event.type) == (side, kind)]
        theirs = [event for event in reference if (event.side, event.type) == (side, kind)]
        pairs = pair_times([event.time_s for event in mine], [event.time_s for event in theirs])
        errors += [1000.0 * (mine[i].time_s - theirs[j].time_s) for i, j in pairs]
        paired = {i for i, _ in pairs}
        false += sum(i not in paired and any(span.holds(event) for span in spans) for i, event in enumerate(mine))
        n += len(theirs)
    return EventAgreement(n, false, tuple(errors))


def pair_times(ours: Sequence[float], reference: Sequence[float]) -> list[tuple[int, int]]:
    """Indices of the times that belong together, one to one, none farther apart than :data:`FOUND_S`."""
    if not ours or not reference:
        return []
    apart = np.abs(np.subtract.outer(np.array(ours), np.array(reference)))
    # Too far counts as far as can be, so that the most pairs that are near enough win over the least sum.
    rows, columns = linear_sum_assignment(np.where(apart <= FOUND_S, apart, 1e3))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if apart[i, j] <= FOUND_S]


def compare_durations(
    ours: Sequence[GaitEvent], reference: Sequence[GaitEvent], first: EventType, last: EventType
) -> Pairs:
    """Seconds from each ``first`` to the next ``last`` of the same side where both measurements have both."""
    mine, theirs = [], []
    for side in ("left", "right"):
        ours_s = {kind: [e.time_s for e in ours if (e.side, e.type) == (side, kind)] for kind in {first, last}}
        theirs_s = {kind: [e.time_s for e in reference if (e.side, e.type) == (side, kind)] for kind in {first, last}}
        same = {kind: {j: i for i, j in pair_times(ours_s[kind], theirs_s[kind])} for kind in {first, last}}
        for j, start in enumerate(theirs_s[first]):
            after = [k for k, time in enumerate(theirs_s[last]) if 0.1 < time - start < 3.0]
            if after and j in same[first] and after[0] in same[last]:
                mine.append(ours_s[last][same[last][after[0]]] - ours_s[first][same[first][j]])
                theirs.append(theirs_s[last][after[0]] - start)
    return Pairs(tuple(mine), tuple(theirs))


def limits_of_agreement(differences: FloatArray) -> tuple[float, ...]:
    """(low, high) of Bland & Altman 1986, doi:10.1016/S0140-6736(86)90837-8; empty for fewer than five pairs."""
    if differences.size < FEWEST_PAIRS:
        return ()
    mean, spread = float(differences.mean()), 1.96 * float(differences.std(ddof=1))
    return mean - spread, mean + spread


def icc21(table: FloatArray) -> float | None:
    """ICC(2,1), absolute agreement of single measurements (Shrout & Fleiss 1979, doi:10.1037/0033-2909.86.2.420).

    ``table``: (n, k), one column per measurement. None for fewer than five rows or where nothing varies.
    """
    n, k = table.shape
    if n < FEWEST_PAIRS:
        return None
    grand = table.mean()
    rows = k * float(((table.mean(axis=1) - grand) ** 2).sum()) / (n - 1)
    columns = n * float(((table.mean(axis=0) - grand) ** 2).sum()) / (k - 1)
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + grand
    error = float((rest**2).sum()) / ((n - 1) * (k - 1))
    below = rows + (k - 1) * error + k * (columns - error) / n
    return (rows - error) / below if below > 0.0 else None


@dataclass(frozen=True, slots=True)
class CurveAgreement:
    """One joint angle against the laboratory's, over all samples that both have; degrees.

    ``cycles``: (C, 2, 101) ours and the laboratory's over each complete cycle. ``ranges``: of motion, in these.
    """

    ours: FloatArray = field(default_factory=lambda: np.empty(0))
    reference: FloatArray = field(default_factory=lambda: np.empty(0))
    ranges: Pairs = field(default_factory=Pairs)
    cycles: FloatArray = field(default_factory=lambda: np.empty((0, 2, CURVE_POINTS)))

    def to_json(self) -> dict[str, float | int | None]:
        """RMSE as it is, and after each recording's constant difference is taken off (two definitions of one angle)."""
        difference = self.ours - self.reference
        offset = float(difference.mean()) if difference.size else math.nan
        ranges = np.array(self.ranges.ours) - np.array(self.ranges.reference)
        return {
            "samples": int(difference.size),
            "cycles": int(ranges.size),
            "rmse_deg": _rounded(float(np.sqrt((difference**2).mean())), 2) if difference.size else None,
            "offset_deg": _rounded(offset, 2) if difference.size else None,
            "rmse_without_offset_deg": _rounded(float(difference.std()), 2) if difference.size else None,
            "range_difference_deg": _rounded(float(ranges.mean()), 2) if ranges.size else None,
        }


def _rounded(value: float, digits: int) -> float:
    return round(value, digits)
