"""From OpenSim's joint angles (MOT, STO) to joint positions: forward kinematics of a walker of usual proportions.

Axes and signs are those of OpenSim's gait models (Delp et al. 2007, doi:10.1109/TBME.2007.901024): x forward, y up, z
to the right; pelvis tilt about z, then list about x, then rotation about y; hip flexion, adduction and rotation
likewise. The angles are the file's own. Lengths of segments are not in the file: they are shares of the body's height
(Winter, Biomechanics and Motor Control of Human Movement, 4th ed. 2009, doi:10.1002/9780470549148), and the height is
the one given, or else the one with which the lower foot reaches the ground below ``pelvis_ty``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.geometry import HEEL_BEHIND_ANKLE, z_up
from gaitkeeper_client.lab.mot import MotionTable, short_name
from gaitkeeper_client.lab.walk import LabWalk
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS, SIDES

THIGH, SHANK, FOOT, ANKLE_HEIGHT = 0.245, 0.246, 0.152, 0.039
HALF_HIPS, TRUNK, HALF_SHOULDERS, UPPER_ARM, FOREARM = 0.05, 0.288, 0.1295, 0.186, 0.146
HIP_BELOW_PELVIS, HIP_BEHIND_PELVIS = 0.039, 0.042
"""Shares of the body's height. The hips lie below and behind the pelvis' origin, the middle of the front spines, by as
much as in OpenSim's gait2392 (0.066 m and 0.071 m of a man of 1.70 m)."""
HEIGHT_M = (0.8, 2.3)
_NEEDED = ("hip_flexion_l", "hip_flexion_r", "knee_angle_l", "knee_angle_r")
_SIDEWAYS = "hip_adduction"
"""Without it the feet swing exactly under the hips, and the width of a step would be that of the hips."""
_LENGTHS = frozenset({"pelvis_tx", "pelvis_ty", "pelvis_tz"})

NOTE = (
    "Positions were made from the file's joint angles, with segments of usual proportions for a height of "
    "{height:.2f} m; "
    "lengths of steps depend on it."
)


def is_coordinates(names: tuple[str, ...]) -> bool:
    """Whether a table's columns are those of an OpenSim walker's joints."""
    return set(_NEEDED) <= {short_name(name) for name in names}


def walk_of_coordinates(table: MotionTable, path: Path, kind: str, height_m: float | None) -> LabWalk:
    """A walk from joint angles, in metres, z up, one sample for each row.

    Raises ``lab-points-missing`` for a table without the legs' angles, or that never knows one of them, and
    ``lab-height-needed`` where neither the options nor the pelvis' height tell how long the legs are.
    """
    angles = _columns(table)
    missing = [name for name in _NEEDED if name not in angles or not np.isfinite(angles[name]).any()]
    if missing:
        raise GaitkeeperError("lab-points-missing", path=path, missing=", ".join(missing))
    shape = _body(angles, table.time_s.size)
    height = height_m if height_m is not None else _height(angles, shape, path)
    points = shape * height
    points += np.stack(
        [angles.get(name, np.zeros(table.time_s.size)) for name in ("pelvis_tx", "pelvis_ty", "pelvis_tz")], axis=1
    )[:, None, :]
    positions = z_up(points, (1, 1))
    confidence = np.asarray(np.isfinite(positions).all(axis=2), dtype=np.float64)
    trajectories = JointTrajectories(table.time_s, positions, "m", confidence)
    sagittal = not any(name.startswith(_SIDEWAYS) for name in angles)
    return LabWalk(kind, trajectories, notes=(NOTE.format(height=height),), sagittal=sagittal)


def _columns(table: MotionTable) -> dict[str, FloatArray]:
    """Angles in radians and the pelvis' way in metres, by OpenSim's short names; knees bend with a positive angle."""
    factor = np.pi / 180.0 if table.in_degrees else 1.0
    found: dict[str, FloatArray] = {}
    for number, full_name in enumerate(table.names):
        name = short_name(full_name)
        if not full_name.endswith(("speed", "activation")):
            found.setdefault(name, table.values[:, number] * (1.0 if name in _LENGTHS else factor))
    for side in ("l", "r"):
        knee = found.get(f"knee_angle_{side}")
        if (
            knee is not None and np.isfinite(knee).any() and np.nanmedian(knee) < 0.0
        ):  # models before 2016 bend the knee backwards
            found[f"knee_angle_{side}"] = -knee
    return found


def _body(angles: Mapping[str, FloatArray], samples: int) -> FloatArray:
    """(T, J, 3) joints about the pelvis' origin, in OpenSim's axes and units of the body's height."""

    def of(name: str) -> FloatArray:
        return angles.get(name, np.zeros(samples))

    points = np.full((samples, len(JOINTS), 3), np.nan)
    pelvis = _turn(of("pelvis_tilt"), of("pelvis_list"), of("pelvis_rotation"))
    torso = pelvis @ _turn(of("lumbar_extension"), of("lumbar_bending"), of("lumbar_rotation"))
    for side in SIDES:
        letter, out = side[0], -1.0 if side == "left" else 1.0
        hip = _move(pelvis, (-HIP_BEHIND_PELVIS, -HIP_BELOW_PELVIS, out * HALF_HIPS))
        thigh = pelvis @ _turn(
            of(f"hip_flexion_{letter}"), out * of(f"hip_adduction_{letter}"), out * of(f"hip_rotation_{letter}")
        )
        knee = hip + _move(thigh, (0.0, -THIGH, 0.0))
        shank = thigh @ _about_z(-of(f"knee_angle_{letter}"))
        ankle = knee + _move(shank, (0.0, -SHANK, 0.0))
        foot = shank @ _about_z(of(f"ankle_angle_{letter}"))
        behind = HEEL_BEHIND_ANKLE / (1.0 + HEEL_BEHIND_ANKLE) * FOOT
        shoulder = _move(pelvis, (-HIP_BEHIND_PELVIS, -HIP_BELOW_PELVIS, 0.0)) + _move(
            torso, (0.0, TRUNK, out * HALF_SHOULDERS)
        )
        made = {
            "hip": hip,
            "knee": knee,
            "ankle": ankle,
            "heel": ankle + _move(foot, (-behind, -ANKLE_HEIGHT, 0.0)),
            "toe": ankle + _move(foot, (FOOT - behind, -ANKLE_HEIGHT, 0.0)),
            "shoulder": shoulder,
        }
        if f"arm_flex_{letter}" in angles:
            arm = torso @ _turn(of(f"arm_flex_{letter}"), out * of(f"arm_add_{letter}"), out * of(f"arm_rot_{letter}"))
            made["elbow"] = shoulder + _move(arm, (0.0, -UPPER_ARM, 0.0))
            if f"elbow_flex_{letter}" in angles:
                forearm = arm @ _about_z(of(f"elbow_flex_{letter}"))
                made["wrist"] = made["elbow"] + _move(forearm, (0.0, -FOREARM, 0.0))
        for name, track in made.items():
            points[:, JOINT_INDEX[f"{side}_{name}"]] = track
    return points


def _height(angles: Mapping[str, FloatArray], shape: FloatArray, path: Path) -> float:
    """The body's height with which the lower foot reaches the ground, as the median over time."""
    pelvis = angles.get("pelvis_ty")
    if pelvis is None:
        raise GaitkeeperError("lab-height-needed", path=path)
    feet = [JOINT_INDEX[f"{side}_{part}"] for side in SIDES for part in ("heel", "toe")]
    drop = -np.min(shape[:, feet, 1], axis=1)  # unknown where a foot is
    height = float(np.nanmedian(pelvis) / np.nanmedian(drop))
    if not HEIGHT_M[0] <= height <= HEIGHT_M[1]:
        raise GaitkeeperError("lab-height-needed", path=path)
    return height


def _turn(about_z: FloatArray, about_x: FloatArray, about_y: FloatArray) -> FloatArray:
    """(T, 3, 3) rotations about z, then the new x, then the new y; radians."""
    cos, sin = np.cos(about_x), np.sin(about_x)
    x = np.zeros((cos.size, 3, 3))
    x[:, 0, 0] = 1.0
    x[:, 1, 1] = x[:, 2, 2] = cos
    x[:, 1, 2], x[:, 2, 1] = -sin, sin
    cos, sin = np.cos(about_y), np.sin(about_y)
    y = np.zeros((cos.size, 3, 3))
    y[:, 1, 1] = 1.0
    y[:, 0, 0] = y[:, 2, 2] = cos
    y[:, 0, 2], y[:, 2, 0] = sin, -sin
    turn: FloatArray = _about_z(about_z) @ x @ y
    return turn


def _about_z(angle: FloatArray) -> FloatArray:
    cos, sin = np.cos(angle), np.sin(angle)
    z = np.zeros((cos.size, 3, 3))
    z[:, 2, 2] = 1.0
    z[:, 0, 0] = z[:, 1, 1] = cos
    z[:, 0, 1], z[:, 1, 0] = -sin, sin
    return z


def _move(turn: FloatArray, vector: tuple[float, float, float]) -> FloatArray:
    moved: FloatArray = turn @ np.array(vector)
    return moved
