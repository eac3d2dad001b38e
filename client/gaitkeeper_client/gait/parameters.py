"""Gait parameters from events and cycles: each a value with its interval, or a refusal with its reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gaitkeeper_client.gait.analysis import Cycle, Parameter, Reason
from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.refusals import refused
from gaitkeeper_client.gait.statistics import cv_with_ci95, mean_with_ci95
from gaitkeeper_client.gait.view import View
from gaitkeeper_shared.kinematics import joint, midpoint
from gaitkeeper_shared.recording import GaitEvent

BOOTSTRAP_SAMPLES = 1000
AT_REST = 0.2
"""A heel that moves farther than this while it should rest, in leg lengths, was lost by the network."""
FLAT_S = (0.1, 0.3)
"""Seconds after a strike in which the heel rests on the ground, from a fast walk to a slow one."""


@dataclass(frozen=True, slots=True)
class Walk:
    """One straight walk with what was found in it; ``metres``: per unit of its points, None where not known."""

    bout: Bout
    events: tuple[GaitEvent, ...]
    cycles: tuple[Cycle, ...]
    view: View
    metres: float | None


@dataclass(frozen=True, slots=True)
class _Step:
    walk: Walk
    start: GaitEvent
    end: GaitEvent

    @property
    def seconds(self) -> float:
        return self.end.time_s - self.start.time_s


def parameters(walks: Sequence[Walk]) -> dict[str, Parameter]:
    """All parameters of :data:`DEFINITIONS`, pooled over the straight walks of one recording."""
    steps = [step for walk in walks for step in _steps(walk)]
    cycles = [cycle for walk in walks for cycle in walk.cycles]
    stances = [(c, c.foot_off_s - c.start_s) for c in cycles if c.foot_off_s is not None]
    stance_percent = [100.0 * stance / cycle.duration_s for cycle, stance in stances]
    out = {
        "cadence": _cadence([cycle.duration_s for cycle in cycles]),
        "stride_time": _mean("stride_time", [cycle.duration_s for cycle in cycles]),
        "step_time": _mean("step_time", [step.seconds for step in steps]),
        "stance_percent": _mean("stance_percent", stance_percent),
        "swing_percent": _mean("swing_percent", [100.0 - value for value in stance_percent]),
        "double_support_percent": _mean("double_support_percent", _double_support(cycles)),
        "step_length": _length("step_length", walks, lambda: [_step_length(step) for step in steps]),
        "stride_length": _travel("stride_length", walks, _stride_length),
        "walking_speed": _travel("walking_speed", walks, _speed),
        "symmetry_index": _symmetry(stances),
        "stride_time_cv": _variability(cycles),
    }
    return {name: out[name] for name in DEFINITIONS}


def all_refused(why: Reason) -> dict[str, Parameter]:
    """Every parameter withheld for one reason."""
    return {name: Parameter(row.unit, refused=why) for name, row in DEFINITIONS.items()}


def _steps(walk: Walk) -> list[_Step]:
    strikes = [event for event in walk.events if event.type == "foot_strike"]
    pairs = [_Step(walk, a, b) for a, b in pairwise(strikes) if a.side != b.side]
    if not pairs:
        return []
    typical = float(np.median([step.seconds for step in pairs]))
    return [step for step in pairs if 0.4 * typical <= step.seconds <= 1.8 * typical]


def _mean(name: str, values: Sequence[float]) -> Parameter:
    row = DEFINITIONS[name]
    known = [value for value in values if np.isfinite(value)]
    if len(known) < row.fewest:
        return refused(row.unit, "too-few-strides", len(known), n=len(known), of="steps or strides", needed=row.fewest)
    mean, interval = mean_with_ci95(known)
    return Parameter(row.unit, mean, interval, len(known))


def _cadence(stride_times: Sequence[float]) -> Parameter:
    # Over strides, not steps: a strike that is late on one side only, or missed, leaves them as they are.
    seconds = _mean("stride_time", stride_times)
    unit = DEFINITIONS["cadence"].unit
    if seconds.value is None:
        return Parameter(unit, n=seconds.n, refused=seconds.refused)
    interval = None
    if seconds.ci95 is not None and seconds.ci95[0] > 0.0:
        interval = (120.0 / seconds.ci95[1], 120.0 / seconds.ci95[0])
    return Parameter(unit, 120.0 / seconds.value, interval, seconds.n)


def _double_support(cycles: Sequence[Cycle]) -> list[float]:
    values = []
    for c in cycles:
        if c.foot_off_s is None or c.opposite_foot_off_s is None or c.opposite_foot_strike_s is None:
            continue
        first, second = c.opposite_foot_off_s - c.start_s, c.foot_off_s - c.opposite_foot_strike_s
        values.append(100.0 * (first + second) / c.duration_s)
    return values


def _length(name: str, walks: Sequence[Walk], values: Callable[[], list[float]]) -> Parameter:
    """A length: refused where the view or the scale does not allow it."""
    row = DEFINITIONS[name]
    views = sorted({walk.view.name for walk in walks if not walk.view.sagittal})
    if views:
        what = name.replace("_", " ").capitalize()
        return refused(row.unit, "view-unfit", what=what, view=", ".join(views))
    if any(walk.metres is None for walk in walks):
        return refused(row.unit, "scale-unknown")
    return _mean(name, values())


def _travel(name: str, walks: Sequence[Walk], of_cycle: Callable[[Walk, Cycle], float]) -> Parameter:
    if walks and all(walk.bout.constant_place for walk in walks):
        return refused(DEFINITIONS[name].unit, "constant-place")
    moving = [walk for walk in walks if not walk.bout.constant_place]
    return _length(name, moving, lambda: [of_cycle(walk, cycle) for walk in moving for cycle in walk.cycles])


def _at(walk: Walk, what: str, time_s: float) -> float:
    """Forward position in metres of a joint, or of the mid-hip, at a time between samples."""
    points = walk.bout.points
    track = midpoint(points, "hip") if what == "pelvis" else joint(points, what)
    return float(np.interp(time_s, walk.bout.time_s, track[:, 0])) * (walk.metres or float("nan"))


def _placed(walk: Walk, side: str, strike_s: float) -> float:
    """Where a foot stands after a strike: its heel's median position while it is flat on the ground, in metres.

    Steadier than the heel at the instant of the strike, which still moves. On a treadmill the foot moves on at once.
    """
    if walk.bout.constant_place:
        return _at(walk, f"{side}_heel", strike_s)
    low, high = FLAT_S
    heel = joint(walk.bout.points, f"{side}_heel")[:, 0]
    inside = (walk.bout.time_s >= strike_s + low) & (walk.bout.time_s <= strike_s + high)
    if strike_s + high > walk.bout.time_s[-1] or not inside.any():
        return float("nan")
    if float(np.ptp(heel[inside])) > AT_REST * walk.bout.leg:
        return float("nan")
    return float(np.median(heel[inside])) * (walk.metres or float("nan"))


def _step_length(step: _Step) -> float:
    walk, end = step.walk, step.end
    if walk.bout.constant_place:
        return _placed(walk, end.side, end.time_s) - _at(walk, f"{step.start.side}_heel", end.time_s)
    return _placed(walk, end.side, end.time_s) - _placed(walk, step.start.side, step.start.time_s)


def _stride_length(walk: Walk, cycle: Cycle) -> float:
    return _placed(walk, cycle.side, cycle.end_s) - _placed(walk, cycle.side, cycle.start_s)


def _speed(walk: Walk, cycle: Cycle) -> float:
    return (_at(walk, "pelvis", cycle.end_s) - _at(walk, "pelvis", cycle.start_s)) / cycle.duration_s


def _index(left: float, right: float) -> float:
    return 100.0 * abs(left - right) / (0.5 * (left + right))


def _symmetry(stances: Sequence[tuple[Cycle, float]]) -> Parameter:
    row = DEFINITIONS["symmetry_index"]
    by_side = {side: np.array([s for c, s in stances if c.side == side]) for side in ("left", "right")}
    fewest = min(values.size for values in by_side.values())
    n = sum(values.size for values in by_side.values())
    if fewest < 1:
        return refused(row.unit, "too-few-strides", n, n=fewest, of="strides of one of the legs", needed=1)
    value = _index(float(by_side["left"].mean()), float(by_side["right"].mean()))
    if fewest < 2:
        return Parameter(row.unit, value, None, n)
    draw = np.random.default_rng(0)  # a seed, so that one recording has one interval
    samples = [
        _index(*(float(draw.choice(by_side[side], by_side[side].size).mean()) for side in ("left", "right")))
        for _ in range(BOOTSTRAP_SAMPLES)
    ]
    low, high = (float(limit) for limit in np.percentile(samples, [2.5, 97.5]))
    return Parameter(row.unit, value, (min(low, value), max(high, value)), n)


def _variability(cycles: Sequence[Cycle]) -> Parameter:
    row = DEFINITIONS["stride_time_cv"]
    # Each side around its own mean: an event that is late on one side only must not look like variability.
    residuals: list[float] = []
    means: list[float] = []
    for side in ("left", "right"):
        times = np.array([cycle.duration_s for cycle in cycles if cycle.side == side])
        if times.size >= 2:
            residuals.extend(times - times.mean())
            means.append(float(times.mean()))
    if len(residuals) < row.fewest:
        n = len(residuals)
        return refused(row.unit, "too-few-strides", n, n=n, of="strides", needed=row.fewest)
    value, interval = cv_with_ci95([float(np.mean(means)) + residual for residual in residuals])
    return Parameter(row.unit, value, interval, len(residuals))
