"""The far leg of a side view, which the near one hides twice a stride.

Pose networks guess a hidden knee, and guess it behind the near leg, where they last saw something: in mid-swing the
far knee is found up to 6 cm too far back, and its flexion 15 degrees too small (seen on rendered walkers whose truth
is known, and on real video as a far knee that bends 10 degrees less than the near one). Hip and ankle are found well
meanwhile, and bones keep their length: how far the ankle is from the hip tells how far the knee is bent. Each sample's
hip, knee and ankle are moved, as little as possible (least squares), to where thigh and shank have their length; a
knee that lies on the near leg's line counts for little.

- The length of thigh and shank is the upper quartile over the walk: a knee drawn towards the other leg only shortens.
- The hips' height is the mean of the network's and of what the near shoulder carries, from which it is about as far
  throughout a stride; networks let the hips bob more than they do.
- A leg in front of the camera alone needs none of it: the near leg stays as it was measured.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.view import View
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint
from gaitkeeper_shared.recording import Side
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES, other_side

HIDING_WIDTH = 0.15
"""A knee this far from the near leg's line, in leg lengths, is in full sight."""
LEAST_WEIGHT = 0.05
"""Of a knee right on that line, against hip and ankle."""
LENGTH_PERCENTILE = 75.0
SHOULDER_SHARE = 0.5
_ROUNDS = 6
"""Of Gauss-Newton; it settles in four."""


def far_side(bout: Bout, view: View) -> Side | None:
    """The side away from the camera in a side view, or one that is set square; None from elsewhere.

    Who walks to the right shows the right one.
    """
    if not (view.name == "side" or view.set_square) or isinstance(bout.heading, tuple):
        return None
    return "left" if bout.heading > 0 else "right"


def with_whole_legs(bout: Bout, view: View) -> Bout:
    """The walk with the far leg's hip, knee and ankle put right; the same walk where no leg is the far one."""
    far = far_side(bout, view)
    if far is None:
        return bout
    points = bout.points.copy()
    _steady_hips(points, other_side(far))
    leg = np.stack([joint(points, f"{far}_{part}") for part in ("hip", "knee", "ankle")], axis=1)
    known = np.isfinite(leg).all(axis=(1, 2))
    if np.count_nonzero(known) < 5:
        return bout
    lengths = [_length(leg[known, 0], leg[known, 1]), _length(leg[known, 1], leg[known, 2])]
    weight = np.clip((_from_near_leg(points, far) / (HIDING_WIDTH * sum(lengths))) ** 2, LEAST_WEIGHT, 1.0)
    weight = np.where(np.isfinite(weight), weight, 1.0)
    fitted = fit_leg(leg[known], (lengths[0], lengths[1]), weight[known])
    for number, part in enumerate(("hip", "knee", "ankle")):
        points[known, JOINT_INDEX[f"{far}_{part}"]] = fitted[:, number]
    return replace(bout, points=points)


def _steady_hips(points: FloatArray, near: str) -> None:
    shoulder = joint(points, f"{near}_shoulder")[:, 1]
    for side in SIDES:
        height = points[:, JOINT_INDEX[f"{side}_hip"], 1]
        above = shoulder - height
        known = np.isfinite(above)
        if known.any():
            carried = shoulder[known] - np.median(above[known])
            height[known] = SHOULDER_SHARE * carried + (1.0 - SHOULDER_SHARE) * height[known]


def _length(upper: FloatArray, lower: FloatArray) -> float:
    return float(np.percentile(np.linalg.norm(lower - upper, axis=1), LENGTH_PERCENTILE))


def _from_near_leg(points: FloatArray, far: str) -> FloatArray:
    """(T,) distance of the far knee from the nearer of the near leg's thigh and shank."""
    near = other_side(far)
    knee = joint(points, f"{far}_knee")
    hip, bend, ankle = (joint(points, f"{near}_{part}") for part in ("hip", "knee", "ankle"))
    distance: FloatArray = np.fmin(_from_segment(knee, hip, bend), _from_segment(knee, bend, ankle))
    return distance


def _from_segment(point: FloatArray, start: FloatArray, end: FloatArray) -> FloatArray:
    along = end - start
    squared = np.maximum((along**2).sum(axis=1), 1e-12)
    share = np.clip(((point - start) * along).sum(axis=1) / squared, 0.0, 1.0)
    distance: FloatArray = np.linalg.norm(point - start - share[:, None] * along, axis=1)
    return distance


def fit_leg(leg: FloatArray, lengths: tuple[float, float], knee_weight: FloatArray) -> FloatArray:
    """(T, 3, 2) hip, knee and ankle nearest to ``leg`` with thigh and shank of ``lengths``; the knee bends forward.

    ``knee_weight``: (T,) of the knee's squared distance against the hip's and the ankle's.
    """
    thigh, shank = lengths
    first = _two_circles(leg[:, 0], leg[:, 2], thigh, shank)
    hip = leg[:, 0].copy()
    upper, lower = _elevation(first - leg[:, 0]), _elevation(leg[:, 2] - first)
    root = np.stack([np.ones_like(knee_weight), np.sqrt(knee_weight), np.ones_like(knee_weight)], axis=1)[:, :, None]
    for _ in range(_ROUNDS):
        model, slope_upper, slope_lower = _chain(hip, upper, lower, lengths)
        miss = (root * (leg - model)).reshape(-1, 6)
        slopes = np.zeros((leg.shape[0], 3, 2, 4))
        slopes[:, :, 0, 0] = slopes[:, :, 1, 1] = 1.0
        slopes[:, 1:, :, 2] = slope_upper[:, None]
        slopes[:, 2, :, 3] = slope_lower
        jacobian = (root[..., None] * slopes).reshape(-1, 6, 4)
        turned = np.transpose(jacobian, (0, 2, 1))
        normal = turned @ jacobian
        normal += 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(4)
        change = np.linalg.solve(normal, turned @ miss[..., None])[..., 0]
        hip += change[:, :2]
        upper, lower = upper + change[:, 2], lower + change[:, 3]
    return _chain(hip, upper, lower, lengths)[0]


def _chain(
    hip: FloatArray, upper: FloatArray, lower: FloatArray, lengths: tuple[float, float]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(T, 3, 2) joints, and how knee (with all below) and ankle move with the two elevations, (T, 2) each."""
    knee = hip + lengths[0] * np.stack([np.sin(upper), -np.cos(upper)], axis=1)
    ankle = knee + lengths[1] * np.stack([np.sin(lower), -np.cos(lower)], axis=1)
    slope_upper = lengths[0] * np.stack([np.cos(upper), np.sin(upper)], axis=1)
    slope_lower = lengths[1] * np.stack([np.cos(lower), np.sin(lower)], axis=1)
    return np.stack([hip, knee, ankle], axis=1), slope_upper, slope_lower


def _two_circles(hip: FloatArray, ankle: FloatArray, thigh: float, shank: float) -> FloatArray:
    """(T, 2) knee in front of the line from hip to ankle, at the bones' lengths from both where that can be."""
    line = ankle - hip
    distance = np.maximum(np.linalg.norm(line, axis=1, keepdims=True), 1e-9)
    along = line / distance
    reach = np.clip(distance, abs(thigh - shank) + 1e-6 * thigh, 0.9999 * (thigh + shank))
    share = (thigh**2 - shank**2 + reach**2) / (2.0 * reach)
    aside = np.sqrt(np.maximum(thigh**2 - share**2, 0.0))
    knee: FloatArray = hip + share * along + aside * np.stack([-along[:, 1], along[:, 0]], axis=1)
    return knee


def _elevation(vector: FloatArray) -> FloatArray:
    return np.asarray(np.arctan2(vector[:, 0], -vector[:, 1]))
