"""Points of a picture in a file for points of a room: one coordinate never changes, as in Sports2D's TRC.

They are a walk in a plane. Read as one of the room, its steps would have a width, of 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.joints import metres_of, picked_joints, upward
from gaitkeeper_client.lab.walk import LabWalk, Markers
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import leg_length
from gaitkeeper_shared.recording import JointTrajectories

PIXEL = -1.0
"""Stands for the metres of a unit that is a pixel: nobody knows them."""
NOTE = "The points lie in a plane: they were found in a picture, and what is measured across it is withheld."
_FLAT = 1e-9


def is_flat(markers: Markers) -> bool:
    """Whether one of the three coordinates is the same for all markers throughout, or the unit is a pixel."""
    return markers.metres_per_unit == PIXEL or bool((_spread(markers.positions) <= _FLAT).any())


def _spread(positions: FloatArray) -> FloatArray:
    """(3,) between the least and the greatest value of each coordinate; infinite where nothing is seen."""
    seen = positions[np.isfinite(positions).all(axis=-1)]
    return np.ptp(seen, axis=0) if len(seen) else np.full(3, math.inf)


def flat_walk(
    kind: str, markers: Markers, path: Path, mapping: Mapping[str, tuple[str, ...]] | None, person: str | None
) -> LabWalk:
    """A walk in its plane, the vertical upwards: in metres, or in pixels where the file says so.

    Raises as :func:`~gaitkeeper_client.lab.joints.to_trajectories`, and ``lab-unit-contradiction`` for pixels that
    have a depth.
    """
    raw, remarks = picked_joints(markers, path, mapping, person)
    length = leg_length(raw)
    if not np.isfinite(length):
        raise GaitkeeperError("lab-nothing-seen", path=path)
    spread = _spread(markers.positions)
    across = int(np.argmin(spread))
    in_pixels = markers.metres_per_unit == PIXEL
    if spread[across] > _FLAT:
        raise GaitkeeperError(
            "lab-unit-contradiction", path=path, unit="px", length=length, fits="Its points have a depth, too."
        )
    rise = np.nanmedian(upward(raw), axis=0)
    rise[across] = 0.0
    vertical = int(np.argmax(np.abs(rise)))
    along = 3 - across - vertical
    scale = 1.0 if in_pixels else metres_of(length, markers.metres_per_unit, path)
    # A picture's rows count downwards in some files: they are turned over, and left stays on its side of the picture.
    sign = 1.0 if rise[vertical] > 0.0 else -1.0
    points = np.stack([raw[..., along], sign * raw[..., vertical]], axis=-1) * scale
    confidence = np.asarray(np.isfinite(points).all(axis=2), dtype=np.float64)
    tracks = JointTrajectories(markers.time_s, points, "px" if in_pixels else "m", confidence)
    return LabWalk(kind, tracks, notes=(*remarks, NOTE))
