"""Feature channels: the signals a temporal model sees, the same for video, laboratory points and simulation.

A channel is scaled by fixed, published-range constants (never by a site's own statistics, which would leak them):
``scaled = (value - center) / spread``. Lengths are in leg lengths, so neither the camera's scale nor the patient's
height enters. A trend of all heights over the walk is taken out first, then the foot's height is taken above the foot's
own moving floor and the pelvis' height around its own moving mean: a slow drift of the recording must not tell who is
ill. The moving floor alone would leave a sixth of a half-range of a drift of 6 cm in 5 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from gaitkeeper_shared.arrays import Float32Array, FloatArray
from gaitkeeper_shared.kinematics import joint, joint_angles, leg_length, midpoint
from gaitkeeper_shared.recording import Signals
from gaitkeeper_shared.skeleton import SIDES

DRIFT_WINDOW_S = 2.0
"""Width of the moving floor and mean: longer than a stride (about 1.1 s), shorter than a drift."""
FORCE_CENTER, FORCE_SPREAD = 0.5, 0.5
"""An unknown load is scaled to 0, which is neither a foot in the air (-1) nor one that bears the body (1)."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One feature channel. ``joint`` and ``side`` say where a heatmap shows it; ``side`` is empty for the trunk."""

    name: str
    unit: str
    joint: str
    side: str
    center: float
    spread: float


def _table() -> tuple[Channel, ...]:
    # Centers and spreads: mid-range and half-range of adult walking at self-chosen speed, rounded, after the normal
    # curves of Winter, Biomechanics and Motor Control of Human Movement, 4th ed. 2009, doi:10.1002/9780470549148.
    per_side = (
        ("hip_flexion", "deg", "hip", 10.0, 20.0),
        ("knee_flexion", "deg", "knee", 25.0, 25.0),
        ("ankle_dorsiflexion", "deg", "ankle", 0.0, 15.0),
        ("foot_forward", "leg", "foot", 0.0, 0.35),
        ("foot_height", "leg", "foot", 0.06, 0.08),
        ("hand_forward", "leg", "arm", 0.0, 0.25),
    )
    rows = [
        Channel(f"{name}_{side}", unit, place, side, center, spread)
        for side in SIDES
        for name, unit, place, center, spread in per_side
    ]
    rows.append(Channel("trunk_lean", "deg", "trunk", "", 3.0, 8.0))
    rows.append(Channel("pelvis_height", "leg", "trunk", "", 0.0, 0.03))
    rows.append(Channel("pelvis_speed", "leg/s", "trunk", "", 1.2, 0.6))
    return tuple(rows)


CHANNELS: tuple[Channel, ...] = _table()
"""What :func:`feature_signals` computes from points."""
FORCE_CHANNELS: tuple[Channel, ...] = tuple(
    Channel(f"foot_force_{side}", "load", "foot", side, FORCE_CENTER, FORCE_SPREAD) for side in SIDES
)
"""The load under each foot, of recordings of foot forces: 0 in the air, about 1 under its usual greatest load."""
CHANNEL_BY_NAME: dict[str, Channel] = {channel.name: channel for channel in (*CHANNELS, *FORCE_CHANNELS)}


def feature_signals(time_s: FloatArray, points: FloatArray) -> Signals:
    """All of :data:`CHANNELS` from evenly sampled, cleaned (T, J, 2) forward/up points of one straight walk.

    ``time_s``: (T,) seconds, evenly spaced. Missing joints give NaN channels.
    """
    rate = 1.0 / float(np.median(np.diff(time_s)))
    window = max(3, round(DRIFT_WINDOW_S * rate))
    leg = leg_length(points)
    hip, shoulder = midpoint(points, "hip"), midpoint(points, "shoulder")
    columns = dict(joint_angles(points))
    trend = height_trend(time_s, points)
    for side in SIDES:
        ankle, toe, heel = (joint(points, f"{side}_{part}") for part in ("ankle", "toe", "heel"))
        sole = np.fmin(toe[:, 1], heel[:, 1]) - trend
        columns[f"foot_forward_{side}"] = (ankle[:, 0] - hip[:, 0]) / leg
        columns[f"foot_height_{side}"] = (sole - _moving_floor(sole, window)) / leg
        columns[f"hand_forward_{side}"] = (joint(points, f"{side}_wrist")[:, 0] - shoulder[:, 0]) / leg
    level = hip[:, 1] - trend
    columns["pelvis_height"] = (level - _moving_mean(level, window)) / leg
    columns["pelvis_speed"] = _moving_mean(np.gradient(hip[:, 0], time_s), max(3, round(rate))) / leg
    values = np.stack([columns[channel.name] for channel in CHANNELS], axis=1).astype(np.float32)
    return Signals(time_s, tuple(channel.name for channel in CHANNELS), values)


def height_trend(time_s: FloatArray, points: FloatArray) -> FloatArray:
    """(T,) straight line through the pelvis' height, 0 in its middle; flat where a walk is too short to tell it."""
    height = midpoint(points, "hip")[:, 1]
    known = np.isfinite(height)
    if np.count_nonzero(known) < 2 or np.ptp(time_s[known]) < DRIFT_WINDOW_S:
        return np.zeros_like(time_s)
    middle = time_s - time_s[known].mean()
    line: FloatArray = np.polynomial.polynomial.polyfit(middle[known], height[known], 1)[1] * middle
    return line


def height_drift(time_s: FloatArray, points: FloatArray) -> float:
    """How much all heights rise from the walk's first sample to its last by :func:`height_trend`, in leg lengths."""
    trend = height_trend(time_s, points)
    return float((trend[-1] - trend[0]) / leg_length(points))


def scaled(signals: Signals, names: Sequence[str]) -> Float32Array:
    """(T, C) channels ``names`` of the signals, scaled by their constants. NaN stays; an unknown name is a KeyError."""
    index = {name: column for column, name in enumerate(signals.names)}
    picked = signals.values[:, [index[name] for name in names]]
    center = np.array([CHANNEL_BY_NAME[name].center for name in names], dtype=np.float32)
    spread = np.array([CHANNEL_BY_NAME[name].spread for name in names], dtype=np.float32)
    return ((picked - center) / spread).astype(np.float32)


def _moving_floor(values: FloatArray, window: int) -> FloatArray:
    filled = np.where(np.isfinite(values), values, np.inf)
    floor = minimum_filter1d(filled, size=window, mode="nearest")
    return np.where(np.isfinite(floor), floor, np.nan)


def _moving_mean(values: FloatArray, window: int) -> FloatArray:
    known = np.isfinite(values)
    total = uniform_filter1d(np.where(known, values, 0.0), size=window, mode="nearest")
    share = uniform_filter1d(known.astype(np.float64), size=window, mode="nearest")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(share > 0, total / share, np.nan)
