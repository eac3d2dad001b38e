"""How far a walk's sagittal curves lie from those of unimpaired walkers of the same speed.

Per joint and side a variable score: the root mean square distance of the mean curve from the norm's mean, in
degrees (Baker et al. 2009, doi:10.1016/j.gaitpost.2009.05.020). It has two parts, and both are told, because they mean
different things: an **offset** of the whole curve, which also comes from where a source places its points, and a
difference of **shape**, which does not. The deviation of a walk is the root mean square over joints and sides. It is
neither the Gait Profile Score nor the Gait Deviation Index: those have nine variables in three planes and a pelvis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaitkeeper_client.gait.analysis import CURVE_POINTS, Cycle, Parameter
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.measure import finished, withheld
from gaitkeeper_client.gait.norms import NormCurve, norm_curve, speed_band
from gaitkeeper_client.gait.refusals import refused
from gaitkeeper_client.gait.statistics import Interval, jackknife_ci95, widened
from gaitkeeper_client.gait.walk import Walk
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.arrays import FloatArray, IntArray
from gaitkeeper_shared.kinematics import ANGLES
from gaitkeeper_shared.recording import Side
from gaitkeeper_shared.skeleton import SIDES


@dataclass(frozen=True, slots=True)
class Distance:
    """Of one curve from the norm's mean, in degrees: ``total`` squared is ``offset`` squared plus ``shape`` squared."""

    total: float
    offset: float
    shape: float


@dataclass(frozen=True, slots=True)
class VariableScore:
    """One joint of one side: distance of its mean curve over ``n`` cycles, and the interval of the total.

    ``usual``: the total of somebody who lies one standard deviation of the norm from its mean all over the cycle: about
    two of three unimpaired walkers have less.
    """

    angle: str
    side: Side
    distance: Distance
    ci95: Interval | None
    usual: float
    n: int


def distance(curve: FloatArray, norm: NormCurve) -> Distance:
    """Distance of a (101,) curve; NaN where a part of it is not known."""
    difference = np.asarray(curve, dtype=np.float64) - norm.mean
    return Distance(math.sqrt(float((difference**2).mean())), float(difference.mean()), float(difference.std()))


def variable_scores(cycles: Sequence[Cycle], band: str) -> tuple[VariableScore, ...]:
    """The movement analysis profile: every joint and side that has a whole curve."""
    scores = []
    for angle in ANGLES:
        norm = norm_curve(angle, band)
        for side in SIDES:
            curves = _Curves.of(cycles, angle, side)
            if norm is not None and curves.cycle.size:
                scores.append(_score(angle, _SIDE[side], curves, norm))
    return tuple(scores)


_SIDE: dict[str, Side] = {"left": "left", "right": "right"}


@dataclass(frozen=True, slots=True)
class _Curves:
    """(N, 101) whole curves of one angle of one side, and which of the cycles each is of."""

    cycle: IntArray
    values: FloatArray

    @classmethod
    def of(cls, cycles: Sequence[Cycle], angle: str, side: str) -> _Curves:
        name = f"{angle}_{side}"
        found = [
            (index, np.asarray(cycle.curves[name], dtype=np.float64))
            for index, cycle in enumerate(cycles)
            if cycle.side == side and name in cycle.curves
        ]
        whole = [(index, curve) for index, curve in found if np.isfinite(curve).all()]
        values = np.stack([curve for _, curve in whole]) if whole else np.empty((0, CURVE_POINTS))
        return cls(np.array([index for index, _ in whole], dtype=np.int64), values)

    def distances(self, norm: NormCurve, part: str) -> tuple[float, FloatArray]:
        """One part of the mean curve's distance, and (N,) the same with one cycle left out."""
        whole = float(getattr(distance(self.values.mean(axis=0), norm), part))
        if self.cycle.size < 2:
            return whole, np.full(self.cycle.size, whole)
        others = (self.values.sum(axis=0) - self.values) / (self.cycle.size - 1) - norm.mean
        left_out = np.sqrt((others**2).mean(axis=1)) if part == "total" else others.std(axis=1)
        return whole, left_out


def _score(angle: str, side: Side, curves: _Curves, norm: NormCurve) -> VariableScore:
    found = distance(curves.values.mean(axis=0), norm)
    usual = math.sqrt(float((norm.sd**2).mean()))
    interval = jackknife_ci95(curves.distances(norm, "total")[1], found.total)
    return VariableScore(angle, side, found, interval, usual, curves.cycle.size)


def deviation_parameters(walks: Sequence[Walk], speed: Parameter) -> dict[str, Parameter]:
    """Both deviations; withheld where the speed is not known, because slow walking alone changes the curves."""
    cycles = [cycle for walk in walks for cycle in walk.cycles]
    out = {}
    for name in _PARTS:
        row = DEFINITIONS[name]
        if (why := withheld(row, walks)) is None and speed.value is None:
            why = refused(row.unit, "speed-unknown", what=row.title)
        shared = max((walk.shared.range_deg for walk in walks), default=0.0)
        out[name] = why or _deviation(name, walks, cycles, speed.value or 0.0, shared)
    return out


_PARTS = {"sagittal_deviation": "total", "sagittal_shape_deviation": "shape"}
SHARED_SHARE = {"total": 1.0, "shape": 0.5}
"""Of a range of motion's shared error, that of a deviation: keypoints of 60 simulated walkers were 1.4 degrees about
their mean error in the total and 0.7 in the shape."""


def deviations_at(cycles: Sequence[Cycle], dimensionless_speed: float, shared_deg: float) -> dict[str, Parameter]:
    """Both deviations of cycles whose speed is known from elsewhere, as from a treadmill's belt.

    ``shared_deg``: error of an angle that all strides of the recording share.
    """
    return {name: _deviation(name, (), cycles, dimensionless_speed, shared_deg) for name in _PARTS}


def _deviation(
    name: str, walks: Sequence[Walk], cycles: Sequence[Cycle], dimensionless_speed: float, shared_deg: float
) -> Parameter:
    """Root mean square of one part of the distances, over joints and sides."""
    row, band = DEFINITIONS[name], speed_band(dimensionless_speed)
    squares: list[float] = []
    change = np.zeros(len(cycles))  # of the sum of squares, where a cycle is left out
    for angle in ANGLES:
        norm = norm_curve(angle, band)
        if norm is None:
            continue
        for side in SIDES:
            curves = _Curves.of(cycles, angle, side)
            if not curves.cycle.size:
                return refused(row.unit, "points-missing", what=row.title, points=say("why.both_legs"))
            whole, left_out = curves.distances(norm, _PARTS[name])
            squares.append(whole**2)
            change[curves.cycle] += left_out**2 - whole**2
    value = math.sqrt(float(np.mean(squares)))
    others = np.sqrt(np.maximum((sum(squares) + change) / len(squares), 0.0))
    interval = widened(value, jackknife_ci95(others, value), SHARED_SHARE[_PARTS[name]] * shared_deg)
    return finished(row, walks, value, interval, len(cycles))
