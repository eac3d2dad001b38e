"""The leg that a walker stands on, while the other swings past it.

Pose networks draw a joint towards its like on the other leg as that comes near: in mid-stance the near knee of rendered
walkers was found, on the mean, 2 % of the leg too far back and then 3 % too far ahead, as the swinging knee came from
behind and went on. In one it was 5 %, which stretched a knee that was bent by 13 degrees to 11 beyond straight, and its
range of motion was 8 degrees too large. A swinging foot lifts the standing ankle in the same way.

A leg that is stood on moves little and smoothly. So for as long as the other's joint is within :data:`NEAR` leg lengths
along the way, ankle and knee are taken from a polynomial through the samples around, by weighted least squares; the
nearer the other's joint, the less a sample counts and the more of it is replaced. Of the knee that is its place beside
the line from hip to ankle, so that it stays with a leg that moves on.
"""

from __future__ import annotations

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES, other_side

NEAR = 0.2
"""Leg lengths. An attracted joint errs most at about half of it."""
LEAST_WEIGHT = 0.01
REACH_S = 0.3
"""Before and after the other's joint passes; it is near for about half of that."""
DEGREE = 5
"""A cubic takes 5 degrees off a healthy knee's yielding to the load, which is at its largest then; this takes 1."""
FEWEST_SAMPLES = 10


def steady_standing_legs(points: FloatArray, leg: float, rate_hz: float) -> FloatArray:
    """(T, J, 2) forward/up points with both legs' ankles and knees steadied where the other leg swings past them.

    ``leg``: its length, in the points' unit. Evenly sampled; where a joint is not known, nothing is changed.
    """
    out = points.copy()
    reach = max(FEWEST_SAMPLES // 2, round(REACH_S * rate_hz))
    for side in SIDES:
        ankle = JOINT_INDEX[f"{side}_ankle"]
        out[:, ankle] = _steadied(out[:, ankle], _ahead(out, side, "ankle", leg), reach)
        hip, line = joint(out, f"{side}_hip"), joint(out, f"{side}_ankle") - joint(out, f"{side}_hip")
        across = np.stack([-line[:, 1], line[:, 0]], axis=1)
        knee = JOINT_INDEX[f"{side}_knee"]
        squared = np.maximum((line**2).sum(axis=1), 1e-12)
        along, aside = (((out[:, knee] - hip) * way).sum(axis=1) / squared for way in (line, across))
        place = _steadied(np.stack([along, aside], axis=1), _ahead(out, side, "knee", leg), reach)
        out[:, knee] = hip + place[:, :1] * line + place[:, 1:] * across
    return out


def _ahead(points: FloatArray, side: str, part: str, leg: float) -> FloatArray:
    """(T,) how far the other leg's joint is ahead of this one's, in leg lengths."""
    other = joint(points, f"{other_side(side)}_{part}")
    return np.asarray((other - joint(points, f"{side}_{part}"))[:, 0] / leg)


def _steadied(place: FloatArray, ahead: FloatArray, reach: int) -> FloatArray:
    """(T, 2) with what is replaced around every sample at which the other's joint comes from behind to ahead."""
    out = place.copy()
    for middle in np.flatnonzero((ahead[:-1] < 0.0) & (ahead[1:] >= 0.0)) + 1:
        around = slice(max(0, middle - reach), middle + reach)
        seen, gap = place[around], ahead[around]
        if gap.size < FEWEST_SAMPLES or not (np.isfinite(seen).all() and np.isfinite(gap).all()):
            continue
        weight = np.clip((gap / NEAR) ** 2, LEAST_WEIGHT, 1.0)[:, None]
        powers = np.vander(np.linspace(-1.0, 1.0, gap.size), DEGREE + 1)
        root = np.sqrt(weight)
        smooth = powers @ np.linalg.lstsq(powers * root, seen * root, rcond=None)[0]
        out[around] = np.where(weight < 1.0, weight * seen + (1.0 - weight) * smooth, out[around])
    return out
