"""Force plates of a C3D file, from their analog channels: types 1 to 4 of the C3D user guide (https://www.c3d.org).

Each plate is read by itself, so that a plate whose entry is broken costs that plate only.
"""

from __future__ import annotations

import numpy as np

from gaitkeeper_client.lab.c3d_file import C3dFile
from gaitkeeper_client.lab.joints import LabFrame
from gaitkeeper_client.lab.walk import ForcePlate
from gaitkeeper_shared.arrays import FloatArray

LEAST_N = 5.0
"""With less vertical force a plate has no centre of pressure."""
_CHANNELS = {1: 6, 2: 6, 3: 8, 4: 6}
_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}


class _NoPlate(Exception):  # noqa: N818 - says what there is, not what went wrong
    """The entry of one plate cannot be used."""


def read_plates(file: C3dFile, frame: LabFrame) -> tuple[tuple[ForcePlate, ...], tuple[str, ...]]:
    """Plates in metres and newtons, in the frame of the joints; and a note where some had to be left out."""
    used = file.parameters.number("FORCE_PLATFORM", "USED")
    if not used or file.analog.size == 0:
        return (), ()
    plates: list[ForcePlate] = []
    broken: list[int] = []
    unwired: list[int] = []
    for number in range(int(min(used, 64))):
        try:
            plates.append(_plate(file, number, frame))
        except _NoPlate:
            (unwired if _is_unwired(file, number) else broken).append(number + 1)
    notes = []
    if unwired:
        notes.append(f"Force plate {_numbers(unwired)} of {int(used)} has no channel in the file and was left out.")
    if broken:
        notes.append(f"Force plate {_numbers(broken)} of {int(used)} contradicts itself and was left out.")
    return tuple(plates), tuple(notes)


def _is_unwired(file: C3dFile, number: int) -> bool:
    """Whether no analog channel is named for a plate: the laboratory has it, and did not record it."""
    try:
        return not _column(file, "CHANNEL", number).any()
    except _NoPlate:
        return False


def _numbers(plates: list[int]) -> str:
    return ", ".join(str(number) for number in plates)


def _plate(file: C3dFile, number: int, frame: LabFrame) -> ForcePlate:
    kind = int(_column(file, "TYPE", number)[0])
    corners = _matrix(file, "CORNERS", number, 3).T
    if kind not in _CHANNELS or corners.shape != (4, 3) or not np.isfinite(corners).all():
        raise _NoPlate
    channels = _column(file, "CHANNEL", number)[: _CHANNELS[kind]]
    inside = (channels >= 1) & (channels <= file.analog.shape[1]) & (channels == np.round(channels))
    if channels.size != _CHANNELS[kind] or not inside.all():
        raise _NoPlate
    raw = file.analog[:, channels.astype(int) - 1]
    if not np.isfinite(raw).all():
        raise _NoPlate
    origin = _column(file, "ORIGIN", number)[:3]
    if origin.size == 3 and origin[2] > 0.0:
        origin = -origin  # from the surface to the sensors, instead of back; z points into the ground
    raw = _without_zero(file, raw)
    moment_unit = _moment_unit(file, channels)
    if kind == 1:
        force, centre, free = raw[:, :3], np.column_stack([raw[:, 3:5], np.zeros(len(raw))]), None
    else:
        force, free = _wrench(raw, kind, origin, file, number)
        centre = _centre(force, free * moment_unit, np.zeros(3) if kind == 3 else origin)
    axes, middle = _axes(corners)
    force = frame.directions(force @ axes)
    centre = frame.points(centre @ axes + middle)
    if -force[:, 2].min() > force[:, 2].max():
        force = -force  # the force on the plate instead of that on the foot
    time_s = np.arange(force.shape[0]) / file.analog_rate_hz
    return ForcePlate(time_s, force, centre, frame.points(corners))


def _wrench(
    raw: FloatArray, kind: int, origin: FloatArray, file: C3dFile, number: int
) -> tuple[FloatArray, FloatArray]:
    """(F, 3) force and moment about the sensors' origin (type 3: about the middle of the surface)."""
    if kind == 4:
        matrix = _matrix(file, "CAL_MATRIX", number, 6)
        if matrix.shape != (6, 6):
            raise _NoPlate
        raw = raw @ matrix.T
    if kind != 3:
        return raw[:, :3], raw[:, 3:]
    x12, x34, y14, y23, z1, z2, z3, z4 = raw.T
    a, b, depth = origin
    force = np.stack([x12 + x34, y14 + y23, z1 + z2 + z3 + z4], axis=1)
    about_x = b * (z1 + z2 - z3 - z4) + depth * force[:, 1]
    about_y = a * (-z1 + z2 + z3 - z4) - depth * force[:, 0]
    about_z = b * (-x12 + x34) + a * (y14 - y23)
    return force, np.stack([about_x, about_y, about_z], axis=1)


def _centre(force: FloatArray, moment: FloatArray, origin: FloatArray) -> FloatArray:
    """(F, 3) centre of pressure in the plate's axes; NaN while the plate is empty."""
    at_surface = moment - np.cross(np.broadcast_to(origin, force.shape), force)
    loaded = np.abs(force[:, 2]) > LEAST_N
    centre = np.full_like(force, np.nan)
    centre[loaded, 0] = -at_surface[loaded, 1] / force[loaded, 2]
    centre[loaded, 1] = at_surface[loaded, 0] / force[loaded, 2]
    centre[loaded, 2] = 0.0
    return centre


def _axes(corners: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The plate's axes as rows, in the file's; and the middle of its surface."""
    x, y = corners[0] - corners[1], corners[0] - corners[3]
    z = np.cross(x, y)
    lengths = [float(np.linalg.norm(axis)) for axis in (x, y, z)]
    if min(lengths) <= 0.0:
        raise _NoPlate
    x, z = x / lengths[0], z / lengths[2]
    return np.stack([x, np.cross(z, x), z]), corners.mean(axis=0)


def _without_zero(file: C3dFile, raw: FloatArray) -> FloatArray:
    """The channels with their mean over the frames that the file calls empty (``ZERO``) taken off."""
    zero = file.parameters.numbers("FORCE_PLATFORM", "ZERO").ravel(order="F")
    if zero.size < 2 or not 1 <= zero[0] < zero[1]:
        return raw
    per_frame = file.analog.shape[0] // file.points.shape[0]
    start, stop = int(zero[0] - 1) * per_frame, int(zero[1]) * per_frame
    return raw - raw[start:stop].mean(axis=0) if stop <= raw.shape[0] else raw


def _moment_unit(file: C3dFile, channels: FloatArray) -> float:
    """What turns the moments' unit of length into that of the points."""
    units = file.parameters.texts("ANALOG", "UNITS")
    last = int(channels[-1]) - 1
    moment = units[last].lower().replace(" ", "") if last < len(units) else ""
    points = (file.parameters.texts("POINT", "UNITS") or ("mm",))[0].lower()
    own = next((factor for name, factor in _METRES.items() if moment in (f"n{name}", f"n.{name}", f"n*{name}")), None)
    return 1.0 if own is None or points not in _METRES else own / _METRES[points]


def _column(file: C3dFile, name: str, number: int) -> FloatArray:
    """One plate's values of a parameter; whole numbers are signed in no file that is known."""
    values = file.parameters.numbers("FORCE_PLATFORM", name)
    if values.ndim == 0 or values.size == 0 or number >= values.shape[-1]:
        raise _NoPlate
    column: FloatArray = values[..., number].ravel(order="F")
    return column


def _matrix(file: C3dFile, name: str, number: int, rows: int) -> FloatArray:
    """One plate's matrix of a parameter."""
    values = file.parameters.numbers("FORCE_PLATFORM", name)
    if values.ndim < 2 or values.shape[0] != rows:
        raise _NoPlate
    if values.ndim == 2:
        values = values[..., None]
    if number >= values.shape[2]:
        raise _NoPlate
    matrix: FloatArray = values[:, :, number]
    return matrix
