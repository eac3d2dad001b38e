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
from gaitkeeper_client.gait.statistics import Interval, jackknife_ci95
from gaitkeeper_client.gait.walk import Walk
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
            curves = _curves(cycles, angle, side)
            if norm is not None and curves.shape[0]:
                scores.append(_score(angle, _SIDE[side], curves, norm))
    return tuple(scores)


_SIDE: dict[str, Side] = {"left": "left", "right": "right"}


def _curves(cycles: Sequence[Cycle], angle: str, side: str) -> FloatArray:
    """(N, 101) whole curves of one angle of one side."""
    name = f"{angle}_{side}"
    found = [np.asarray(c.curves[name], dtype=np.float64) for c in cycles if c.side == side and name in c.curves]
    whole = [curve for curve in found if np.isfinite(curve).all()]
    return np.stack(whole) if whole else np.empty((0, CURVE_POINTS))


def _score(angle: str, side: Side, curves: FloatArray, norm: NormCurve) -> VariableScore:
    found = distance(curves.mean(axis=0), norm)
    usual = math.sqrt(float((norm.sd**2).mean()))

    def total(kept: IntArray) -> float:
        return distance(curves[kept].mean(axis=0), norm).total

    interval = jackknife_ci95(curves.shape[0], total, found.total)
    return VariableScore(angle, side, found, interval, usual, curves.shape[0])


def deviation_parameters(walks: Sequence[Walk], speed: Parameter) -> dict[str, Parameter]:
    """Both deviations; withheld where the speed is not known, because slow walking alone changes the curves."""
    return {name: _deviation(name, part, walks, speed) for name, part in _PARTS.items()}


_PARTS = {"sagittal_deviation": "total", "sagittal_shape_deviation": "shape"}


def _deviation(name: str, part: str, walks: Sequence[Walk], speed: Parameter) -> Parameter:
    row = DEFINITIONS[name]
    if why := withheld(row, walks):
        return why
    if speed.value is None:
        return refused(row.unit, "speed-unknown", what=row.title)
    band = speed_band(speed.value)
    cycles = [cycle for walk in walks for cycle in walk.cycles]
    value = _over_joints(cycles, band, part)
    if not math.isfinite(value):
        return refused(row.unit, "points-missing", what=row.title, points="hips, knees and feet of both sides")
    interval = jackknife_ci95(
        len(cycles), lambda kept: _over_joints([cycles[index] for index in kept], band, part), value
    )
    if interval is not None and not all(math.isfinite(limit) for limit in interval):
        interval = None
    return finished(row, walks, value, interval, len(cycles))


def _over_joints(cycles: Sequence[Cycle], band: str, part: str) -> float:
    """Root mean square of one part of the distances over joints and sides; NaN where one of them is missing."""
    squares = []
    for angle in ANGLES:
        norm = norm_curve(angle, band)
        if norm is None:
            continue
        for side in SIDES:
            curves = _curves(cycles, angle, side)
            if not curves.shape[0]:
                return math.nan
            squares.append(getattr(distance(curves.mean(axis=0), norm), part) ** 2)
    return math.sqrt(float(np.mean(squares)))
