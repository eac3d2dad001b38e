"""From which side a walker is seen, estimated from the walker alone.

In a side view the shoulders lie behind each other; from the front they are about as wide apart as the trunk is long
times :data:`WIDTH_OF_TRUNK`. The apparent width therefore tells the angle between the line of sight and the walker's
side. It is an estimate to about 10 degrees, good enough to refuse by. Who walks square to the camera also keeps their
size; one who grows or shrinks on the way by more than :data:`LARGEST_GROWTH` does not, however narrow they look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint, midpoint

WIDTH_OF_TRUNK = 0.62
"""Shoulder joints apart over trunk length: 0.18 x height over 0.29 x height (Winter 2009)."""
SIDE_UP_TO_DEG = 25.0
"""A foreshortening of at most 9 %. Lengths are withheld beyond it; times are good up to the next limit."""
OBLIQUE_UP_TO_DEG = 60.0

LARGEST_GROWTH = 0.2
"""Of the trunk's length over one walk, from its trend. Rendered walks square to the camera had up to 0.05, those 28
degrees off the side 0.31 and more."""

ViewName = Literal["side", "oblique", "front-or-rear", "laboratory"]


@dataclass(frozen=True, slots=True)
class View:
    """``azimuth_deg``: 0 square from the side, 90 from the front or the rear; NaN if the shoulders are not seen."""

    name: ViewName
    azimuth_deg: float

    @property
    def sagittal(self) -> bool:
        """Whether angles and lengths in the plane of progression can be read off."""
        return self.name in ("side", "laboratory")


LABORATORY = View("laboratory", 0.0)


def estimate_view(positions: FloatArray) -> View:
    """The view of (T, J, D) points of a walk; three-dimensional points have no side."""
    if positions.shape[2] == 3:
        return LABORATORY
    trunk = np.linalg.norm(midpoint(positions, "shoulder") - midpoint(positions, "hip"), axis=1)
    widths = [
        np.abs(joint(positions, f"left_{part}")[:, 0] - joint(positions, f"right_{part}")[:, 0]) / share
        for part, share in (("shoulder", WIDTH_OF_TRUNK), ("hip", 0.55 * WIDTH_OF_TRUNK))
    ]
    ratio = float(np.nanmedian(np.minimum(widths[0], widths[1]) / trunk)) if np.isfinite(trunk).any() else float("nan")
    if not np.isfinite(ratio):
        return View("side", float("nan"))
    azimuth = float(np.degrees(np.arcsin(min(ratio, 1.0))))
    if azimuth <= SIDE_UP_TO_DEG and abs(_growth(trunk)) > LARGEST_GROWTH:
        return View("oblique", SIDE_UP_TO_DEG)
    if azimuth <= SIDE_UP_TO_DEG:
        return View("side", azimuth)
    return View("oblique" if azimuth <= OBLIQUE_UP_TO_DEG else "front-or-rear", azimuth)


def _growth(trunk: FloatArray) -> float:
    """Trend of the logarithm of (T,) lengths, from the first to the last known one."""
    known = np.flatnonzero(np.isfinite(trunk) & (trunk > 0.0))
    if known.size < 10:
        return 0.0
    return float(np.polyfit(np.linspace(0.0, 1.0, known.size), np.log(trunk[known]), 1)[0])


def comes_nearer(positions: FloatArray) -> bool:
    """Whether somebody seen by a camera grows or shrinks by a fifth: walks towards it or away from it."""
    trunk = np.linalg.norm(midpoint(positions, "shoulder") - midpoint(positions, "hip"), axis=1)
    known = trunk[np.isfinite(trunk)]
    tenth = max(1, known.size // 10)
    if known.size < 10:
        return False
    ratio = float(np.median(known[-tenth:]) / np.median(known[:tenth]))
    return ratio > 1.2 or ratio < 1.0 / 1.2
