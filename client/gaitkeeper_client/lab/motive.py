"""OptiTrack Motive CSV: markers or the bones of a skeleton, one column triple each.

The format's description: OptiTrack documentation, "Data Export: CSV". The first line holds settings in pairs; the rows
above ``Frame,Time`` name what stands below: type, name, id, (parent,) and quantity. Only positions are read. A bone's
position is the joint at its near end: ``LThigh`` is the left hip, ``LShin`` the knee, ``LFoot`` the ankle. Markers may
bear the same names and lie elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.spatial import spatial_walk
from gaitkeeper_client.lab.text import broken, check_times, check_whole, numbers, read_table
from gaitkeeper_client.lab.walk import LabWalk, Markers

_FORMAT = "Motive CSV"
_UNITS = {"meters": 1.0, "centimeters": 0.01, "millimeters": 0.001, "inches": 0.0254}
_BONE = "bone"
_ORDER = "the rows above Frame are not in Motive's order: type, name, ID, (parent), quantity"
_TYPES = ("marker", _BONE, "bone marker", "rigid body", "rigid body marker")


def read_motive(
    path: Path,
    mapping: Mapping[str, tuple[str, ...]] | None = None,
    person: str | None = None,
    static: Path | None = None,
) -> LabWalk:
    """One CSV file of Motive. Raises as :func:`gaitkeeper_client.lab.c3d.read_c3d` does."""
    return spatial_walk("motive-csv", read_motive_markers(path), path, mapping, person, static)[0]


def looks_like_motive(first_line: str) -> bool:
    """Whether a CSV file's first line is that of Motive."""
    return first_line.startswith("Format Version")


def read_motive_markers(path: Path) -> Markers:
    """Markers and bones of a Motive file, in its own axes and unit."""
    table = read_table(path, _FORMAT)
    if not table or not looks_like_motive("".join(table[0][:1])):
        broken(path, _FORMAT, "it does not begin with Motive's 'Format Version'")
    settings = dict(zip(table[0][::2], table[0][1::2], strict=False))
    if settings.get("Coordinate Space", "").strip().lower() == "local":
        broken(path, _FORMAT, "its positions are in the axes of each parent bone (Coordinate Space), not of the room")
    start = next((row for row, cells in enumerate(table) if cells[:1] == ["Frame"]), None)
    if start is None:
        broken(path, _FORMAT, "no line begins with Frame")
    columns = _columns(path, table, start)
    rows = [(number, cells) for number, cells in enumerate(table[start + 1 :], start=start + 2) if any(cells)]
    announced = settings.get("Total Exported Frames", "")
    if announced.isdigit() and int(announced) != len(rows):
        broken(path, _FORMAT, f"it announces {announced} frames and holds {len(rows)}")
    places = [place for column in columns for place in column.places]
    values = np.full((len(rows), len(places)), np.nan)
    time_s = np.full(len(rows), np.nan)
    for row, (number, cells) in enumerate(rows):
        if row == len(rows) - 1 and len(cells) <= max(places):
            broken(path, _FORMAT, f"line {number} ends in the middle")
        check_whole(cells, len(table[start]), path, _FORMAT, number)
        # Other columns are none of ours: a time code is no number.
        used = [cells[place] if place < len(cells) else "" for place in (1, *places)]
        time_s[row], *values[row] = numbers(used, path, _FORMAT, number)
    check_times(time_s, path, _FORMAT)
    positions = values.reshape(len(rows), len(columns), 3)
    positions[~np.isfinite(positions).all(axis=2)] = np.nan
    unit = _UNITS.get(settings.get("Length Units", "").lower(), math.nan)
    names = tuple(column.name for column in columns)
    bones = frozenset(column.name for column in columns if column.is_bone)
    return Markers(time_s - time_s[0], names, positions, unit, bones)


@dataclass(frozen=True, slots=True)
class _Column:
    """One point: its name, whether it is a bone of a skeleton, and where its x, y and z stand."""

    name: str
    is_bone: bool
    places: tuple[int, int, int]


def _columns(path: Path, table: Sequence[Sequence[str]], start: int) -> list[_Column]:
    """The points, from the rows above ``Frame``. Of a bone and a marker of one name the bone is kept."""
    head = [list(row) for row in table[1:start] if any(row)]
    kinds = next((row for row in head if any(cell.strip().lower() in _TYPES for cell in row)), None)
    quantities = next((row for row in reversed(head) if "Position" in row), None)
    if kinds is None or quantities is None:
        broken(path, _FORMAT, "the rows above Frame do not say what the columns are")
    below = head.index(kinds) + 1
    if below >= head.index(quantities):
        broken(path, _FORMAT, _ORDER)
    titles = head[below]
    axes = table[start]
    found: dict[tuple[str, bool], dict[str, int]] = {}
    places = [
        column
        for column in range(2, min(len(axes), len(quantities), len(titles), len(kinds)))
        if quantities[column].strip() == "Position" and axes[column].strip() in ("X", "Y", "Z")
    ]
    for column in places:
        point = titles[column].strip(), kinds[column].strip().lower() == _BONE
        found.setdefault(point, {}).setdefault(axes[column].strip(), column)
    whole = [
        _Column(name, is_bone, (place["X"], place["Y"], place["Z"]))
        for (name, is_bone), place in found.items()
        if len(place) == 3
    ]
    bones = {column.name for column in whole if column.is_bone}
    if not whole:
        broken(path, _FORMAT, "it holds no positions")
    if len(whole) == 1 and len(places) > 3:  # all are called the same: that row holds no names
        broken(path, _FORMAT, _ORDER)
    return [column for column in whole if column.is_bone or column.name not in bones]
