"""Laboratory markers as gaitkit's detectors want them: evenly sampled at 150 Hz in the walker's own frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import CubicSpline

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX

RATE_HZ = 150.0
"""That of the networks' training. Slower recordings gain times between their samples by it."""


def walkers_frame(tracks: JointTrajectories, bout: Bout, joints: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """(T,) seconds at 150 Hz and (T, len(joints), 3) metres: forward, to the left, up, about the walk's own middle.

    The origin and the axes of the laboratory are gone from it. A joint that is missing somewhere in the bout is NaN.
    """
    assert isinstance(bout.heading, tuple)
    ahead = np.asarray(bout.heading) / np.linalg.norm(bout.heading)
    time_s = np.arange(bout.time_s[0], bout.time_s[-1] + 1e-9, 1.0 / RATE_HZ)
    points = tracks.positions[bout.start : bout.stop, [JOINT_INDEX[name] for name in joints]]
    whole = np.isfinite(points).all(axis=(0, 2))
    even = np.full((time_s.size, len(joints), 3), np.nan)
    even[:, whole] = CubicSpline(bout.time_s, points[:, whole])(time_s)
    turned = np.empty_like(even)
    turned[..., 0] = even[..., 0] * ahead[0] + even[..., 1] * ahead[1]
    turned[..., 1] = even[..., 1] * ahead[0] - even[..., 0] * ahead[1]
    turned[..., 2] = even[..., 2]
    turned[..., :2] -= np.nanmean(turned[..., :2], axis=(0, 1))
    return time_s, turned
