"""Tables of MediaPipe's landmarks as people keep them: MediaPipe itself writes no file.

Times come from a column of times, or else from the frame rate; frames without a row are gaps. Landmarks within 0..1 are
shares of the picture's width and height, which then have to be given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.options import ReadOptions
from gaitkeeper_client.lab.text import broken, cells_of, check_times, check_whole, numbers, read_table
from gaitkeeper_client.lab.walk import LabWalk
from gaitkeeper_client.pose.readers.landmark_columns import Columns, columns_of, named
from gaitkeeper_client.pose.readers.skeletons import joints_of
from gaitkeeper_client.pose.readers.tables import KeypointTable, frame_grid, said_or_sure, walk_of_table
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError

_FORMAT = "landmark CSV"
_LARGEST_SHARE = 1.5
_AT_THE_HIPS = 0.02
"""World landmarks count from between the hips: there, nobody's hips ever leave 0."""
_LONGEST_STEP_S = 0.5
"""No camera films a walk at less than two frames a second: a greater step is of a smaller unit than seconds."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the file: its line, what is a number in it by column, whose it is, and of which landmark."""

    line: int
    values: Mapping[int, float]
    person: str
    landmark: str


def looks_like_landmarks(first_line: str) -> bool:
    """Whether a CSV file's first line names landmarks' columns."""
    return columns_of(cells_of(first_line)) is not None


def read_landmarks(path: Path, options: ReadOptions) -> LabWalk:
    """The walker of a landmark table, in pixels with y up.

    Raises ``pose-rate-needed``, ``pose-size-needed``, ``pose-world-landmarks``, ``pose-points-unknown``,
    ``pose-mapping-wrong``, ``person-unknown``, ``pose-nobody``, ``option-does-not-apply``, ``lab-file-unreadable``,
    ``lab-file-broken``.
    """
    table = read_table(path, _FORMAT)
    columns = columns_of(table[0]) if table else None
    if columns is None:
        broken(path, _FORMAT, "its first line names no columns NAME_x and NAME_y")
    rows = _rows(path, table, columns)
    moment, time_s, notes = _moments(path, rows, columns, options)
    own = list(dict.fromkeys(row.landmark for row in rows)) if columns.landmark is not None else list(columns.points)
    names = named(own)
    points, sure = {}, {}
    for person in dict.fromkeys(row.person for row in rows):
        mine = [(row, at) for row, at in zip(rows, moment, strict=True) if row.person == person]
        points[person], sure[person] = _tracks(path, mine, columns, own, time_s.size)
    points = _in_pixels(path, points, names, options)
    found = KeypointTable(names, points, sure)
    return walk_of_table("landmark-csv", found, time_s, path, options, notes)


def _rows(path: Path, table: Sequence[Sequence[str]], columns: Columns) -> list[_Row]:
    rows = []
    used = columns.used()
    for line, cells in enumerate(table[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        check_whole(cells, len(table[0]), path, _FORMAT, line)
        if len(cells) != len(table[0]):
            broken(path, _FORMAT, f"line {line}: {len(cells)} values in {len(table[0])} columns")
        # Only what is used has to be a number: such tables carry file names and the like along.
        values = dict(zip(used, numbers([cells[at] for at in used], path, _FORMAT, line), strict=True))
        person = "" if columns.person is None else cells[columns.person].strip()
        landmark = "" if columns.landmark is None else cells[columns.landmark].strip().lower()
        rows.append(_Row(line, values, person, landmark))
    if not rows:
        broken(path, _FORMAT, "it holds 0 frames")
    return rows


def _moments(
    path: Path, rows: Sequence[_Row], columns: Columns, options: ReadOptions
) -> tuple[Sequence[int], FloatArray, tuple[str, ...]]:
    """Of each row the number of its sample; the samples' times; and notes."""
    if columns.time is not None:
        if options.rate_hz is not None:
            raise GaitkeeperError("option-does-not-apply", option="--rate", path=path, kind="it has a column of times")
        told = np.array([row.values[columns.time] for row in rows])
        if not np.isfinite(told).all() or (np.diff(told) < 0.0).any():
            check_times(told, path, _FORMAT)
        moments, moment = np.unique(told, return_inverse=True)
        unit, notes = _unit(moments, columns)
        time_s: FloatArray = (moments - moments[0]) * unit
        check_times(time_s, path, _FORMAT)
        return [int(at) for at in moment], time_s, notes
    if options.rate_hz is None:
        raise GaitkeeperError("pose-rate-needed", path=path)
    if columns.frame is None:
        if columns.landmark is not None or len({row.person for row in rows}) > 1:
            broken(path, _FORMAT, "it has several rows for one frame, and no column of frames or times")
        frames: Sequence[float] = range(len(rows))
    else:
        frames = [row.values[columns.frame] for row in rows]
    grid = frame_grid(frames, path, _FORMAT)
    return grid.rows, np.arange(grid.count, dtype=np.float64) / options.rate_hz, grid.notes


def _unit(moments: FloatArray, columns: Columns) -> tuple[float, tuple[str, ...]]:
    """Seconds in the unit of a column of times."""
    if columns.unit_s is not None:
        return columns.unit_s, ()
    step = float(np.median(np.diff(moments))) if moments.size > 1 else 0.0
    for unit, name in ((1.0, "seconds"), (1e-3, "milliseconds"), (1e-6, "microseconds"), (1e-9, "nanoseconds")):
        if step * unit <= _LONGEST_STEP_S:
            return unit, () if unit == 1.0 else (f"The column of times was taken for {name}, by its steps.",)
    return 1.0, ()


def _tracks(
    path: Path, mine: Sequence[tuple[_Row, int]], columns: Columns, own: Sequence[str], samples: int
) -> tuple[FloatArray, FloatArray]:
    """(T, P, 2) points as they stand in the file and (T, P) how sure they are."""
    xy, told = np.full((samples, len(own), 2), np.nan), np.full((samples, len(own)), np.nan)
    taken = np.zeros((samples, len(own)), dtype=bool)
    number = {name: at for at, name in enumerate(own)}
    for row, at in mine:
        for name, (x, y, certain) in columns.points.items():
            column = number[name or row.landmark]
            if taken[at, column]:
                broken(path, _FORMAT, f"line {row.line}: its frame stands there already")
            taken[at, column] = True
            xy[at, column] = row.values[x], row.values[y]
            told[at, column] = np.nan if certain is None else row.values[certain]
    sure = np.zeros(told.shape)
    for column in range(len(own)):
        sure[:, column] = said_or_sure(told[:, column])
    sure[~np.isfinite(xy).all(axis=2)] = 0.0
    return xy, sure


def _in_pixels(
    path: Path, points: Mapping[str, FloatArray], names: tuple[str, ...], options: ReadOptions
) -> dict[str, FloatArray]:
    """Shares of the picture as pixels. Raises ``pose-world-landmarks`` or ``pose-size-needed``."""
    known = [np.abs(xy)[np.isfinite(xy)] for xy in points.values()]
    if not any(one.size for one in known) or float(np.median(np.concatenate(known))) > _LARGEST_SHARE:
        return dict(points)
    joints = joints_of(names)
    if {"left_hip", "right_hip"} <= set(joints):
        hips = [names.index(joints[f"{side}_hip"]) for side in ("left", "right")]
        between = np.concatenate([xy[:, hips].mean(axis=1) for xy in points.values()])
        between = between[np.isfinite(between).all(axis=1)]
        if len(between) and float(np.abs(between).max()) < _AT_THE_HIPS:
            raise GaitkeeperError("pose-world-landmarks", path=path)
    if options.size_px is None:
        raise GaitkeeperError("pose-size-needed", path=path)
    return {person: xy * np.array(options.size_px) for person, xy in points.items()}
