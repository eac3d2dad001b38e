"""C3D (https://www.c3d.org): markers, events and force plates of Vicon, Qualisys and others, read with ezc3d.

Traps that are handled: times of events count from the recording's own beginning, not from the first frame that was
kept; events without a context, or with side and type in one word; markers that were not seen; a force-plate block that
contradicts itself (markers and events are then still good, and a note says so).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from gaitkeeper_client.lab.event_names import event_of, without_doubles
from gaitkeeper_client.lab.geometry import METRES_PER_UNIT
from gaitkeeper_client.lab.joints import LabFrame, to_trajectories
from gaitkeeper_client.lab.walk import ForcePlate, LabWalk, Markers
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import GaitEvent

_FORMAT = "C3D"
_BLOCK = 512
_INTEL = 84
_ANGLE = re.compile("(?P<side>[lr])(?P<joint>hip|knee|ankle)angles?")
_ANGLES = {"hip": "hip_flexion", "knee": "knee_flexion", "ankle": "ankle_dorsiflexion"}
_SIDES = {"l": "left", "r": "right"}


def read_c3d(path: Path, mapping: Mapping[str, tuple[str, ...]] | None = None) -> LabWalk:
    """One C3D file. Raises ``lab-file-unreadable``, ``lab-file-broken``, ``lab-points-missing``, ``lab-nothing-seen``,
    ``lab-unit-unknown`` or ``lab-unit-contradiction``."""
    _check_size(path)
    content = _load(path, plates=False)
    markers, first_frame = _markers(path, content)
    trajectories, frame = to_trajectories(markers, path, mapping)
    events = _events(content["parameters"], first_frame, markers)
    plates, notes = _plates(path, content, frame, trajectories.sample_rate_hz)
    return LabWalk("c3d", trajectories, events, plates, frame.notes + notes)


def read_c3d_angles(path: Path) -> dict[str, FloatArray]:
    """The laboratory's own sagittal angles (Plug-in Gait's ``LKneeAngles``...) by our names: (T,) degrees.

    On the clock of the markers, NaN for gaps; empty where the file holds none. Raises as :func:`read_c3d` does.
    """
    _check_size(path)
    markers, _ = _markers(path, _load(path, plates=False))
    found = {}
    for column, label in enumerate(markers.names):
        match = _ANGLE.fullmatch(label.split(":")[-1].lower())
        if match and np.isfinite(markers.positions[:, column, 0]).any():
            found[f"{_ANGLES[match['joint']]}_{_SIDES[match['side']]}"] = markers.positions[:, column, 0]
    return found


def _check_size(path: Path) -> None:
    """A file that was cut is noticed from its header: the library would fill up with whatever it finds."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(_BLOCK)
            if len(header) < _BLOCK or header[1] != 0x50:
                _broken(path, "it does not begin with a C3D header")
            file.seek((header[0] - 1) * _BLOCK)
            processor = file.read(4)[3:]
    except OSError as error:
        raise GaitkeeperError("lab-file-unreadable", path=path, detail=error.strerror) from error
    if processor != bytes([_INTEL]):
        return  # DEC and SGI numbers: left to the library
    points, analogs, first, last = struct.unpack_from("<HHHH", header, 2)
    (scale,) = struct.unpack_from("<f", header, 12)
    (start,) = struct.unpack_from("<H", header, 16)
    if last == 0xFFFF:
        return  # longer than the header can say
    frames = last - first + 1
    needed = (start - 1) * _BLOCK + frames * (4 * points + analogs) * (4 if scale < 0 else 2)
    if points == 0 or frames < 2:
        _broken(path, f"it holds {points} points in {max(frames, 0)} frames")
    if size < needed:
        _broken(path, f"its last {needed - size} bytes are missing")


def _load(path: Path, *, plates: bool) -> Any:
    import ezc3d

    try:
        return ezc3d.c3d(str(path), extract_forceplat_data=plates)
    except Exception as error:  # the library raises whatever its C++ part throws
        raise GaitkeeperError("lab-file-broken", path=path, format=_FORMAT, detail=str(error).strip(". ")) from error


def _markers(path: Path, content: Any) -> tuple[Markers, int]:
    parameters, header = content["parameters"]["POINT"], content["header"]["points"]
    positions = np.asarray(content["data"]["points"], dtype=np.float64)[:3].transpose(2, 1, 0).copy()
    names = tuple(str(name).strip() for name in parameters["LABELS"]["value"])
    rate = float(header["frame_rate"])
    if not names or positions.shape[0] < 2:
        _broken(path, f"it holds {len(names)} points in {positions.shape[0]} frames")
    if not np.isfinite(rate) or not 1.0 <= rate <= 10_000.0:
        _broken(path, f"its frame rate is {rate:g} Hz")
    names = names[: positions.shape[1]]
    positions = positions[:, : len(names)]
    positions[(positions == 0.0).all(axis=2)] = np.nan  # the other way of saying "not seen"
    positions[~np.isfinite(positions).all(axis=2)] = np.nan
    unit = next(iter(parameters.get("UNITS", {}).get("value", [])), "")
    scale = METRES_PER_UNIT.get(str(unit).strip().lower(), float("nan"))
    return Markers(np.arange(positions.shape[0]) / rate, names, positions, scale), int(header["first_frame"])


def _events(parameters: Any, first_frame: int, markers: Markers) -> tuple[GaitEvent, ...]:
    group = parameters.get("EVENT", {})
    times = np.asarray(group.get("TIMES", {}).get("value", []), dtype=np.float64)
    if times.ndim != 2 or times.shape[0] != 2:
        return ()
    labels = [str(word) for word in group.get("LABELS", {}).get("value", [])]
    contexts = [str(word) for word in group.get("CONTEXTS", {}).get("value", [])]
    step = float(markers.time_s[1])
    found = []
    for number in range(times.shape[1]):
        label, context = (words[number] if number < len(words) else "" for words in (labels, contexts))
        what = event_of(label, context)
        seconds = float(60.0 * times[0, number] + times[1, number] - first_frame * step)
        if what is not None and -step <= seconds <= float(markers.time_s[-1]) + step:
            found.append(GaitEvent(seconds, what[0], what[1], 1.0))
    return without_doubles(found)


def _plates(path: Path, content: Any, frame: LabFrame, rate: float) -> tuple[tuple[ForcePlate, ...], tuple[str, ...]]:
    used = content["parameters"].get("FORCE_PLATFORM", {}).get("USED", {}).get("value", [0])
    if not len(used) or int(used[0]) == 0:
        return (), ()
    try:
        platforms = _load(path, plates=True)["data"]["platform"]
        per_frame = int(content["header"]["analogs"]["frame_rate"] / rate + 0.5)
        return tuple(_plate(platform, frame, rate * per_frame) for platform in platforms), ()
    except (GaitkeeperError, ValueError, IndexError, KeyError):
        return (), ("The file's force-plate block contradicts itself; its force plates were left out.",)


def _plate(platform: Any, frame: LabFrame, rate: float) -> ForcePlate:
    force = frame.directions(np.asarray(platform["force"], dtype=np.float64).T)
    centre = frame.points(np.asarray(platform["center_of_pressure"], dtype=np.float64).T)
    corners = frame.points(np.asarray(platform["corners"], dtype=np.float64).T)
    vertical = np.nan_to_num(force[:, 2])
    if abs(vertical.min()) > abs(vertical.max()):
        force = -force  # the force on the plate instead of that on the foot
    return ForcePlate(np.arange(force.shape[0]) / rate, force, centre, corners)


def _broken(path: Path, detail: str) -> NoReturn:
    raise GaitkeeperError("lab-file-broken", path=path, format=_FORMAT, detail=detail)
