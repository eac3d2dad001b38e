"""How fast the force under a foot that comes down rises: a plate's own, or smoothed by whoever wrote the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.mot import ground_forces, read_mot
from gaitkeeper_client.lab.plate_table import read_plate_table
from gaitkeeper_client.lab.readers import read_walk
from gaitkeeper_client.validation.plates import LEAST_PEAK_N, THRESHOLD_N, is_steady
from gaitkeeper_shared.arrays import FloatArray

NOTHING_N = 1.0
LONGEST_RISE_S = 0.1
"""From the threshold to the peak of a contact's least; what takes longer is a foot that was there already."""


@dataclass(frozen=True, slots=True)
class Rise:
    """``ms``: from 1 N to 20 N, the median over all feet that come down, in a table of ``rate_hz``."""

    ms: float
    rate_hz: float


def rise_of_plates(recording: Path) -> float | None:
    """Milliseconds, the median over all feet that come down on the plates of a C3D file; None where none does."""
    plates = [plate for plate in read_walk(recording).plates if is_steady(plate)]
    found = [ms for plate in plates for ms in _rises(plate.time_s, np.nan_to_num(plate.force[:, 2]))]
    return float(np.median(found)) if found else None


def rise_of_table(folder: Path, name: str) -> Rise | None:
    """That of a table of ground reaction forces somewhere in a folder; None for what is no such table."""
    path = next((path for path in folder.rglob(name) if path.suffix in (".mot", ".sto")), None)
    if path is None:
        return None
    table, found = read_mot(path), []
    for one in ground_forces(table, path):
        force = np.nan_to_num(one.force)
        up = int(np.argmax(np.abs(force).sum(axis=0)))
        found += _rises(table.time_s, np.abs(force[:, up]))
    return Rise(float(np.median(found)), 1.0 / float(np.median(np.diff(table.time_s)))) if found else None


def least_load_n(forces: Path) -> float:
    """The smallest vertical force that a ``.forces`` file holds beside 0: the program leaves out what is smaller."""
    _, plates = read_plate_table(forces)
    loads = np.abs(np.stack([one.force for one in plates]))
    vertical = loads[..., int(np.argmax(loads.sum(axis=(0, 1))))]
    return float(vertical[vertical > 0.0].min())


def _rises(time_s: FloatArray, force: FloatArray) -> list[float]:
    """A plate's offset is taken off first."""
    light = force[np.abs(force) < THRESHOLD_N]
    force = force - (float(np.median(light)) if light.size else 0.0)
    rises = []
    for at in np.flatnonzero((force[:-1] <= THRESHOLD_N) & (force[1:] > THRESHOLD_N)):
        soon = time_s <= time_s[at] + LONGEST_RISE_S
        if force[at + 1 :][soon[at + 1 :]].max(initial=0.0) < LEAST_PEAK_N:
            continue
        before = np.flatnonzero(force[: at + 1] <= NOTHING_N)
        if before.size:
            rises.append(1000.0 * float(time_s[at + 1] - time_s[before[-1]]))
    return rises
