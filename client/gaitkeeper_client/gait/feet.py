"""Whether a recording shows feet, and what stands in for them where it shows hardly more than ankles.

Many skeletons end at the ankle (COCO's 17 points, and most networks that were trained on it). An ankle is braked and
swings as its heel does, so that contacts can be told from it; what the foot itself does cannot.
"""

from __future__ import annotations

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint
from gaitkeeper_shared.skeleton import SIDES

LEAST_SEEN = 0.5
"""Of the samples that show an ankle. Who is followed by the feet is followed no farther than they are seen."""


def foot_is_seen(points: FloatArray, side: str) -> bool:
    """Whether (T, J, D) points show heel and tip of a foot, in at least half of where they show its ankle."""
    ankle, heel, tip = (np.isfinite(joint(points, f"{side}_{part}")).all(axis=1) for part in ("ankle", "heel", "toe"))
    foot = np.count_nonzero(heel & tip)
    return bool(foot > 0 and foot >= LEAST_SEEN * np.count_nonzero(ankle))


def feet_are_seen(points: FloatArray) -> bool:
    """Whether those of both feet are: one method has to find the contacts of both."""
    return all(foot_is_seen(points, side) for side in SIDES)


def leg_parts(points: FloatArray) -> tuple[str, ...]:
    """Hip, ankle and, of (T, J, D) points that show feet, their ends: what must be seen of a leg in a walk."""
    return ("hip", "ankle", "heel", "toe") if feet_are_seen(points) else ("hip", "ankle")


def facing(points: FloatArray) -> FloatArray:
    """(2 T, D) where both feet point, or, where none are seen, how far both knees are off the line of their leg.

    A knee bends forwards, whichever way the walk goes. NaN where not seen.
    """
    if feet_are_seen(points):
        return np.concatenate([joint(points, f"{side}_toe") - joint(points, f"{side}_heel") for side in SIDES])
    return np.concatenate([_knee_ahead(points, side) for side in SIDES])


def _knee_ahead(points: FloatArray, side: str) -> FloatArray:
    hip, knee, ankle = (joint(points, f"{side}_{part}") for part in ("hip", "knee", "ankle"))
    with np.errstate(invalid="ignore", divide="ignore"):  # of a leg without a height nothing is known
        share = (hip[:, -1] - knee[:, -1]) / (hip[:, -1] - ankle[:, -1])
        return np.asarray(knee - (hip + share[:, None] * (ankle - hip)))
