"""Keypoint tables: named points over time of one or several individuals, and how they become joints.

DeepLabCut and the CSV files that people write from MediaPipe differ in their headers only; behind the door they are one
:class:`KeypointTable`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.options import ReadOptions
from gaitkeeper_client.lab.subjects import asked_for, chosen_note
from gaitkeeper_client.lab.text import broken
from gaitkeeper_client.lab.walk import LabWalk
from gaitkeeper_client.pose.readers.people import SHORTEST_TRACK
from gaitkeeper_client.pose.readers.skeletons import joints_of
from gaitkeeper_client.pose.tracking import STEP_AMPLITUDE, count_alternations
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import leg_length
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS, SIDES

MOST_FRAMES = 1_000_000
NEEDED = tuple(f"{side}_{part}" for part in ("hip", "knee", "ankle") for side in ("left", "right"))


@dataclass(frozen=True, slots=True)
class KeypointTable:
    """Of each individual ``points``, (T, P, 2) pixels with y down, and ``likelihood``, (T, P).

    ``names``: P, as in the file.
    """

    names: tuple[str, ...]
    points: Mapping[str, FloatArray]
    likelihood: Mapping[str, FloatArray]


def said_or_sure(likelihood: FloatArray | None) -> FloatArray | float:
    """How sure a point is: 1 where nothing is said of it, be it that the column is missing or that it is empty."""
    return 1.0 if likelihood is None or np.isnan(likelihood).all() else np.nan_to_num(likelihood)


@dataclass(frozen=True, slots=True)
class FrameGrid:
    """Rows on the frames that they are of. ``rows``: of each row the number of its sample, from 0. ``count``: samples
    from the first frame to the last. ``notes``: what is missing between them."""

    rows: Sequence[int]
    count: int
    notes: tuple[str, ...]


def frame_grid(frames: Sequence[float], path: Path, format_name: str) -> FrameGrid:
    """The frames of a table's rows, so that a row left out is a gap and no shorter walk. Several rows may be of one.

    Raises ``lab-file-broken`` for numbers that are none of frames, or that go back.
    """
    told = np.asarray(frames, dtype=np.float64)
    if not np.isfinite(told).all() or (told != np.round(told)).any() or (np.diff(told) < 0.0).any():
        at = int(np.flatnonzero(~(np.diff(told, prepend=told[:1]) >= 0.0) | (told != np.round(told)))[0])
        broken(path, format_name, f"the frames' numbers do not go on at row {at + 1}")
    count = int(told[-1] - told[0]) + 1
    if count < 2 or count > MOST_FRAMES:
        broken(path, format_name, f"it holds {count} frames")
    rows = [int(number - told[0]) for number in told]
    missing = count - len(set(rows))
    note = f"{missing} of {count} frames have no row; they are gaps."
    return FrameGrid(rows, count, (note,) if missing else ())


def walk_of_table(
    kind: str,
    table: KeypointTable,
    time_s: FloatArray,
    path: Path,
    options: ReadOptions,
    notes: tuple[str, ...] = (),
) -> LabWalk:
    """The walker of a table, or the person whom the options name. ``notes``: what the table's reader has to say.

    Raises ``pose-points-unknown``, ``pose-mapping-wrong``, ``person-unknown`` or ``pose-nobody``.
    """
    names = ", ".join(table.names)
    for joint, own in options.mapping.items():
        if joint not in JOINTS or not own or not set(own) <= set(table.names):
            raise GaitkeeperError("pose-mapping-wrong", name=f"{joint}={'+'.join(own)}", path=path, names=names)
    known = {joint: (name,) for joint, name in joints_of(table.names).items()} | dict(options.mapping)
    if missing := [joint for joint in NEEDED if joint not in known]:
        raise GaitkeeperError("pose-points-unknown", path=path, missing=", ".join(missing), names=names)
    people = [_joints(table, individual, known) for individual in table.points]
    # The file tells its individuals apart over time already; who walks has to be found.
    number, note = _choose(path, [*table.points], people, options.person)
    chosen, confidence = people[number]
    ankles = [JOINT_INDEX[f"{side}_ankle"] for side in SIDES]
    if np.isfinite(chosen[:, ankles, 0]).any(axis=1).sum() < SHORTEST_TRACK:
        raise GaitkeeperError("pose-nobody", path=path)
    height_px = options.size_px[1] if options.size_px else 0.0
    chosen[..., 1] = height_px - chosen[..., 1]
    return LabWalk(kind, JointTrajectories(time_s, chosen, "px", confidence), notes=notes + note)


def _joints(
    table: KeypointTable, individual: str, known: Mapping[str, tuple[str, ...]]
) -> tuple[FloatArray, FloatArray]:
    """(T, J, 2) points and (T, J) confidence of one individual."""
    points, likelihood = table.points[individual], table.likelihood[individual]
    column = {name: number for number, name in enumerate(table.names)}
    picked = np.full((points.shape[0], len(JOINTS), 2), np.nan)
    sure = np.zeros((points.shape[0], len(JOINTS)))
    for joint, own in known.items():
        columns = [column[name] for name in own]
        picked[:, JOINT_INDEX[joint]] = points[:, columns].mean(axis=1)
        sure[:, JOINT_INDEX[joint]] = likelihood[:, columns].min(axis=1)
    seen = np.isfinite(picked).all(axis=2) & (sure > 0.0)
    picked[~seen], sure[~seen] = np.nan, 0.0
    return picked, np.clip(sure, 0.0, 1.0)


def _choose(
    path: Path, names: Sequence[str], people: Sequence[tuple[FloatArray, FloatArray]], person: str | None
) -> tuple[int, tuple[str, ...]]:
    """Which of the people it is, and a note where somebody had to be chosen."""
    if person is not None:
        return asked_for(person, names, path), ()
    number = max(range(len(people)), key=lambda index: _walking(people[index][0]))
    if len(people) == 1:
        return number, ()
    return number, (chosen_note(number + 1, len(people)),)


def _walking(points: FloatArray) -> tuple[float, int]:
    """Steps taken, weighted by the way in leg lengths; then how often the person is seen."""
    ankles = points[:, JOINT_INDEX["left_ankle"], 0] - points[:, JOINT_INDEX["right_ankle"], 0]
    seen = np.isfinite(ankles)
    size = leg_length(points)
    if seen.sum() < SHORTEST_TRACK or not size > 0.0:
        return 0.0, 0
    steps = count_alternations(ankles[seen] / size, 2.0 * STEP_AMPLITUDE)
    middle = points[seen][:, [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]].mean(axis=1)
    way = float(np.linalg.norm(middle[-1] - middle[0])) / size
    return steps * (0.25 + min(way, 8.0)), int(seen.sum())
