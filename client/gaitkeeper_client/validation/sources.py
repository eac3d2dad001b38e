"""Where the reference comes from: the recording's own file, or a file beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaitkeeper_client.lab.plate_table import SUFFIX
from gaitkeeper_client.lab.walk import ForcePlate, LabWalk
from gaitkeeper_client.validation.plates import plate_reference
from gaitkeeper_client.validation.reference import CLIP_EDGE_S, Reference, spans_of_labels
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import GaitEvent, JointTrajectories

if TYPE_CHECKING:
    from gaitkeeper_client.lab.mot import GroundForce

LOWEST_FORCE_RATE_HZ = 90.0
LABELS = (
    "The reference is what the laboratory marked, and the file does not say how it found it. Marked by a coordinate "
    "method, as is common, it is itself 10 to 50 ms away from a force plate: this is agreement, not accuracy."
)
TRUTH = "truth of the simulation"
"""The source of a drawn walker's events and angles, which are ours by definition."""
MILLIMETRES = 20.0
"""No laboratory is so many metres long: a centre of pressure farther out is in millimetres."""


def own_reference(path: Path, walk: LabWalk) -> Reference:
    """What the file itself holds: force plates before labelled events, and joint angles.

    Raises ``validation-no-reference``.
    """
    reference = plate_reference(walk.plates, walk.trajectories)
    notes = walk.notes + reference.notes
    if reference.events:
        reference = replace(reference, labels=walk.events, notes=notes)
    elif walk.events:
        notes = (*notes, LABELS)
        reference = Reference("events of the file", walk.events, spans_of_labels(walk.events), notes=notes)
    if walk.kind == "c3d":
        from gaitkeeper_client.lab.c3d import read_c3d_angles

        angles = read_c3d_angles(path)
        if angles:
            reference = replace(reference, angle_time_s=walk.trajectories.time_s, angles=angles)
    if not reference.events and not reference.angles:
        if walk.plates:
            why = "no foot is alone and whole on a steady force plate, and it holds no events"
        else:
            why = "it holds neither readable force plates nor events"
        raise GaitkeeperError("validation-no-reference", path=path, detail=why)
    return reference


def named_reference(
    path: Path, recording: Path, walk: JointTrajectories | None, mapping: Mapping[str, tuple[str, ...]] | None = None
) -> Reference:
    """The reference in a file of its own. ``walk``: the recording's 3-D points, which forces need to name the foot.

    ``mapping``: of the recording's points, as for its reader.

    Raises ``validation-reference-unknown``, ``validation-no-reference`` and what the file's reader raises.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _truth(path)
    if suffix in {".mot", ".sto"}:
        return _table(path, recording, walk, mapping)
    if suffix == SUFFIX:
        return _plate_table(path, recording, walk, mapping)
    if suffix == ".c3d":
        from gaitkeeper_client.lab.c3d import read_c3d

        return own_reference(path, read_c3d(path))
    raise GaitkeeperError("validation-reference-unknown", path=path)


def _table(
    path: Path, recording: Path, walk: JointTrajectories | None, mapping: Mapping[str, tuple[str, ...]] | None
) -> Reference:
    from gaitkeeper_client.lab.mot import angles_in_planes, ground_forces, joint_angles, read_mot

    table = read_mot(path)
    time_s = table.time_s + _first_time(path) - _first_time(recording)
    if not any("force" in name or name.startswith("f1_") for name in table.names):
        angles = {**joint_angles(table, path), **angles_in_planes(table)}
        return Reference("joint angles", (), (), time_s, angles)
    return _of_forces(path, recording, walk, mapping, (time_s, ground_forces(table, path)))


def _plate_table(
    path: Path, recording: Path, walk: JointTrajectories | None, mapping: Mapping[str, tuple[str, ...]] | None
) -> Reference:
    """The table has no times: only one that is as long as the recording is known to begin with it."""
    from gaitkeeper_client.lab.plate_table import read_plate_table

    time_s, forces = read_plate_table(path)
    if walk is not None:
        forces_s, points_s = float(time_s[-1]), float(walk.time_s[-1])
        if abs(forces_s - points_s) > 1.5 / walk.sample_rate_hz:
            why = f"its forces last {forces_s:.2f} s and the points of {recording.name} {points_s:.2f} s"
            raise GaitkeeperError("validation-no-reference", path=path, detail=why)
    return _of_forces(path, recording, walk, mapping, (time_s, forces))


def _of_forces(
    path: Path,
    recording: Path,
    walk: JointTrajectories | None,
    mapping: Mapping[str, tuple[str, ...]] | None,
    forces: tuple[FloatArray, Sequence[GroundForce]],
) -> Reference:
    if walk is None or walk.dimensions != 3:
        raise GaitkeeperError("validation-no-reference", path=path, detail="forces need 3-D points to name the foot")
    reference = plate_reference(_plates(path, recording, mapping, *forces), walk)
    if not reference.events:
        why = "no foot is alone and whole on a steady force plate while the points are there"
        raise GaitkeeperError("validation-no-reference", path=path, detail=why)
    return reference


def _plates(
    path: Path,
    recording: Path,
    mapping: Mapping[str, tuple[str, ...]] | None,
    time_s: FloatArray,
    forces: Sequence[GroundForce],
) -> list[ForcePlate]:
    """The forces in the frame of the recording's points; a recording that is no TRC is taken to have y upwards."""
    from gaitkeeper_client.lab.joints import LabFrame, to_trajectories
    from gaitkeeper_client.lab.trc import read_trc_markers

    rate = 1.0 / float(np.median(np.diff(time_s)))
    if rate < LOWEST_FORCE_RATE_HZ:
        why = f"its forces come {rate:.0f} times a second, which is too seldom for times of contact"
        raise GaitkeeperError("validation-no-reference", path=path, detail=why)
    frame = LabFrame((1, 1), 1.0)
    if recording.suffix.lower() == ".trc":
        _, frame = to_trajectories(read_trc_markers(recording), recording, mapping)
    plates = []
    for one in forces:
        loaded = np.linalg.norm(one.force, axis=1) > 100.0
        far = loaded.any() and float(np.nanmedian(np.abs(one.point[loaded]).max(axis=1))) > MILLIMETRES
        point = frame.directions(one.point * (0.001 if far else 1.0))
        plates.append(ForcePlate(time_s, frame.directions(one.force), point, np.full((4, 3), np.nan)))
    return plates


def _first_time(path: Path) -> float:
    """The time of the first sample as the file writes it; 0 for files that do not."""
    suffix = path.suffix.lower()
    if suffix not in {".trc", ".mot", ".sto"}:
        return 0.0
    column = 1 if suffix == ".trc" else 0
    data = False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file):
            data = data or line.strip().lower() == "endheader" or (suffix == ".trc" and number >= 5)
            cells = line.split()
            if data and len(cells) > 2:
                try:
                    float(cells[0])
                    return float(cells[column])
                except ValueError:
                    continue
    return 0.0


def _truth(path: Path) -> Reference:
    """The truth that ``gaitkeeper simulate`` writes: events of the whole walk and angles."""
    try:
        document = json.loads(path.read_text("utf-8"))
        events = tuple(GaitEvent(float(e["time_s"]), e["side"], e["type"], 1.0) for e in document["events"])
        time_s = np.asarray(document["angles"]["time_s"], dtype=np.float64)
        inside = (time_s[0] + CLIP_EDGE_S, time_s[-1] - CLIP_EDGE_S)
        events = tuple(event for event in events if inside[0] <= event.time_s <= inside[1])
        curves = {name: np.asarray(one, dtype=np.float64) for name, one in document["angles"]["curves"].items()}
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise GaitkeeperError("validation-reference-unknown", path=path) from error
    return Reference(TRUTH, events, spans_of_labels(events), time_s, curves)
