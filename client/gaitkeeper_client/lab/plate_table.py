"""FORCES (Motion Analysis Cortex, EVaRT): what force plates measured beside a TRC file of the same name.

A header of names and values, then a row for each sample: its number, and of each plate the force ``FX``, ``FY``, ``FZ``
on the foot in newtons, the centre of pressure ``X``, ``Y``, ``Z`` and the free moment ``MZ``, in the axes and the unit
of the markers. Nobody has published the format: this is what the files of github.com/BMClab/BMC (fa66686) show, whose
centres of pressure lie under the markers' feet. Rows have no time: the first sample is taken as that of the first
marker frame.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.mot import GroundForce
from gaitkeeper_client.lab.text import broken, numbers, read_lines
from gaitkeeper_shared.arrays import FloatArray

SUFFIX = ".forces"
_FORMAT = "FORCES"
_BEGINS = "[Force Data]"


def looks_like_plate_table(path: Path, first_line: str) -> bool:
    """By its suffix or by its first line."""
    return not path.is_dir() and (path.suffix.lower() == SUFFIX or first_line.strip() == _BEGINS)


def read_plate_table(path: Path) -> tuple[FloatArray, tuple[GroundForce, ...]]:
    """(T,) seconds from the first sample, and every plate. Raises ``lab-file-unreadable``, ``lab-file-broken``
    or ``lab-decimal-comma``."""
    lines = read_lines(path, _FORMAT)
    if not lines or lines[0].strip() != _BEGINS:
        broken(path, _FORMAT, f"it does not begin with {_BEGINS}")
    at = next((number for number, line in enumerate(lines) if line.startswith("#")), None)
    if at is None:
        broken(path, _FORMAT, "no line names the columns")
    header = {line.partition("=")[0]: number for number, line in enumerate(lines[:at]) if "=" in line}
    names = lines[at].lstrip("#").split()
    rows = [(number, line.split()) for number, line in enumerate(lines[at + 1 :], start=at + 2) if line.strip()]
    rate_hz, announced = (_number(path, lines, header.get(key), key) for key in ("SampleRate", "NumberOfSamples"))
    if len(rows) < 2 or announced != len(rows):
        broken(path, _FORMAT, f"it announces {announced:.0f} samples and holds {len(rows)}")
    for number, cells in rows:
        if len(cells) != len(names):
            broken(path, _FORMAT, f"line {number}: {len(cells)} values in {len(names)} columns")
    table = np.array([numbers(cells, path, _FORMAT, number) for number, cells in rows])
    column = {name: number for number, name in enumerate(names)}
    plates = []
    for plate in (match[1] for name in names if (match := re.fullmatch(r"FX(\d+)", name))):
        force, point = ([f"{part}{axis}{plate}" for axis in "XYZ"] for part in ("F", ""))
        if any(name not in column for name in (*force, *point)):
            broken(path, _FORMAT, f"columns of plate {plate} are missing")
        values, places = (table[:, [column[name] for name in part]] for part in (force, point))
        plates.append(GroundForce(plate, values, places))
    if not plates:
        broken(path, _FORMAT, "it has no column of a force")
    return np.arange(len(rows)) / rate_hz, tuple(plates)


def _number(path: Path, lines: Sequence[str], at: int | None, key: str) -> float:
    """The number behind ``key=``, which stands in line ``at`` from 0."""
    value = math.nan if at is None else numbers([lines[at].partition("=")[2]], path, _FORMAT, at + 1)[0]
    if not (math.isfinite(value) and value > 0.0):
        broken(path, _FORMAT, f"its header does not say {key}")
    return value
