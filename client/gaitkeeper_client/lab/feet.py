"""A heel for feet that have an ankle and a tip only: skeletons of motion capture, keypoints of many networks.

A construction, not a measured point (see :data:`~gaitkeeper_client.lab.geometry.HEEL_BEHIND_ANKLE`): rigid in the foot,
on the level of the tip while the foot is flat, behind the ankle. Its times of contact are usable, its absolute place is
not.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gaitkeeper_client.lab.geometry import HEEL_BEHIND_ANKLE
from gaitkeeper_client.lab.walk import LabWalk
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

NOTE = "The file has no heels; they were constructed behind the ankles, rigid in the foot."


def with_heels(walk: LabWalk) -> LabWalk:
    """The walk with a heel on each foot that has an ankle and a tip and none; unchanged where nothing is lacking."""
    tracks = walk.trajectories
    positions, confidence = tracks.positions.copy(), tracks.confidence.copy()
    made = False
    for side in SIDES:
        ankle, heel, toe = (JOINT_INDEX[f"{side}_{part}"] for part in ("ankle", "heel", "toe"))
        if np.isfinite(positions[:, heel]).any():
            continue
        found = _heel(positions[:, ankle], positions[:, toe])
        seen = np.isfinite(found).all(axis=1)
        if seen.any():
            positions[seen, heel] = found[seen]
            confidence[seen, heel] = np.minimum(confidence[seen, ankle], confidence[seen, toe])
            made = True
    if not made:
        return walk
    whole = replace(tracks, positions=positions, confidence=confidence)
    return replace(walk, trajectories=whole, notes=(*walk.notes, NOTE))


def _heel(ankle: FloatArray, toe: FloatArray) -> FloatArray:
    """(T, D) heel from (T, D) ankle and tip of the foot, the last axis upwards; NaN where it cannot be told."""
    foot = toe - ankle
    flat, up = foot[:, :-1], foot[:, -1]
    ahead = np.linalg.norm(flat, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        forward = flat / ahead[:, None]
    length = np.hypot(ahead, up)
    pitch = np.arctan2(up, ahead)
    known = np.isfinite(pitch) & (length > 0.0)
    if not known.any():
        return np.full_like(ankle, np.nan)
    # The foot is flat for half of the cycle: the median is the tilt of a foot that stands.
    rest, reach = float(np.median(pitch[known])), float(np.median(length[known]))
    behind, below = -HEEL_BEHIND_ANKLE * reach * np.cos(rest), reach * np.sin(rest)
    turn = pitch - rest
    along = behind * np.cos(turn) - below * np.sin(turn)
    height = behind * np.sin(turn) + below * np.cos(turn)
    heel: FloatArray = ankle + np.concatenate([along[:, None] * forward, height[:, None]], axis=1)
    return heel
