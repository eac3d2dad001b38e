"""Geometry that laboratory readers share: the unit of length, the vertical, and a heel where a source has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError

METRES_PER_UNIT: dict[str, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}
LEG_M = (0.45, 1.15)
"""Thigh plus shank, from a child of about 0.9 m to an adult of about 2.2 m: 0.245 + 0.246 of body height (Winter,
Biomechanics and Motor Control of Human Movement, 4th ed. 2009, doi:10.1002/9780470549148)."""

MOST_TILT_DEG = 20.0
"""Hips stand over the ankles within 9 degrees in all the walks at hand, of patients, too. In axes that were tilted
by 29 degrees a knee bent 5 degrees more than it did."""

HEEL_BEHIND_ANKLE = 1.0 / 3.0
"""Heel behind the ankle, as a share of the ankle's distance to the tip of the foot: the ankle is taken to lie over the
hind quarter of the foot. A convention, not a measurement of this person."""


def metres_per_unit(leg_length: float, path: Path) -> float:
    """The factor to metres, from the length of a leg (thigh plus shank) in the file's own unit.

    Each unit puts a human leg into a range of its own, so that the answer is never ambiguous. Raises
    ``lab-unit-unknown``.
    """
    if np.isfinite(leg_length):
        for factor in METRES_PER_UNIT.values():
            if LEG_M[0] <= leg_length * factor <= LEG_M[1]:
                return factor
    raise GaitkeeperError("lab-unit-unknown", path=path, length=leg_length)


def vertical_axis(upward: FloatArray) -> tuple[int, int]:
    """Axis (0, 1, 2) and sign of the vertical, from (T, 3) vectors that point upwards in a standing or walking body."""
    mean = np.nanmedian(upward, axis=0)
    axis = int(np.argmax(np.abs(mean)))
    return axis, 1 if mean[axis] > 0 else -1


def check_upright(upward: FloatArray, path: Path) -> None:
    """Raise ``lab-tilted`` where (T, 3) vectors from ankles to hips stand far off each of the file's axes."""
    mean = np.nanmedian(upward, axis=0)
    off = float(np.degrees(np.arccos(np.clip(np.abs(mean).max() / np.linalg.norm(mean), 0.0, 1.0))))
    if off > MOST_TILT_DEG:
        raise GaitkeeperError("lab-tilted", path=path, degrees=off)


def z_up(points: FloatArray, vertical: tuple[int, int]) -> FloatArray:
    """Turn (..., 3) points so that the vertical is +z; a proper rotation, so that left stays left."""
    axis, sign = vertical
    forward = (axis + 1) % 3
    across = (axis + 2) % 3
    # (axis + 1, axis + 2, axis) is an even permutation; a downward axis is turned over about the first of them.
    turned = np.stack([points[..., forward], sign * points[..., across], sign * points[..., axis]], axis=-1)
    return np.asarray(turned, dtype=np.float64)


def heel_in_foot_frame(ankle_to_toe: FloatArray, vertical: tuple[int, int]) -> FloatArray:
    """(3,) vector from ankle to heel in the frame of a foot that stands flat, given that from ankle to tip of foot.

    The heel lies on the sole (as far below the ankle as the tip) and :data:`HEEL_BEHIND_ANKLE` behind the ankle. It is
    a construction, not a measured point: rigid in the foot, so that its times of contact are usable and its absolute
    place is not.
    """
    axis, _ = vertical
    heel = -HEEL_BEHIND_ANKLE * np.asarray(ankle_to_toe, dtype=np.float64)
    heel[axis] = ankle_to_toe[axis]
    return heel
