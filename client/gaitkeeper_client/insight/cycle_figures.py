"""What the report shows of the gait cycles: mean curves per side, a side-by-side table, and key frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gaitkeeper_client.gait.analysis import Analysis, Cycle
from gaitkeeper_client.insight.charts.curves import SideCurve
from gaitkeeper_client.insight.charts.walk import KeyFrame
from gaitkeeper_shared.arrays import BoolArray, FloatArray
from gaitkeeper_shared.kinematics import leg_length, midpoint, sagittal_plane
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

GRAVITY_M_S2 = 9.81
USUAL_LEG_M = 0.82
"""Thigh and shank of an adult of 1.70 m (0.245 and 0.246 of the height: Winter 2009, doi:10.1002/9780470549148)."""


@dataclass(frozen=True, slots=True)
class SideRow:
    """One quantity for both sides: mean and standard deviation over ``n`` cycles each, None where there is none."""

    title: str
    unit: str
    decimals: int
    left: tuple[float, float, int] | None
    right: tuple[float, float, int] | None


def side_curves(cycles: Sequence[Cycle], angle: str) -> dict[str, SideCurve]:
    """Mean and spread over cycles of ``angle`` for each side that has cycles with it."""
    found = {}
    for side in SIDES:
        curves = [cycle.curves[f"{angle}_{side}"] for cycle in cycles if _has(cycle, side, f"{angle}_{side}")]
        if not curves:
            continue
        stack = np.stack([np.asarray(curve, dtype=np.float64) for curve in curves])
        known = np.isfinite(stack)
        number = known.sum(axis=0)
        filled = np.where(known, stack, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = filled.sum(axis=0) / number
            sd = np.sqrt((np.where(known, stack - mean, 0.0) ** 2).sum(axis=0) / np.maximum(number - 1, 1))
        found[side] = SideCurve(mean, sd, len(curves), foot_off_percent(cycles, side))
    return found


def _has(cycle: Cycle, side: str, name: str) -> bool:
    return cycle.side == side and name in cycle.curves and bool(np.isfinite(cycle.curves[name]).any())


def foot_off_percent(cycles: Sequence[Cycle], side: str) -> float | None:
    """Mean end of stance of one side in percent of its cycle."""
    values = [_stance(cycle) for cycle in cycles if cycle.side == side and cycle.foot_off_s is not None]
    return float(np.mean(values)) if values else None


def _stance(cycle: Cycle) -> float:
    if cycle.foot_off_s is None:
        return float("nan")
    return 100.0 * (cycle.foot_off_s - cycle.start_s) / cycle.duration_s


def side_table(cycles: Sequence[Cycle]) -> tuple[SideRow, ...]:
    """Left beside right; only rows that at least one side fills."""

    def of(angle: str, measure: Callable[[FloatArray], float]) -> Callable[[Cycle], float]:
        def value(cycle: Cycle) -> float:
            curve = cycle.curves.get(f"{angle}_{cycle.side}")
            return float("nan") if curve is None or not np.isfinite(curve).any() else measure(np.asarray(curve))

        return value

    def span(curve: FloatArray) -> float:
        return float(np.nanmax(curve) - np.nanmin(curve))

    quantities: tuple[tuple[str, str, int, Callable[[Cycle], float]], ...] = (
        ("Stride time", "s", 2, lambda cycle: cycle.duration_s),
        ("Stance", "% of cycle", 1, _stance),
        ("Hip, range of motion", "°", 0, of("hip_flexion", span)),
        ("Knee, largest flexion", "°", 0, of("knee_flexion", lambda curve: float(np.nanmax(curve)))),
        ("Knee, range of motion", "°", 0, of("knee_flexion", span)),
        ("Ankle, range of motion", "°", 0, of("ankle_dorsiflexion", span)),
    )
    rows = []
    for title, unit, decimals, value in quantities:
        left, right = (_summary([value(cycle) for cycle in cycles if cycle.side == side]) for side in SIDES)
        if left or right:
            rows.append(SideRow(title, unit, decimals, left, right))
    return tuple(rows)


def _summary(values: Sequence[float]) -> tuple[float, float, int] | None:
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return None
    sd = float(np.std(known, ddof=1)) if len(known) > 1 else float("nan")
    return float(np.mean(known)), sd, len(known)


def key_frames(tracks: JointTrajectories, cycles: Sequence[Cycle]) -> tuple[KeyFrame, ...]:
    """Stick figures at the events of the cycle whose duration is the median; empty without cycles."""
    if not cycles:
        return ()
    ordered = sorted(cycles, key=lambda cycle: cycle.duration_s)
    cycle = ordered[len(ordered) // 2]
    leg = leg_length(tracks.positions)
    if not np.isfinite(leg) or leg <= 0.0:
        return ()
    during = (tracks.time_s >= cycle.start_s) & (tracks.time_s <= cycle.end_s)
    points = sagittal_plane(tracks.positions, _heading(tracks, during))
    points = (points - midpoint(points, "hip")[:, None, :]) / leg
    return tuple(
        KeyFrame(
            _at(points, tracks.time_s, time_s), caption, f"{100 * (time_s - cycle.start_s) / cycle.duration_s:.0f} %"
        )
        for time_s, caption in _moments(cycle)
    )


def _moments(cycle: Cycle) -> list[tuple[float, str]]:
    side, other = cycle.side, "right" if cycle.side == "left" else "left"
    moments = [(cycle.start_s, f"{side} strike")]
    if cycle.opposite_foot_off_s is not None:
        moments.append((cycle.opposite_foot_off_s, f"{other} off"))
        if cycle.opposite_foot_strike_s is not None:
            middle = 0.5 * (cycle.opposite_foot_off_s + cycle.opposite_foot_strike_s)
            moments.append((middle, f"{side} mid-stance"))
    if cycle.opposite_foot_strike_s is not None:
        moments.append((cycle.opposite_foot_strike_s, f"{other} strike"))
    if cycle.foot_off_s is not None:
        moments.append((cycle.foot_off_s, f"{side} off"))
        moments.append((0.5 * (cycle.foot_off_s + cycle.end_s), f"{side} mid-swing"))
    moments.append((cycle.end_s, f"{side} strike"))
    return sorted(moments)


def _at(points: FloatArray, time_s: FloatArray, when_s: float) -> FloatArray:
    index = int(np.argmin(np.abs(time_s - when_s)))
    chosen: FloatArray = points[index]
    return chosen


def _heading(tracks: JointTrajectories, during: BoolArray) -> float | tuple[float, float]:
    """Where the toes point, on the whole: holds on a treadmill and for a walk back too."""
    positions = tracks.positions[during]
    feet = [
        positions[:, JOINT_INDEX[f"{side}_toe"], :2] - positions[:, JOINT_INDEX[f"{side}_heel"], :2] for side in SIDES
    ]
    stacked = np.concatenate(feet)
    known = stacked[np.isfinite(stacked).all(axis=1)]
    mean = known.mean(axis=0) if known.size else np.array([1.0, 0.0])
    if tracks.dimensions == 2:
        return 1.0 if mean[0] >= 0 else -1.0
    return (float(mean[0]), float(mean[1])) if np.linalg.norm(mean) > 0 else (1.0, 0.0)


def dimensionless_speed(analysis: Analysis) -> float | None:
    """Walking speed over sqrt(g leg length), as published norms are sorted by; None where the speed is not known.

    Where lengths have no scale, the speed in leg lengths and a usual leg do: the result goes with the root of the leg
    length only, so a leg guessed 15 % wrong moves it by 7 %.
    """
    recording = analysis.recording
    if recording is None or analysis.quality.get("constant_place"):
        return None
    signals = recording.signals
    if "pelvis_speed" not in signals.names:  # a series of foot forces has no positions
        return None
    speeds = signals.values[:, signals.names.index("pelvis_speed")]
    known = speeds[np.isfinite(speeds)]
    if not known.size:
        return None
    scale = analysis.quality.get("metres_per_unit")
    leg_m = leg_length(recording.trajectories.positions) * scale if isinstance(scale, float) else USUAL_LEG_M
    return float(np.median(known)) * float(np.sqrt(leg_m / GRAVITY_M_S2))
