"""DeepLabCut: keypoints of one or several individuals over the frames of a video, as CSV or HDF5.

Three header rows (scorer, bodyparts, coords), four with ``individuals`` for several (Lauer et al. 2022,
doi:10.1038/s41592-022-01443-0). Coordinates are x, y, likelihood per body part. The file does not say the frame rate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.options import ReadOptions
from gaitkeeper_client.lab.text import broken, cells_of, check_whole, numbers, read_table
from gaitkeeper_client.lab.walk import LabWalk
from gaitkeeper_client.pose.readers.tables import KeypointTable, frame_grid, said_or_sure, walk_of_table
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError

_FORMAT = "DeepLabCut"
_FRAME = re.compile(r"(?:.*\D)?(?P<frame>\d+)(?:\.0|\.[A-Za-z]\w*)?")
_HEADER = ("scorer", "individuals", "bodyparts", "coords")
Column = tuple[str, str, str]
"""Individual (empty for one animal), body part, coordinate."""


def read_deeplabcut(path: Path, options: ReadOptions) -> LabWalk:
    """The walker of a DeepLabCut file, in pixels with y up.

    The options' mapping is for body parts that are not understood by themselves. Raises ``pose-rate-needed``,
    ``pose-points-unknown``, ``pose-mapping-wrong``, ``person-unknown``, ``pose-nobody``, ``lab-file-unreadable``,
    ``lab-file-broken``.
    """
    if options.rate_hz is None:
        raise GaitkeeperError("pose-rate-needed", path=path)
    if path.suffix.lower() in (".h5", ".hdf5"):
        from gaitkeeper_client.pose.readers.deeplabcut_h5 import read_columns

        columns, told, frames = read_columns(path)
    else:
        columns, told, frames = _read_csv(path)
    if told.shape[0] < 2:
        broken(path, _FORMAT, f"it holds {told.shape[0]} frames")
    grid = frame_grid(range(len(told)) if frames is None else frames, path, _FORMAT)
    if len(set(grid.rows)) < len(grid.rows):
        broken(path, _FORMAT, "a frame stands twice in it")
    values = np.full((grid.count, told.shape[1]), np.nan)
    values[grid.rows] = told
    time_s = np.arange(grid.count, dtype=np.float64) / options.rate_hz
    return walk_of_table("deeplabcut", _table(path, columns, values), time_s, path, options, grid.notes)


def looks_like_deeplabcut(first_line: str) -> bool:
    """Whether a CSV file's first line is that of DeepLabCut."""
    return [cell.strip() for cell in cells_of(first_line)[:1]] == ["scorer"]


def _read_csv(path: Path) -> tuple[list[Column], FloatArray, list[float] | None]:
    """Columns, (T, C) values, and the number of each row's frame; None where the rows bear none."""
    rows = read_table(path, _FORMAT)
    head = {row[0].strip(): row[1:] for row in rows[:4] if row and row[0].strip() in _HEADER}
    if not {"scorer", "bodyparts", "coords"} <= set(head):
        broken(path, _FORMAT, "its first rows are not scorer, bodyparts and coords")
    width = len(head["coords"])
    individuals = head.get("individuals", [""] * width)
    if not len(head["bodyparts"]) == len(individuals) == width:
        broken(path, _FORMAT, "its header rows are of different lengths")
    columns = list(zip(individuals, head["bodyparts"], head["coords"], strict=True))
    body = [(number, row) for number, row in enumerate(rows[len(head) :], start=len(head) + 1) if any(row)]
    values = np.empty((len(body), width))
    for at, (number, row) in enumerate(body):
        check_whole(row, width + 1, path, _FORMAT, number)
        if len(row) != width + 1:
            broken(path, _FORMAT, f"line {number}: {len(row) - 1} values in {width} columns")
        values[at] = numbers(row[1:], path, _FORMAT, number)
    return columns, values, frames_of([row[0] for _, row in body])


def frames_of(names: Sequence[str]) -> list[float] | None:
    """Numbers of frames: whole numbers, or those in the names of pictures (``img0123.png``); None for other names."""
    found = [_FRAME.fullmatch(name.strip()) for name in names]
    return [float(match["frame"]) for match in found if match] if all(found) else None


def _table(path: Path, columns: Sequence[Column], values: FloatArray) -> KeypointTable:
    place = {column: number for number, column in enumerate(columns)}
    if len(place) != len(columns):
        broken(path, _FORMAT, "a body part stands twice in its header")
    individuals = list(dict.fromkeys(individual for individual, _, _ in columns))
    names = list(dict.fromkeys(part for _, part, _ in columns))
    points, likelihood = {}, {}
    for individual in individuals:
        xy = np.full((values.shape[0], len(names), 2), np.nan)
        sure = np.zeros((values.shape[0], len(names)))
        for number, name in enumerate(names):
            at = [place.get((individual, name, axis)) for axis in ("x", "y", "likelihood")]
            if at[0] is not None and at[1] is not None:
                xy[:, number, 0], xy[:, number, 1] = values[:, at[0]], values[:, at[1]]
                sure[:, number] = said_or_sure(None if at[2] is None else values[:, at[2]])
        points[individual], likelihood[individual] = xy, sure
    if not any(np.isfinite(xy).any() for xy in points.values()):
        broken(path, _FORMAT, "it holds no x and y of any body part")
    return KeypointTable(tuple(names), points, likelihood)
