"""What the report shows of the gait cycles: mean curves per side, and key frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gaitkeeper_client.gait.analysis import Analysis, Cycle
from gaitkeeper_client.insight.charts.curves import SideCurve
from gaitkeeper_client.insight.charts.walk import KeyFrame
from gaitkeeper_client.insight.wording import side_name
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.arrays import BoolArray, FloatArray
from gaitkeeper_shared.kinematics import leg_length, midpoint, sagittal_plane
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES


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
    moments = [(cycle.start_s, say("moments.strike", side=side_name(side)))]
    if cycle.opposite_foot_off_s is not None:
        moments.append((cycle.opposite_foot_off_s, say("moments.off", side=side_name(other))))
        if cycle.opposite_foot_strike_s is not None:
            middle = 0.5 * (cycle.opposite_foot_off_s + cycle.opposite_foot_strike_s)
            moments.append((middle, say("moments.mid_stance", side=side_name(side))))
    if cycle.opposite_foot_strike_s is not None:
        moments.append((cycle.opposite_foot_strike_s, say("moments.strike", side=side_name(other))))
    if cycle.foot_off_s is not None:
        moments.append((cycle.foot_off_s, say("moments.off", side=side_name(side))))
        moments.append((0.5 * (cycle.foot_off_s + cycle.end_s), say("moments.mid_swing", side=side_name(side))))
    moments.append((cycle.end_s, say("moments.strike", side=side_name(side))))
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
    """Walking speed over sqrt(g leg length), as published norms are sorted by; None where the speed is not known."""
    found = analysis.parameters.get("dimensionless_speed")
    return None if found is None else found.value
