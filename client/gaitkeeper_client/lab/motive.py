"""OptiTrack Motive CSV: markers or the bones of a skeleton, one column triple each.

The format's description: OptiTrack documentation, "Data Export: CSV". The first line holds settings in pairs; the rows
above ``Frame,Time`` name what stands below: type, name, id, (parent,) and quantity. Only positions are read. A bone's
position is the joint at its near end: ``LThigh`` is the left hip, ``LShin`` the knee, ``LFoot`` the ankle.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.joints import to_trajectories
from gaitkeeper_client.lab.text import broken, check_times, numbers, read_lines
from gaitkeeper_client.lab.walk import LabWalk, Markers

_FORMAT = "Motive CSV"
_UNITS = {"meters": 1.0, "centimeters": 0.01, "millimeters": 0.001, "inches": 0.0254}
_TYPES = ("marker", "bone", "bone marker", "rigid body", "rigid body marker")


def read_motive(path: Path, mapping: Mapping[str, tuple[str, ...]] | None = None) -> LabWalk:
    """One CSV file of Motive. Raises as :func:`gaitkeeper_client.lab.c3d.read_c3d` does."""
    trajectories, frame = to_trajectories(read_motive_markers(path), path, mapping)
    return LabWalk("motive-csv", trajectories, notes=frame.notes)


def looks_like_motive(first_line: str) -> bool:
    """Whether a CSV file's first line is that of Motive."""
    return first_line.lstrip("\ufeff").startswith("Format Version")


def read_motive_markers(path: Path) -> Markers:
    """Markers and bones of a Motive file, in its own axes and unit."""
    lines = read_lines(path, _FORMAT)
    if not lines or not looks_like_motive(lines[0]):
        broken(path, _FORMAT, "it does not begin with Motive's 'Format Version'")
    try:
        table = list(csv.reader(lines, strict=True))
    except csv.Error as error:
        broken(path, _FORMAT, str(error))
    settings = dict(zip(table[0][::2], table[0][1::2], strict=False))
    start = next((row for row, cells in enumerate(table) if cells[:1] == ["Frame"]), None)
    if start is None:
        broken(path, _FORMAT, "no line begins with Frame")
    names, columns = _columns(path, table, start)
    rows = [(number, cells) for number, cells in enumerate(table[start + 1 :], start=start + 2) if any(cells)]
    announced = settings.get("Total Exported Frames", "")
    if announced.isdigit() and int(announced) != len(rows):
        broken(path, _FORMAT, f"it announces {announced} frames and holds {len(rows)}")
    width = max(max(triple) for triple in columns) + 1
    values = np.full((len(rows), width), np.nan)
    for row, (number, cells) in enumerate(rows):
        if row == len(rows) - 1 and len(cells) < width:
            broken(path, _FORMAT, f"line {number} ends in the middle")
        found = numbers(cells[:width], path, _FORMAT, number)
        values[row, : len(found)] = found
    time_s = values[:, 1]
    check_times(time_s, path, _FORMAT)
    positions = values[:, columns]
    positions[~np.isfinite(positions).all(axis=2)] = np.nan
    unit = _UNITS.get(settings.get("Length Units", "").lower(), math.nan)
    return Markers(time_s - time_s[0], names, positions, unit)


def _columns(path: Path, table: Sequence[Sequence[str]], start: int) -> tuple[tuple[str, ...], list[list[int]]]:
    """Names, and the columns of x, y and z of each; from the rows above ``Frame``."""
    head = [list(row) for row in table[1:start] if any(row)]
    kinds = next((row for row in head if any(cell.strip().lower() in _TYPES for cell in row)), None)
    quantities = next((row for row in reversed(head) if "Position" in row), None)
    if kinds is None or quantities is None:
        broken(path, _FORMAT, "the rows above Frame do not say what the columns are")
    titles = head[head.index(kinds) + 1]
    axes = table[start]
    found: dict[str, dict[str, int]] = {}
    for column in range(2, min(len(axes), len(quantities), len(titles))):
        if quantities[column].strip() == "Position" and axes[column].strip() in ("X", "Y", "Z"):
            found.setdefault(titles[column].strip(), {}).setdefault(axes[column].strip(), column)
    whole = {name: [place[axis] for axis in "XYZ"] for name, place in found.items() if len(place) == 3}
    if not whole:
        broken(path, _FORMAT, "it holds no positions")
    return tuple(whole), list(whole.values())
