"""From which side a walker is seen, estimated from the walker alone.

Two things tell, each with its error. Where the picture's size is known and the walker travels across it, how they grow
or shrink on the way gives the camera's azimuth (:mod:`perspective`). And shoulders and hips, which lie behind each
other in a side view, are from the front about as wide apart as the trunk is long times :data:`WIDTH_OF_TRUNK`: good to
about 10 degrees, and enough to refuse by. Without shoulders the hips' width is held against the legs. Where the two
contradict each other, the less favourable holds; where neither is known, the view is unknown, and nothing that needs
one is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gaitkeeper_client.gait.perspective import WIDTH_SD_DEG, Perspective, Picture, perspective_of
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint, leg_length, midpoint

WIDTH_OF_TRUNK = 0.62
"""Shoulder joints apart over trunk length: 0.18 x height over 0.29 x height (Winter 2009)."""
HIPS_OF_LEG = 0.2
"""Hip joints apart over thigh and shank: 0.10 x height over 0.49 x height."""
SIDE_UP_TO_DEG = 25.0
"""A foreshortening of at most 9 %. Beyond it lengths are withheld where no perspective is known."""
SQUARE_UP_TO_DEG = 40.0
"""What is seen from up to here can be set square: beyond, a length would be uncertain by more than a tenth."""
OBLIQUE_UP_TO_DEG = 60.0
"""Times are good up to here."""

LARGEST_GROWTH = 0.2
"""Of the body's size over one walk, from its trend. Rendered walks square to the camera had up to 0.05, those 28
degrees off the side 0.31 and more."""
CONTRADICTION_DEG = 2.0 * WIDTH_SD_DEG
"""The shoulders look so much wider than the perspective lets them be: a long lens, or a walk that is not straight."""

ViewName = Literal["side", "oblique", "front-or-rear", "laboratory", "unknown"]


@dataclass(frozen=True, slots=True)
class View:
    """``azimuth_deg``: 0 square from the side, 90 from the front or the rear; NaN where nothing tells it."""

    name: ViewName
    azimuth_deg: float
    perspective: Perspective | None = None

    @property
    def sagittal(self) -> bool:
        """Whether angles and lengths in the plane of progression can be read off, set square where need be."""
        return self.name in ("side", "laboratory") or self.set_square

    @property
    def set_square(self) -> bool:
        """Whether an oblique view can be set square."""
        return self.name == "oblique" and self.perspective is not None and self.azimuth_deg <= SQUARE_UP_TO_DEG


LABORATORY = View("laboratory", 0.0)
UNKNOWN = View("unknown", float("nan"))


def estimate_view(positions: FloatArray, picture: Picture | None = None, duration_s: float = 0.0) -> View:
    """The view of (T, J, D) points of a walk; three-dimensional points have no side.

    ``picture``: its size, where it is known and the camera stands still; ``duration_s``: of the walk.
    """
    if positions.shape[2] == 3:
        return LABORATORY
    width = width_azimuth_deg(positions)
    seen = perspective_of(positions, picture, duration_s, width) if picture is not None else None
    if seen is not None and not width - abs(seen.azimuth_deg) > CONTRADICTION_DEG:
        return _named(abs(seen.azimuth_deg), seen)
    if not np.isfinite(width):
        return UNKNOWN
    if width <= SIDE_UP_TO_DEG and abs(_growth(_size(positions))) > LARGEST_GROWTH:
        return View("oblique", SIDE_UP_TO_DEG)
    return _named(width, None)


def _named(azimuth_deg: float, seen: Perspective | None) -> View:
    if azimuth_deg <= SIDE_UP_TO_DEG:
        return View("side", azimuth_deg, seen)
    return View("oblique" if azimuth_deg <= OBLIQUE_UP_TO_DEG else "front-or-rear", azimuth_deg, seen)


def width_azimuth_deg(positions: FloatArray) -> float:
    """Azimuth by how wide shoulders and hips look against the trunk; NaN where they are never all seen.

    Without shoulders by the hips against the legs.
    """
    shoulders, hips = (
        np.abs(joint(positions, f"left_{part}")[:, 0] - joint(positions, f"right_{part}")[:, 0])
        for part in ("shoulder", "hip")
    )
    ratios = np.minimum(shoulders, hips / 0.55) / (WIDTH_OF_TRUNK * _trunk(positions))
    known = ratios[np.isfinite(ratios)]
    if not known.size:
        ratios = hips / (HIPS_OF_LEG * leg_length(positions))
        known = ratios[np.isfinite(ratios)]
    return float(np.degrees(np.arcsin(min(float(np.median(known)), 1.0)))) if known.size else float("nan")


def _trunk(positions: FloatArray) -> FloatArray:
    length: FloatArray = np.linalg.norm(midpoint(positions, "shoulder") - midpoint(positions, "hip"), axis=1)
    return length


def _size(positions: FloatArray) -> FloatArray:
    """(T,) length of the trunk, or of a thigh and its shank where no trunk is seen."""
    trunk = _trunk(positions)
    if np.isfinite(trunk).any():
        return trunk
    legs = [
        np.linalg.norm(joint(positions, f"{side}_hip") - joint(positions, f"{side}_knee"), axis=1)
        + np.linalg.norm(joint(positions, f"{side}_knee") - joint(positions, f"{side}_ankle"), axis=1)
        for side in ("left", "right")
    ]
    return np.asarray(np.fmax(legs[0], legs[1]))


def _growth(size: FloatArray) -> float:
    """Trend of the logarithm of (T,) lengths, from the first to the last known one."""
    known = np.flatnonzero(np.isfinite(size) & (size > 0.0))
    if known.size < 10:
        return 0.0
    return float(np.polyfit(np.linspace(0.0, 1.0, known.size), np.log(size[known]), 1)[0])


def comes_nearer(positions: FloatArray) -> bool:
    """Whether somebody seen by a camera grows or shrinks by a fifth: walks towards it or away from it."""
    trunk = _trunk(positions)
    known = trunk[np.isfinite(trunk)]
    tenth = max(1, known.size // 10)
    if known.size < 10:
        return False
    ratio = float(np.median(known[-tenth:]) / np.median(known[:tenth]))
    return ratio > 1.2 or ratio < 1.0 / 1.2
