"""Force files of the motion capture program Cortex, as tables of ground reaction forces that ``validate`` reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

HEADER_LINES = 5
PER_PLATE = 7
"""Force, centre of pressure (three axes each, the file's own, which are those of the markers) and a moment."""


def as_mot(forces: Path, folder: Path) -> Path:
    """The forces of a ``.forces`` file in a ``.mot`` file in ``folder``; what a plate without load reads is kept."""
    lines = forces.read_text("utf-8").splitlines()
    facts = dict(line.split("=") for line in lines[1 : HEADER_LINES - 1])
    table = np.array([[float(cell) for cell in line.split()] for line in lines[HEADER_LINES:] if line.strip()])
    plates = int(facts["NumberOfForcePlates"])
    names, columns = ["time"], [(table[:, 0] - 1.0) / float(facts["SampleRate"])]
    for plate in range(plates):
        first = 1 + PER_PLATE * plate
        for what, at in (("v", first), ("p", first + 3)):
            names += [f"ground_force_{plate + 1}_{what}{axis}" for axis in "xyz"]
            columns += list(table[:, at : at + 3].T)
    values = np.stack(columns, axis=1)
    head = [forces.stem, "version=1", f"nRows={len(values)}", f"nColumns={len(names)}", "inDegrees=yes", "endheader"]
    rows = ["\t".join(f"{value:.6f}" for value in row) for row in values]
    path = folder / f"{forces.stem}.mot"
    path.write_text("\n".join([*head, "\t".join(names), *rows]) + "\n", "utf-8")
    return path
