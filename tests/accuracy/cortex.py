"""Force files of the motion capture program Cortex, as tables of ground reaction forces that ``validate`` reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gaitkeeper_shared.arrays import FloatArray

HEADER_LINES = 5
PER_PLATE = 7
"""Force, centre of pressure (three axes each, the file's own, which are those of the markers) and a moment."""


def as_mot(forces: Path, folder: Path) -> Path:
    """The forces of a ``.forces`` file in a ``.mot`` file in ``folder``; what a plate without load reads is kept."""
    rate_hz, table = _read(forces)
    names, columns = ["time"], [(table[:, 0] - 1.0) / rate_hz]
    for plate, first in enumerate(range(1, table.shape[1], PER_PLATE), start=1):
        for what, at in (("v", first), ("p", first + 3)):
            names += [f"ground_force_{plate}_{what}{axis}" for axis in "xyz"]
            columns += list(table[:, at : at + 3].T)
    values = np.stack(columns, axis=1)
    head = [forces.stem, "version=1", f"nRows={len(values)}", f"nColumns={len(names)}", "inDegrees=yes", "endheader"]
    rows = ["\t".join(f"{value:.6f}" for value in row) for row in values]
    path = folder / f"{forces.stem}.mot"
    path.write_text("\n".join([*head, "\t".join(names), *rows]) + "\n", "utf-8")
    return path


def least_load_n(forces: Path) -> float:
    """The smallest vertical force that the file holds beside 0: the program leaves out what is smaller."""
    _, table = _read(forces)
    plates = np.abs(np.stack([table[:, first : first + 3] for first in range(1, table.shape[1], PER_PLATE)]))
    vertical = plates[..., int(np.argmax(plates.sum(axis=(0, 1))))]
    return float(vertical[vertical > 0.0].min())


def _read(forces: Path) -> tuple[float, FloatArray]:
    """Samples a second, and the table with the samples' numbers from 1 in its first column."""
    lines = forces.read_text("utf-8").splitlines()
    facts = dict(line.split("=") for line in lines[1 : HEADER_LINES - 1])
    table = np.array([[float(cell) for cell in line.split()] for line in lines[HEADER_LINES:] if line.strip()])
    if table.shape[1] != 1 + PER_PLATE * int(facts["NumberOfForcePlates"]):
        raise ValueError(f"{forces.name} has {table.shape[1]} columns")
    return float(facts["SampleRate"]), table
