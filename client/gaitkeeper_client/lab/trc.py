"""TRC (Motion Analysis; the marker format of OpenSim): tab-separated marker positions over time.

The format's description: OpenSim documentation, "Marker (.trc) Files". Missing markers come as empty cells, as NaN or
as three zeros; all become NaN. The number of markers in the header may be smaller than that of the names (virtual
markers behind the last): then the names count. Sports2D writes what it sees in a picture as TRC, too, with one
coordinate that is always 0: such a walk stays one of a picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.flat import PIXEL, flat_walk, is_flat
from gaitkeeper_client.lab.geometry import METRES_PER_UNIT
from gaitkeeper_client.lab.spatial import spatial_walk
from gaitkeeper_client.lab.static import check_no_static
from gaitkeeper_client.lab.text import broken, check_times, numbers, read_lines
from gaitkeeper_client.lab.walk import LabWalk, Markers
from gaitkeeper_shared.arrays import FloatArray

_FORMAT = "TRC"
_PIXELS = ("px", "pixel", "pixels")
_ROUNDING_S = 0.6e-3


def read_trc(
    path: Path,
    mapping: Mapping[str, tuple[str, ...]] | None = None,
    person: str | None = None,
    static: Path | None = None,
) -> LabWalk:
    """One TRC file. Raises as :func:`gaitkeeper_client.lab.c3d.read_c3d` does."""
    markers = read_trc_markers(path)
    if is_flat(markers):
        check_no_static(path, static)
        return flat_walk("trc", markers, path, mapping, person)
    return spatial_walk("trc", markers, path, mapping, person, static)[0]


def read_trc_markers(path: Path) -> Markers:
    """The markers of a TRC file, in its own axes and unit."""
    lines = read_lines(path, _FORMAT)
    if not lines or not lines[0].startswith("PathFileType") or len(lines) < 6:
        broken(path, _FORMAT, "it does not begin with the five lines of a TRC header")
    if "\t" not in lines[3]:
        broken(path, _FORMAT, "line 4 has no tab, and its columns are separated by tabs alone")
    header = dict(zip(lines[1].split(), lines[2].split(), strict=False))
    frames, unit = _count(path, header, "NumFrames"), header.get("Units", "").lower()
    columns = [name.strip() for name in lines[3].split("\t")]
    if not columns[0].startswith("Frame#"):
        broken(path, _FORMAT, "line 4 does not name the markers")
    names = tuple(name for name in columns[2:] if name)
    least = 2 + 3 * min(_count(path, header, "NumMarkers"), len(names))
    if not names:
        broken(path, _FORMAT, "it names no marker")
    rows = [(number, line) for number, line in enumerate(lines[5:], start=6) if line.strip()]
    if len(rows) != frames:
        broken(path, _FORMAT, f"it announces {frames} frames and holds {len(rows)}")
    table = np.full((len(rows), 2 + 3 * len(names)), np.nan)
    for row, (number, line) in enumerate(rows):
        cells = line.rstrip("\r\n").split("\t")
        # Trailing empty cells may have been stripped, but not in the last line: there it is a cut.
        if row == len(rows) - 1 and len(cells) < least:
            broken(path, _FORMAT, f"line {number} ends in the middle")
        if any(cell.strip() for cell in cells[table.shape[1] :]):
            broken(path, _FORMAT, f"line {number} has more values than there are markers")
        values = numbers(cells[: table.shape[1]], path, _FORMAT, number)
        table[row, : len(values)] = values
    time_s = _even(table[:, 1], header)
    check_times(time_s, path, _FORMAT)
    positions = table[:, 2:].reshape(len(rows), len(names), 3)
    positions[(positions == 0.0).all(axis=2) | ~np.isfinite(positions).all(axis=2)] = np.nan
    scale = PIXEL if unit in _PIXELS else METRES_PER_UNIT.get(unit, math.nan)
    return Markers(time_s - time_s[0], names, positions, scale)


def _even(time_s: FloatArray, header: dict[str, str]) -> FloatArray:
    """The times; by the header's rate where they are that, rounded to milliseconds (143 Hz instead of 150)."""
    try:
        even = time_s[0] + np.arange(time_s.size) / float(header["DataRate"])
    except (KeyError, ValueError, ZeroDivisionError, IndexError):
        return time_s
    return even if bool(np.all(np.abs(even - time_s) <= _ROUNDING_S)) else time_s


def _count(path: Path, header: dict[str, str], key: str) -> int:
    try:
        return int(header[key])
    except (KeyError, ValueError):
        broken(path, _FORMAT, f"its header does not say {key}")
