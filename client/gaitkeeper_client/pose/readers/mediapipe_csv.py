"""CSV tables of MediaPipe's landmarks: columns ``NAME_x``, ``NAME_y`` and perhaps ``NAME_visibility``, one row a frame.

MediaPipe itself writes no file; this is the shape in which people keep its landmarks. Times come from a column
``time``, ``time_s``, ``timestamp`` (seconds), ``time_ms`` or ``timestamp_ms``, or else from the frame rate. Landmarks
within 0..1 are shares of the picture's width and height, which then have to be given.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.options import ReadOptions
from gaitkeeper_client.lab.text import broken, check_times, numbers, read_lines
from gaitkeeper_client.lab.walk import LabWalk
from gaitkeeper_client.pose.readers.tables import KeypointTable, walk_of_table
from gaitkeeper_shared.arrays import BoolArray, FloatArray
from gaitkeeper_shared.errors import GaitkeeperError

_FORMAT = "landmark CSV"
_SECONDS = {"time": 1.0, "time_s": 1.0, "timestamp": 1.0, "time_ms": 1e-3, "timestamp_ms": 1e-3}
_CONFIDENCE = ("visibility", "confidence", "score", "likelihood")


def looks_like_landmarks(first_line: str) -> bool:
    """Whether a CSV file's first line names landmarks' columns."""
    names = {cell.strip().lower() for cell in first_line.lstrip("\ufeff").split(",")}
    return any(name.endswith("_x") and name[:-2] + "_y" in names for name in names)


def read_landmarks(path: Path, options: ReadOptions) -> LabWalk:
    """The walker of a landmark table, in pixels with y up.

    Raises ``pose-rate-needed``, ``pose-size-needed``, ``pose-points-unknown``, ``pose-mapping-wrong``, ``pose-nobody``,
    ``option-does-not-apply``, ``lab-file-unreadable``, ``lab-file-broken``.
    """
    lines = read_lines(path, _FORMAT)
    try:
        rows = list(csv.reader(lines, strict=True))
    except csv.Error as error:
        broken(path, _FORMAT, str(error))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    place = {name: number for number, name in enumerate(header)}
    names = tuple(name[:-2] for name in header if name.endswith("_x") and name[:-2] + "_y" in place)
    if not names:
        broken(path, _FORMAT, "its first line names no columns NAME_x and NAME_y")
    values = np.empty((len(rows) - 1, len(header)))
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            broken(path, _FORMAT, f"line {number}: {len(row)} values in {len(header)} columns")
        # Only what is used has to be a number: such tables carry file names and the like along.
        used = [cell if _is_used(name, names) else "" for name, cell in zip(header, row, strict=True)]
        values[number - 2] = numbers(used, path, _FORMAT, number)
    time_s = _times(path, place, values, options)
    xy: FloatArray = np.stack([values[:, [place[f"{name}_{axis}"] for name in names]] for axis in "xy"], axis=2)
    seen: BoolArray = np.asarray(np.isfinite(xy).all(axis=2))
    sure: FloatArray = seen.astype(np.float64)
    for number, name in enumerate(names):
        column = next((place[f"{name}_{word}"] for word in _CONFIDENCE if f"{name}_{word}" in place), None)
        if column is not None:
            sure[:, number] = np.nan_to_num(values[:, column]) * seen[:, number]
    if seen.any() and float(np.nanmedian(np.abs(xy))) <= 1.5:
        if options.size_px is None:
            raise GaitkeeperError("pose-size-needed", path=path)
        xy = xy * np.array(options.size_px)
    table = KeypointTable(names, {"": xy}, {"": sure})
    return walk_of_table("landmark-csv", table, time_s, path, options)


def _is_used(column: str, names: tuple[str, ...]) -> bool:
    name, _, what = column.rpartition("_")
    return column in _SECONDS or (name in names and what in ("x", "y", *_CONFIDENCE))


def _times(path: Path, place: Mapping[str, int], values: FloatArray, options: ReadOptions) -> FloatArray:
    column = next((name for name in _SECONDS if name in place), None)
    if column is not None:
        if options.rate_hz is not None:
            raise GaitkeeperError("option-does-not-apply", option="--rate", path=path, kind=f"column {column}")
        time_s: FloatArray = values[:, place[column]] * _SECONDS[column]
        check_times(time_s, path, _FORMAT)
        since_first: FloatArray = time_s - time_s[0]
        return since_first
    if options.rate_hz is None:
        raise GaitkeeperError("pose-rate-needed", path=path)
    if values.shape[0] < 2:
        broken(path, _FORMAT, f"it holds {values.shape[0]} frames")
    return np.arange(values.shape[0], dtype=np.float64) / options.rate_hz
