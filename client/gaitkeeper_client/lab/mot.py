"""MOT and STO (OpenSim): a table of joint angles or of ground reaction forces over time.

The format's description: OpenSim documentation, "Storage (.sto) Files" and "Motion (.mot) Files". Angles are turned
into degrees and named as in :mod:`gaitkeeper_shared.kinematics`; OpenSim's hip angle is pelvis-thigh, not trunk-thigh.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.text import broken, check_times, head_of, numbers, read_lines
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError

_FORMAT = "MOT/STO"
_HEAD_BYTES = 262_144
_A_STEP, _MOST_RADIANS, _NO_RADIANS = 0.5, 2.8, 7.0
"""Of a knee: 29 degrees are a slow, stiff step; 160 degrees its end; 7 radians none that bends."""
_MOST_ASTRAY_DEG = 20.0
"""Of the pelvis' mean rotation against the ground's x, whose walker still goes along x."""
_ANGLES = {"hip_flexion": "hip_flexion", "knee_angle": "knee_flexion", "ankle_angle": "ankle_dorsiflexion"}
_SIDES = {"l": "left", "r": "right"}
_FORCES = (
    r"(?P<plate>(?:\w*_)?ground_force_?(?:\w*_)?)v(?P<axis>[xyz])",  # ground_force_r_vx, 1_ground_force_vy
    r"(?P<plate>f\d+)_(?P<axis>[123])",
)


@dataclass(frozen=True, slots=True)
class MotionTable:
    """A table over time. ``time_s``: (T,) from the first sample. ``values``: (T, C) as in the file.

    ``in_degrees``: whether rotations are degrees (else radians).
    """

    time_s: FloatArray
    names: tuple[str, ...]
    values: FloatArray
    in_degrees: bool

    def column(self, name: str) -> FloatArray:
        """(T,) one column. An unknown name is a ``ValueError``."""
        track: FloatArray = self.values[:, self.names.index(name)]
        return track


@dataclass(frozen=True, slots=True)
class GroundForce:
    """What one foot or plate felt: ``force`` (T, 3) newtons and ``point`` (T, 3), in the file's own axes and unit."""

    name: str
    force: FloatArray
    point: FloatArray


def read_mot(path: Path) -> MotionTable:
    """One MOT or STO file. Raises ``lab-file-unreadable``, ``lab-file-broken`` or ``lab-angle-unit``."""
    lines = read_lines(path, _FORMAT)
    end = next((number for number, line in enumerate(lines) if line.strip().lower() == "endheader"), None)
    if end is None:
        broken(path, _FORMAT, "no line says endheader")
    header = _header(lines[:end])
    rows = [(number, line) for number, line in enumerate(lines[end + 1 :], start=end + 2) if line.strip()]
    if not rows:
        broken(path, _FORMAT, "nothing stands below endheader")
    names = tuple(rows[0][1].split())
    if names[0].lower() != "time" or len(names) < 2:
        broken(path, _FORMAT, "the first column is not time")
    announced = header.get("nrows", header.get("datarows", ""))
    if announced.isdigit() and int(announced) > len(rows):  # OpenSim's own examples miscount by one
        broken(path, _FORMAT, f"it announces {announced} rows and holds {len(rows) - 1}")
    table = np.empty((len(rows) - 1, len(names)))
    for row, (number, line) in enumerate(rows[1:]):
        cells = line.split()
        if len(cells) != len(names):
            broken(path, _FORMAT, f"line {number}: {len(cells)} values in {len(names)} columns")
        table[row] = numbers(cells, path, _FORMAT, number)
    time_s = table[:, 0]
    check_times(time_s, path, _FORMAT)
    said = header.get("indegrees")
    in_degrees = _in_degrees(path, names[1:], table[:, 1:], None if said is None else said == "yes")
    return MotionTable(time_s - time_s[0], names[1:], table[:, 1:], in_degrees)


def _in_degrees(path: Path, names: Sequence[str], values: FloatArray, said: bool | None) -> bool:
    """Whether rotations are degrees: as the header says, or by what knees do in a walk where it says nothing.

    A knee that bends by more than :data:`_A_STEP` radians and never by more than :data:`_MOST_RADIANS` is told in
    radians, and one that bends by more in degrees. Raises ``lab-angle-unit`` where the header says otherwise.
    """
    knees = [number for number, name in enumerate(names) if re.fullmatch("knee_angle_[lr]", short_name(name))]
    knees = [number for number in knees if not names[number].endswith("speed")]
    seen = values[:, knees][np.isfinite(values[:, knees]).all(axis=1)] if knees else np.empty((0, 0))
    if not seen.size:
        return said is not False
    bends, most = float(np.ptp(seen, axis=0).min()), float(np.abs(seen).max())
    told = False if bends > _A_STEP and most <= _MOST_RADIANS else True if most > _NO_RADIANS else None
    if said is not None and told is not None and told is not said:
        unit, other = ("degrees", "radians") if said else ("radians", "degrees")
        raise GaitkeeperError("lab-angle-unit", path=path, unit=unit, other=other, least=most)
    return bool(said if said is not None else told is not False)


def column_names(path: Path) -> tuple[str, ...]:
    """The columns of a table behind ``time``, without reading it; empty where it has none or cannot be read."""
    lines = head_of(path, _HEAD_BYTES).decode("utf-8", errors="replace").splitlines()
    end = next((number for number, line in enumerate(lines) if line.strip().lower() == "endheader"), len(lines))
    first = next((line for line in lines[end + 1 :] if line.strip()), "")
    return tuple(first.split()[1:])


def short_name(name: str) -> str:
    """``/jointset/hip_r/hip_flexion_r/value`` is ``hip_flexion_r``."""
    parts = name.strip("/").split("/")
    return parts[-2] if parts[-1] == "value" and len(parts) > 1 else parts[-1]


def joint_angles(table: MotionTable, path: Path) -> Mapping[str, FloatArray]:
    """Sagittal angles in degrees, positive in flexion, by our names with the side behind; each (T,).

    Old OpenSim models bend the knee backwards (negative flexion): the sign is turned where the knee would mostly
    be overstretched. Raises ``lab-points-missing`` where the table has no leg's angles.
    """
    factor = 1.0 if table.in_degrees else 180.0 / np.pi
    found: dict[str, FloatArray] = {}
    for column, full_name in enumerate(table.names):
        name = short_name(full_name)
        stem, _, side = name.rpartition("_")
        if stem in _ANGLES and side in _SIDES and not full_name.endswith("speed"):
            found[f"{_ANGLES[stem]}_{_SIDES[side]}"] = table.values[:, column] * factor
    if not found:
        raise GaitkeeperError("lab-points-missing", path=path, missing="joint angles of a leg")
    for side in _SIDES.values():
        knee = found.get(f"knee_flexion_{side}")
        if knee is not None and np.nanmax(np.abs(knee)) > 20.0 and np.nanmedian(knee) < -2.0:
            found[f"knee_flexion_{side}"] = -knee
    return found


def angles_in_planes(table: MotionTable) -> Mapping[str, FloatArray]:
    """Pelvis and hip out of the sagittal plane in degrees, in our names and signs with the side behind; each (T,).

    OpenSim turns the pelvis about the ground's axes z, x and y: tilt is positive backwards, list with the right side
    down, rotation with the right side in front. That holds of who walks along x: of others tilt and list are other
    movements, and the pelvis is left out.
    """
    factor = 1.0 if table.in_degrees else 180.0 / np.pi
    column = {short_name(name): number for number, name in enumerate(table.names) if not name.endswith("speed")}
    turns = factor * table.values[:, column["pelvis_rotation"]] if "pelvis_rotation" in column else np.zeros(1)
    along_x = abs(float(np.nanmedian(turns))) <= _MOST_ASTRAY_DEG
    found: dict[str, FloatArray] = {}
    for letter, side in _SIDES.items():
        own = 1.0 if side == "right" else -1.0
        signs = {"pelvis_tilt": ("pelvis_tilt", -1.0), "pelvis_list": ("pelvis_obliquity", -own)}
        signs |= {"pelvis_rotation": ("pelvis_rotation", own)}
        signs = signs if along_x else {}
        signs |= {f"hip_{what}_{letter}": (f"hip_{what}", 1.0) for what in ("adduction", "rotation")}
        for theirs, (ours, sign) in signs.items():
            if theirs in column:
                found[f"{ours}_{side}"] = sign * factor * table.values[:, column[theirs]]
    return found


def ground_forces(table: MotionTable, path: Path) -> tuple[GroundForce, ...]:
    """Every plate or foot of a force table. Raises ``lab-points-missing`` where it has none."""
    column = {name: number for number, name in enumerate(table.names)}
    plates: dict[str, dict[int, int]] = {}
    for name, number in column.items():
        for pattern in _FORCES:
            if match := re.fullmatch(pattern, name):
                axis = "xyz123".index(match["axis"]) % 3
                plates.setdefault(match["plate"], {})[axis] = number
                break
    found = []
    for plate, axes in plates.items():
        if len(axes) == 3:
            force = table.values[:, [axes[axis] for axis in range(3)]]
            if re.fullmatch(r"f\d+", plate):
                points = [column.get(f"p{plate[1:]}_{axis}") for axis in (1, 2, 3)]
            else:
                points = [column.get(f"{plate}p{axis}") for axis in "xyz"]
            known = [number for number in points if number is not None]
            point = table.values[:, known] if len(known) == 3 else np.full_like(force, np.nan)
            found.append(GroundForce(plate.strip("_"), force, point))
    if not found:
        raise GaitkeeperError("lab-points-missing", path=path, missing="ground reaction forces")
    return tuple(found)


def names_forces(names: Sequence[str]) -> bool:
    """Whether columns are ground reaction forces."""
    return any(re.fullmatch(pattern, name) for name in names for pattern in _FORCES)


def forces_under_feet(table: MotionTable, path: Path) -> FloatArray:
    """(T, 2) vertical force under the left and the right foot, newtons, where the table says which is which.

    ``..._l_v...`` and ``..._r_v...`` say so; by OpenSim's habit ``ground_force_v`` is the right foot and
    ``1_ground_force_v`` the left. Raises ``lab-points-missing`` or ``lab-force-sides``.
    """
    found: dict[str, FloatArray] = {}
    plates = ground_forces(table, path)
    for plate in plates:
        side = _side_of_force(plate.name)
        if side is not None:
            known = plate.force[np.isfinite(plate.force).all(axis=1)]
            axis = int(np.argmax(np.abs(known).sum(axis=0)))
            downwards = known.size > 0 and -known[:, axis].min() > known[:, axis].max()
            found[side] = plate.force[:, axis] * (-1.0 if downwards else 1.0)
    if set(found) != {"left", "right"}:
        names = ", ".join(plate.name for plate in plates)
        raise GaitkeeperError("lab-force-sides", path=path, names=names)
    return np.stack([found["left"], found["right"]], axis=1)


def _side_of_force(name: str) -> str | None:
    parts = name.lower().split("_")
    for word, side in (("l", "left"), ("left", "left"), ("r", "right"), ("right", "right")):
        if word in parts:
            return side
    return {"ground_force": "right", "1_ground_force": "left"}.get(name.lower())


def _header(lines: list[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        key, _, value = line.partition("=") if "=" in line else line.strip().partition(" ")
        found[key.strip().lower()] = value.strip().lower()
    return found
