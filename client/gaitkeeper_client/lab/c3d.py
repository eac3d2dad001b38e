"""C3D (https://www.c3d.org): markers, events and force plates of Vicon, Qualisys and others.

Traps that are handled: times of events count from the recording's own beginning, not from the first frame that was
kept; events without a context, or with side and type in one word; markers that were not seen; force plates whose entry
contradicts itself or names no channel (each costs itself alone, and a note says so).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.c3d_file import C3dFile, broken_c3d, read_c3d_file
from gaitkeeper_client.lab.c3d_plates import read_plates
from gaitkeeper_client.lab.event_names import event_of, lacks_side, without_doubles
from gaitkeeper_client.lab.flat import flat_walk, is_flat
from gaitkeeper_client.lab.geometry import METRES_PER_UNIT
from gaitkeeper_client.lab.spatial import spatial_walk
from gaitkeeper_client.lab.static import check_no_static
from gaitkeeper_client.lab.walk import LabWalk, Markers
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import GaitEvent

_ANGLE = re.compile("(?P<side>[lr])(?P<joint>pelvis|hip|knee|ankle)angles?")
_ANGLES: Mapping[str, Mapping[int, str]] = {
    "pelvis": {0: "pelvis_tilt", 1: "pelvis_obliquity", 2: "pelvis_rotation"},
    "hip": {0: "hip_flexion", 1: "hip_adduction", 2: "hip_rotation"},
    "knee": {0: "knee_flexion", 1: "knee_adduction", 2: "knee_rotation"},
    "ankle": {0: "ankle_dorsiflexion", 2: "ankle_rotation"},
}
"""By joint and axis. What Plug-in Gait writes as the ankle's second angle runs against the name that it has there, and
its foot has no turn of its own about its long axis: it is not compared."""
_SIDES = {"l": "left", "r": "right"}


def read_c3d(
    path: Path,
    mapping: Mapping[str, tuple[str, ...]] | None = None,
    person: str | None = None,
    static: Path | None = None,
) -> LabWalk:
    """One C3D file; ``static``: see :mod:`static`.

    Raises ``static-unusable``, ``lab-file-unreadable``, ``lab-file-broken``, ``lab-points-missing``,
    ``lab-nothing-seen``, ``lab-points-unseen``, ``lab-unit-unknown``, ``lab-unit-contradiction``,
    ``lab-sides-exchanged``, ``lab-feet-reversed``, ``option-does-not-apply`` or ``person-unknown``.
    """
    file = read_c3d_file(path)
    markers = _markers(path, file)
    if is_flat(markers):
        check_no_static(path, static)
        walk = flat_walk("c3d", markers, path, mapping, person)
        return replace(walk, events=_events(file, markers), notes=(*walk.notes, *_sideless(file)))
    walk, frame = spatial_walk("c3d", markers, path, mapping, person, static, right_handed=True)
    plates, notes = read_plates(file, frame)
    return replace(walk, events=_events(file, markers), plates=plates, notes=walk.notes + notes + _sideless(file))


def read_c3d_markers(path: Path) -> Markers:
    """The markers of a C3D file, in its own axes and unit."""
    return _markers(path, read_c3d_file(path))


def read_c3d_angles(path: Path) -> dict[str, FloatArray]:
    """The laboratory's own angles (Plug-in Gait's ``LKneeAngles``...) by our names, in three planes: (T,) degrees.

    On the clock of the markers, NaN for gaps; empty where the file holds none. Raises as :func:`read_c3d` does.
    """
    markers = read_c3d_markers(path)
    found = {}
    for column, label in enumerate(markers.names):
        match = _ANGLE.fullmatch(label.split(":")[-1].lower())
        if match:
            values = markers.positions[:, column]
            for axis, name in _ANGLES[match["joint"]].items():
                if np.nan_to_num(values[:, axis]).any():  # what is unknown is written as 0
                    found[f"{name}_{_SIDES[match['side']]}"] = values[:, axis]
    return found


def _markers(path: Path, file: C3dFile) -> Markers:
    names = file.parameters.texts("POINT", "LABELS")
    if not names:
        broken_c3d(path, "it names no points")
    names = names[: file.points.shape[1]]
    positions = file.points[:, : len(names)].copy()
    positions[(positions == 0.0).all(axis=2)] = np.nan  # the other way of saying "not seen"
    unit = next(iter(file.parameters.texts("POINT", "UNITS")), "")
    scale = METRES_PER_UNIT.get(unit.lower(), float("nan"))
    return Markers(np.arange(positions.shape[0]) / file.rate_hz, names, positions, scale)


def _events(file: C3dFile, markers: Markers) -> tuple[GaitEvent, ...]:
    times = file.parameters.numbers("EVENT", "TIMES")
    if times.ndim == 1 and times.size == 2:
        times = times[:, None]
    if times.ndim != 2 or times.shape[0] != 2:
        return ()
    labels = file.parameters.texts("EVENT", "LABELS")
    contexts = file.parameters.texts("EVENT", "CONTEXTS")
    step = float(markers.time_s[1])
    found = []
    for number in range(times.shape[1]):
        label, context = (words[number] if number < len(words) else "" for words in (labels, contexts))
        what = event_of(label, context)
        seconds = float(60.0 * times[0, number] + times[1, number] - file.first_frame * step)
        if what is not None and -step <= seconds <= float(markers.time_s[-1]) + step:
            found.append(GaitEvent(seconds, what[0], what[1], 1.0))
    return without_doubles(found)


def _sideless(file: C3dFile) -> tuple[str, ...]:
    """A note where the file's foot strikes and foot offs do not say of which foot."""
    labels, contexts = (file.parameters.texts("EVENT", name) for name in ("LABELS", "CONTEXTS"))
    count = sum(lacks_side(label, context) for label, context in zip_longest(labels, contexts, fillvalue=""))
    return (f"{count} foot strikes and foot offs of the file name no side and were left out.",) if count else ()
