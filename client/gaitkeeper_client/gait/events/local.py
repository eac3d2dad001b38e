"""A walk in space as the walker goes: forward, to the left, up, along a path that may turn.

What the methods for markers look at: how fast a marker moves over the ground, and where it is relative to the pelvis.
Both are turned by the direction in which the walker is going at that moment. A planted foot is then at rest also amid a
turn (turning positions about the pelvis first and taking their speed would have it slide), and a turn looks like
straight walking. The laboratory's origin and axes are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint, midpoint
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX

RATE_HZ = 150.0
"""That of the networks' training. Slower recordings gain times between their samples by it."""
TURN_SMOOTHING_S = 0.3
"""The pelvis swings to and fro with every step; a turn takes longer."""


@dataclass(frozen=True, slots=True)
class LocalWalk:
    """``time_s``: (T,). ``velocity``: (T, J, 3) metres a second. ``relative``: (T, J, 3) metres from between the hips.

    Axes: forward, to the left, up, in the walker's direction of that moment; ``relative``'s third is the height itself.
    """

    time_s: FloatArray
    velocity: FloatArray
    relative: FloatArray


def local_walk(
    tracks: JointTrajectories, start: int, stop: int, direction: FloatArray, joints: Sequence[str], rate_hz: float
) -> LocalWalk:
    """Samples ``start`` to ``stop`` of 3-D tracks, resampled.

    ``direction``: (stop - start,) radians from the first axis. A joint that is missing somewhere between is NaN
    throughout.
    """
    own_s = tracks.time_s[start:stop]
    time_s = np.arange(own_s[0], own_s[-1] + 1e-9, 1.0 / rate_hz)
    chosen = tracks.positions[start:stop, [JOINT_INDEX[name] for name in joints]]
    whole = np.isfinite(chosen).all(axis=(0, 2))
    even = np.full((time_s.size, len(joints), 3), np.nan)
    even[:, whole] = CubicSpline(own_s, chosen[:, whole])(time_s)
    hips = CubicSpline(own_s, midpoint(tracks.positions[start:stop], "hip"))(time_s)
    relative = even - hips[:, None] * np.array([1.0, 1.0, 0.0])
    velocity = np.gradient(even, axis=0) * rate_hz
    angle = np.interp(time_s, own_s, direction)
    return LocalWalk(time_s, _turned(velocity, angle), _turned(relative, angle))


def _turned(vectors: FloatArray, angle: FloatArray) -> FloatArray:
    """(T, J, 3) in axes forward, left, up, where forward is ``angle`` (T,) from the first axis."""
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    turned = np.empty_like(vectors)
    turned[..., 0] = vectors[..., 0] * cosine + vectors[..., 1] * sine
    turned[..., 1] = vectors[..., 1] * cosine - vectors[..., 0] * sine
    turned[..., 2] = vectors[..., 2]
    return turned


def straight(bout: Bout) -> FloatArray:
    """(T,) the one direction of a straight walk in space, in radians."""
    assert isinstance(bout.heading, tuple)
    return np.full(bout.time_s.size, float(np.arctan2(bout.heading[1], bout.heading[0])))


def along_the_path(tracks: JointTrajectories, start: int, stop: int, bouts: Sequence[Bout]) -> FloatArray:
    """(stop - start,) radians: where the pelvis points, smoothed.

    Brought to the walk's own direction in the straight parts. From the hips and not from their path: who turns on the
    spot has none.
    """
    positions = tracks.positions[start:stop]
    across = (joint(positions, "left_hip") - joint(positions, "right_hip"))[:, :2]
    facing = np.unwrap(np.arctan2(-across[:, 0], across[:, 1]))
    facing = gaussian_filter1d(facing, TURN_SMOOTHING_S * tracks.sample_rate_hz, mode="nearest")
    apart = []
    for bout in bouts:
        inside = slice(bout.start - start, bout.stop - start)
        apart.append(np.angle(np.exp(1j * (straight(bout) - facing[inside]))))
    # One pelvis is set at one angle to the walk: the median over all straight parts, of the least turn to each.
    return np.asarray(facing + float(np.median(np.concatenate(apart))))
