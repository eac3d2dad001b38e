"""Whether left is left: markers whose sides were exchanged are found from the body that they belong to.

A bone keeps its length. Where a joint keeps its distance to the **other** side's next joint and not to its own, one of
the two pairs of names is exchanged. If all names are, the bones are none the wiser; but the feet then point one way and
the sides lie the other way round. Points in left-handed axes look the same: only a format that promises right-handed
axes, as C3D does, tells the two apart.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import joint, midpoint
from gaitkeeper_shared.skeleton import SIDES

CLEAR, FEW_CHANGED = 0.5, 0.05
"""Feet that point within 30 degrees of the way to the other side say nothing. Of the laboratories' files at hand none
has a single sample with its sides the other way round."""
BONES = (("hip", "knee"), ("knee", "ankle"), ("ankle", "heel"), ("ankle", "toe"))
FEWEST_SAMPLES = 20
LIMP = 0.04
"""Spread of a bone's length, as a share of it, that no skin marker on the right bone has: theirs is 0.01 to 0.03."""
STIFFER = 0.5
"""The exchanged pairing must be so much steadier, on both sides."""
LONGER = 1.04
"""A knee is so much farther from the other hip: 1.08 in usual proportions. Legs that cross come to 1.03."""
TRAVELLED_M = 0.5
"""Who has gone less far walks on the spot, or stands: the way says nothing of the feet."""


def check_sides(points: FloatArray, path: Path, *, right_handed: bool) -> bool:
    """Whether the axes of (T, J, 3) points, metres, z up, are to be turned over because they are left-handed.

    Raises ``lab-sides-change`` where the sides change within the recording; ``lab-sides-exchanged`` where pairs of
    names are exchanged, and where all are in a format whose axes are ``right_handed``; ``lab-feet-reversed`` where
    heels and toes are.
    """
    if loose := [f"{near} and {far}" for near, far in BONES if _is_crossed(points, near, far)]:
        detail = f"between {', '.join(loose)} the bones fit only from one side to the other"
        raise GaitkeeperError("lab-sides-exchanged", path=path, detail=detail)
    facing = _facing(points)
    turn = _cross(facing, _to_left(points))
    known = np.isfinite(turn) & (turn != 0.0)
    if known.sum() >= FEWEST_SAMPLES and (changed := _changed(turn[known], facing[known], _to_left(points)[known])):
        raise GaitkeeperError("lab-sides-change", path=path, percent=100.0 * changed)
    if not known.any() or np.median(turn[known]) > 0.0:
        return False
    if _against_the_way(points, facing):
        raise GaitkeeperError("lab-feet-reversed", path=path)
    if right_handed:
        detail = "the feet point one way and the hips lie the other way round"
        raise GaitkeeperError("lab-sides-exchanged", path=path, detail=detail)
    return True


def _changed(turn: FloatArray, facing: FloatArray, to_left: FloatArray) -> float:
    """Share of the samples in which the sides lie the other way round than in most; 0 where there are hardly any."""
    sine = turn / (np.linalg.norm(facing, axis=1) * np.linalg.norm(to_left, axis=1))
    share = float(np.mean((np.sign(sine) != np.sign(np.median(sine))) & (np.abs(sine) > CLEAR)))
    return share if share > FEW_CHANGED else 0.0


def _is_crossed(points: FloatArray, near: str, far: str) -> bool:
    own = [_length(points, f"{side}_{near}", f"{side}_{far}") for side in SIDES]
    other = [_length(points, f"{a}_{near}", f"{b}_{far}") for a, b in zip(SIDES, reversed(SIDES), strict=True)]
    return all(_looser(mine, theirs, near) for mine, theirs in zip(own, other, strict=True))


def _looser(own: tuple[float, float], other: tuple[float, float], near: str) -> bool:
    """Whether a bone to its own side is none. Both thighs turn about the axis through both hips: a knee keeps its
    distance from the other hip, too, and only the greater length tells."""
    if near == "hip":
        return own[0] > LONGER * other[0]
    return own[1] > LIMP and other[1] < STIFFER * own[1]


def _length(points: FloatArray, near: str, far: str) -> tuple[float, float]:
    """Median of a distance, and its interquartile range over it; NaN where it is hardly seen."""
    length = np.linalg.norm(joint(points, near) - joint(points, far), axis=1)
    length = length[np.isfinite(length)]
    if length.size < FEWEST_SAMPLES:
        return float("nan"), float("nan")
    low, middle, high = np.percentile(length, (25.0, 50.0, 75.0))
    return float(middle), float((high - low) / middle) if middle > 0.0 else float("nan")


def _facing(points: FloatArray) -> FloatArray:
    """(T, 2) where the feet point, seen from above; zero where no foot is seen."""
    ahead = np.zeros((points.shape[0], 2))
    for side in SIDES:
        foot = (joint(points, f"{side}_toe") - joint(points, f"{side}_heel"))[:, :2]
        ahead += np.where(np.isfinite(foot), foot, 0.0)
    return ahead


def _to_left(points: FloatArray) -> FloatArray:
    return np.asarray((joint(points, "left_hip") - joint(points, "right_hip"))[:, :2])


def _against_the_way(points: FloatArray, facing: FloatArray) -> bool:
    """Whether the walker travels, and against the direction of the feet."""
    hips = midpoint(points, "hip")[:, :2]
    seen = np.flatnonzero(np.isfinite(hips).all(axis=1))
    if seen.size < FEWEST_SAMPLES:
        return False
    way = np.gradient(hips[seen], axis=0)
    if np.linalg.norm(way.sum(axis=0)) < TRAVELLED_M:
        return False
    return bool((way * facing[seen]).sum() < 0.0)


def _cross(one: FloatArray, other: FloatArray) -> FloatArray:
    return np.asarray(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
