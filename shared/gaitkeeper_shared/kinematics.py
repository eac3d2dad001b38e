"""Sagittal-plane kinematics: one definition of each joint angle for the simulator, the gait engine and the models.

Conventions (positive = flexion, independent of side and of the direction of travel), in degrees:

- ``trunk_lean``: line mid-hip to mid-shoulder against the vertical; positive leaning forward.
- ``hip_flexion``: thigh (hip to knee) against the trunk line; 0 when they are in line, positive with the knee forward.
  A pelvis cannot be seen in keypoints, so this is a trunk-thigh angle; it differs from a marker laboratory's
  pelvis-thigh angle by the pelvic tilt (about 10 degrees, nearly constant over the cycle).
- ``knee_flexion``: shank (knee to ankle) against the thigh; 0 when straight.
- ``ankle_dorsiflexion``: foot (heel to toe) against the shank's perpendicular; 0 when the foot is square to the shank,
  positive with the toes up.

Signs follow the recommendation of the International Society of Biomechanics (Wu et al. 2002,
doi:10.1016/S0021-9290(01)00222-6) as far as a single plane can.
"""

from __future__ import annotations

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

ANGLES: tuple[str, ...] = ("hip_flexion", "knee_flexion", "ankle_dorsiflexion")
"""The angles that exist once per side; the full name has the side behind it: ``knee_flexion_left``."""


def joint(points: FloatArray, name: str) -> FloatArray:
    """(T, D) track of one joint out of (T, J, D) points."""
    track: FloatArray = points[:, JOINT_INDEX[name]]
    return track


def midpoint(points: FloatArray, what: str) -> FloatArray:
    """(T, D) mean of the left and the right joint called ``what``."""
    return 0.5 * (joint(points, f"left_{what}") + joint(points, f"right_{what}"))


def sagittal_plane(positions: FloatArray, heading: float | tuple[float, float]) -> FloatArray:
    """Project (T, J, D) positions onto the plane of progression: (T, J, 2) as forward, up.

    ``heading``: for D = 2 the sign of travel along x (+1 or -1); for D = 3 the horizontal direction of travel (x, y),
    of any length but zero.
    """
    if positions.shape[2] == 2:
        if not isinstance(heading, int | float):
            raise ValueError("image points need a heading of +1 or -1")
        forward = positions[..., 0] * heading
        return np.stack([forward, positions[..., 1]], axis=-1)
    direction = np.asarray(heading, dtype=np.float64)
    length = float(np.linalg.norm(direction))
    if direction.shape != (2,) or length == 0.0:
        raise ValueError("laboratory points need a horizontal heading (x, y)")
    forward = positions[..., :2] @ (direction / length)
    return np.stack([forward, positions[..., 2]], axis=-1)


def _elevation(vector: FloatArray) -> FloatArray:
    """Angle of a downward-pointing segment against the vertical; positive with its lower end forward, degrees."""
    return np.degrees(np.arctan2(vector[:, 0], -vector[:, 1]))


def _wrap(angle: FloatArray) -> FloatArray:
    return (angle + 180.0) % 360.0 - 180.0


def joint_angles(points: FloatArray) -> dict[str, FloatArray]:
    """Angles over time from (T, J, 2) forward/up points; keys ``trunk_lean`` and ``ANGLES`` per side, each (T,)."""
    trunk = midpoint(points, "hip") - midpoint(points, "shoulder")
    trunk_elevation = _elevation(trunk)
    angles = {"trunk_lean": _wrap(-trunk_elevation)}
    for side in SIDES:
        thigh = _elevation(joint(points, f"{side}_knee") - joint(points, f"{side}_hip"))
        shank = _elevation(joint(points, f"{side}_ankle") - joint(points, f"{side}_knee"))
        foot = joint(points, f"{side}_toe") - joint(points, f"{side}_heel")
        pitch = np.degrees(np.arctan2(foot[:, 1], foot[:, 0]))
        angles[f"hip_flexion_{side}"] = _wrap(thigh - trunk_elevation)
        angles[f"knee_flexion_{side}"] = _wrap(thigh - shank)
        angles[f"ankle_dorsiflexion_{side}"] = _wrap(pitch - shank)
    return angles


def leg_length(points: FloatArray) -> float:
    """Median of thigh plus shank over both sides, in the points' unit; NaN when no leg is ever seen."""
    lengths = []
    for side in SIDES:
        thigh = np.linalg.norm(joint(points, f"{side}_knee") - joint(points, f"{side}_hip"), axis=1)
        shank = np.linalg.norm(joint(points, f"{side}_ankle") - joint(points, f"{side}_knee"), axis=1)
        lengths.append(thigh + shank)
    stacked = np.concatenate(lengths)
    seen = stacked[np.isfinite(stacked)]
    return float(np.median(seen)) if seen.size else float("nan")
