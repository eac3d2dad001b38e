"""The exact truth of a synthetic walk: positions, joint angles, foot strikes and foot offs, and the gait parameters."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint_angles, sagittal_plane
from gaitkeeper_shared.recording import GaitEvent, JointTrajectories, Side, Signals
from gaitkeeper_shared.simulation.footprints import side_of
from gaitkeeper_shared.simulation.patient import SyntheticPatient
from gaitkeeper_shared.simulation.walker import BOTH, Walk

TRUTH_SCHEMA = "gaitkeeper.truth/1"


@dataclass(frozen=True, slots=True)
class StrideTruth:
    """One stride of one side, foot strike to foot strike. Seconds, metres, and percent of the stride.

    ``step_*``: the step that ends with this stride's first foot strike (heel to heel along the walk).
    """

    side: Side
    strike_s: float
    foot_off_s: float
    next_strike_s: float
    stride_time: float
    step_time: float
    stance_percent: float
    swing_percent: float
    double_support_percent: float
    step_length: float
    stride_length: float
    step_width: float


@dataclass(frozen=True, slots=True)
class GaitTruth:
    """Mean parameters over all complete strides: steps a minute, seconds, metres, metres a second, percent, degrees."""

    cadence: float
    stride_time: float
    step_time: float
    stance_percent: float
    stance_percent_left: float
    stance_percent_right: float
    swing_percent: float
    double_support_percent: float
    step_length: float
    step_length_left: float
    step_length_right: float
    stride_length: float
    step_width: float
    walking_speed: float
    stride_time_cv: float
    hip_range_left: float
    hip_range_right: float
    knee_range_left: float
    knee_range_right: float
    ankle_range_left: float
    ankle_range_right: float


@dataclass(frozen=True, slots=True)
class WalkTruth:
    """Everything that is known about a synthetic walk.

    ``trajectories``: 3-D metres, x forward, z up. ``angles``: degrees, named as in ``gaitkeeper_shared.kinematics``.
    """

    patient: SyntheticPatient
    trajectories: JointTrajectories
    angles: Signals
    events: tuple[GaitEvent, ...]
    strides: tuple[StrideTruth, ...]
    parameters: GaitTruth

    def to_json(self) -> dict[str, Any]:
        """For ``truth/<patient>.json``: patient, parameters, events, strides and the angle curves."""
        return {
            "schema": TRUTH_SCHEMA,
            "patient": dataclasses.asdict(self.patient),
            "parameters": {key: round(value, 5) for key, value in dataclasses.asdict(self.parameters).items()},
            "events": [{"time_s": round(e.time_s, 5), "side": e.side, "type": e.type} for e in self.events],
            "strides": [dataclasses.asdict(stride) for stride in self.strides],
            "angles": {
                "unit": "deg",
                "time_s": np.round(self.angles.time_s, 5).tolist(),
                "curves": {
                    name: np.round(self.angles.values[:, column].astype(float), 2).tolist()
                    for column, name in enumerate(self.angles.names)
                },
            },
        }


def walk_truth(walk: Walk, sample_rate_hz: float = 100.0) -> WalkTruth:
    """The truth of a walk, its curves sampled at ``sample_rate_hz``."""
    trajectories = walk.trajectories(sample_rate_hz)
    curves = joint_angles(sagittal_plane(trajectories.positions, (1.0, 0.0)))
    values = np.stack(list(curves.values()), axis=1).astype(np.float32)
    angles = Signals(trajectories.time_s, tuple(curves), values)
    strides = _strides(walk)
    return WalkTruth(walk.patient, trajectories, angles, _events(walk), strides, _parameters(strides, angles))


def _events(walk: Walk) -> tuple[GaitEvent, ...]:
    events = []
    for side in BOTH:
        prints = walk.footprints.side(side)
        events += [GaitEvent(float(time), side, "foot_strike", 1.0) for time in prints.strike_s]
        events += [GaitEvent(float(time), side, "foot_off", 1.0) for time in prints.off_s]
    inside = [event for event in events if 0.0 <= event.time_s <= walk.duration_s]
    return tuple(sorted(inside, key=lambda event: event.time_s))


def _strides(walk: Walk) -> tuple[StrideTruth, ...]:
    prints = walk.footprints
    strike, heel = prints.strike_s, prints.heel
    strides = []
    for index in range(1, strike.size - 2):
        if strike[index] < 0.0 or strike[index + 2] > walk.duration_s:
            continue
        side = side_of(prints, index)
        own, other = prints.side(side), prints.side("right" if side == "left" else "left")
        off = float(own.off_s[np.searchsorted(own.strike_s, strike[index] - 1e-9)])
        other_off = float(other.off_s[np.searchsorted(other.strike_s, strike[index - 1] - 1e-9)])
        time = float(strike[index + 2] - strike[index])
        double = (other_off - strike[index]) + (off - strike[index + 1])
        strides.append(
            StrideTruth(
                side=side,
                strike_s=float(strike[index]),
                foot_off_s=off,
                next_strike_s=float(strike[index + 2]),
                stride_time=time,
                step_time=float(strike[index] - strike[index - 1]),
                stance_percent=100.0 * (off - float(strike[index])) / time,
                swing_percent=100.0 * (float(strike[index + 2]) - off) / time,
                double_support_percent=100.0 * float(double) / time,
                step_length=float(heel[index, 0] - heel[index - 1, 0]),
                stride_length=float(heel[index + 2, 0] - heel[index, 0]),
                step_width=float(abs(heel[index, 1] - heel[index - 1, 1])),
            )
        )
    return tuple(strides)


def _parameters(strides: tuple[StrideTruth, ...], angles: Signals) -> GaitTruth:
    def mean(name: str, side: Side | None = None) -> float:
        values = [getattr(stride, name) for stride in strides if side in (None, stride.side)]
        return float(np.mean(values)) if values else float("nan")

    def spread(angle: str, side: Side) -> float:
        curve = angles.values[:, angles.names.index(f"{angle}_{side}")]
        ranges = [
            float(np.ptp(curve[(angles.time_s >= stride.strike_s) & (angles.time_s < stride.next_strike_s)]))
            for stride in strides
            if stride.side == side
        ]
        return float(np.mean(ranges)) if ranges else float("nan")

    times: FloatArray = np.array([stride.stride_time for stride in strides])
    stride_time = mean("stride_time")
    return GaitTruth(
        cadence=120.0 / stride_time,
        stride_time=stride_time,
        step_time=mean("step_time"),
        stance_percent=mean("stance_percent"),
        stance_percent_left=mean("stance_percent", "left"),
        stance_percent_right=mean("stance_percent", "right"),
        swing_percent=mean("swing_percent"),
        double_support_percent=mean("double_support_percent"),
        step_length=mean("step_length"),
        step_length_left=mean("step_length", "left"),
        step_length_right=mean("step_length", "right"),
        stride_length=mean("stride_length"),
        step_width=mean("step_width"),
        walking_speed=mean("stride_length") / stride_time,
        stride_time_cv=100.0 * float(np.std(times, ddof=1)) / stride_time if times.size > 1 else float("nan"),
        hip_range_left=spread("hip_flexion", "left"),
        hip_range_right=spread("hip_flexion", "right"),
        knee_range_left=spread("knee_flexion", "left"),
        knee_range_right=spread("knee_flexion", "right"),
        ankle_range_left=spread("ankle_dorsiflexion", "left"),
        ankle_range_right=spread("ankle_dorsiflexion", "right"),
    )
