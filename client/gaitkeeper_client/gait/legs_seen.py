"""Whether there is a body to look at, upright and on two legs: a walk is what two of them do in turn."""

from __future__ import annotations

import numpy as np

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.clean import LOWEST_CONFIDENCE
from gaitkeeper_client.gait.feet import foot_is_seen
from gaitkeeper_client.pose.tracking import LEAST_SIGHT_S
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint
from gaitkeeper_shared.recording import JointTrajectories, Side
from gaitkeeper_shared.skeleton import JOINT_INDEX

LEAST_APART = 0.08
"""Ankles at least this far apart along the way, in leg lengths, at the widest tenth of a walk: a step of 7 cm."""
UPRIGHT = 0.55
"""Of a thigh's length, by which the knee of somebody who walks is below the hip, on the median: 0.88 and more of real
walkers, 0.8 of a crouched one. On a seat 0.5 m high 0.0 (who is 1.95 m tall) to 0.38 (1.5 m); feet of smaller people
hang there, or the seat is lower."""
_SIDES: tuple[Side, ...] = ("left", "right")


def leg_alone(tracks: JointTrajectories) -> Side | None:
    """The side of the only leg that is seen for long enough; None where both are, or neither.

    With its foot, where that is ever seen.
    """
    if tracks.time_s.size < 2:
        return None
    seen = {side: _seconds(tracks, side) >= LEAST_SIGHT_S for side in _SIDES}
    if seen["left"] == seen["right"]:
        return None
    return "left" if seen["left"] else "right"


def upside_down(tracks: JointTrajectories) -> bool:
    """Whether the shoulders are below the hips, in more than half of the samples in which one side shows both."""
    above = [joint(tracks.positions, f"{side}_shoulder") - joint(tracks.positions, f"{side}_hip") for side in _SIDES]
    heights = np.concatenate([difference[:, -1] for difference in above])
    heights = heights[np.isfinite(heights)]
    return bool(heights.size and np.median(heights) < 0.0)


def sits(positions: FloatArray) -> bool:
    """Whether the thighs of (T, J, D) positions lie rather than stand: of who rolls, or scoots along, in a wheelchair.

    False where no thigh is seen.
    """
    thighs = np.concatenate([joint(positions, f"{side}_hip") - joint(positions, f"{side}_knee") for side in _SIDES])
    thighs = thighs[np.isfinite(thighs).all(axis=1)]
    length = np.linalg.norm(thighs, axis=1)
    return bool(thighs.size) and float(np.median(thighs[:, -1])) < UPRIGHT * float(np.median(length))


def _seconds(tracks: JointTrajectories, side: str) -> float:
    parts = ("hip", "ankle", "heel", "toe") if foot_is_seen(tracks.positions, side) else ("hip", "ankle")
    columns = [JOINT_INDEX[f"{side}_{part}"] for part in parts]
    known = np.isfinite(tracks.positions[:, columns]).all(axis=(1, 2))
    sure = (tracks.confidence[:, columns] >= LOWEST_CONFIDENCE).all(axis=1)
    return float(np.count_nonzero(known & sure)) / tracks.sample_rate_hz


def legs_part(bout: Bout) -> bool:
    """Whether the feet are ever apart: a network that finds one leg twice shows two that never pass each other."""
    apart = np.abs(joint(bout.points, "left_ankle") - joint(bout.points, "right_ankle"))[:, 0]
    return bool(np.nanpercentile(apart, 90.0) >= LEAST_APART * bout.leg)
