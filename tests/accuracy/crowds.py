"""The large groups of the development data, which hold no reference: who was analysed, and what cadence was found."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import openpyxl
from tests.accuracy.inventory import Inventory, Recording
from tests.accuracy.said import Said, said_of
from tests.accuracy.tables import DATA, cell, table

PLAUSIBLE = (30.0, 180.0)
"""Steps a minute: below nobody walks continuously, above nobody walks."""
DIAGNOSES = {"control": "control", "park": "Parkinson", "hunt": "Huntington", "als": "ALS"}
COLUMNS = (
    "analysed",
    "refused or not read",
    "cadence withheld",
    "cadence: median, least, most",
    f"outside {PLAUSIBLE[0]:g} to {PLAUSIBLE[1]:g}",
)


def crowds(found: Inventory) -> list[str]:
    """Tables of the clinic's walks, the foot forces of gaitndd and those of gaitpdb."""
    return [_clinic(found.by_kind["bvh"]), _diagnoses(found.by_kind["gaitndd"]), _parkinson(found.by_kind["gaitpdb"])]


def _clinic(walks: Sequence[Recording]) -> str:
    book = openpyxl.load_workbook(DATA / "clinic-bvh/Annotations.xlsx", read_only=True)
    classes = {str(name): str(label) for name, label in book.active.iter_rows(values_only=True, max_col=2) if label}
    groups = _grouped(walks, lambda path: classes.get(path.stem, "without a class"))
    rows = []
    for label, paths in groups.items():
        speeds = [speed for path in paths if (speed := said_of(path).speed) is not None]
        people = len({path.stem.split("_")[0] for path in paths})
        rows.append([label, str(people), str(len(paths)), *_cells(paths), _spread(speeds, 2)])
    contents = Counter(hashlib.sha256(one.path.read_bytes()).hexdigest() for one in walks)
    same = sum(count - 1 for count in contents.values())
    return (
        "## Walks of a clinic (BVH), by the clinicians' class\n\n"
        f"No reference: nothing here is accuracy. {same} of the {len(walks)} files are byte for byte the same as "
        "another file.\n\n"
        + table(("class", "people", "files", *COLUMNS, "speed m/s: median, least, most"), rows)
        + _withheld(walks)
    )


def _withheld(walks: Sequence[Recording]) -> str:
    names = [one.path.name for one in walks if _analysed(said := said_of(one.path)) and said.cadence is None]
    return f"\nCadence is withheld of: {', '.join(names)}.\n" if names else ""


def _diagnoses(people: Sequence[Recording]) -> str:
    groups = _grouped(people, lambda path: DIAGNOSES[path.stem.rstrip("m").rstrip("0123456789")])
    rows = [[label, str(len(paths)), *_cells(paths)] for label, paths in groups.items()]
    return (
        "## Foot forces (gaitndd), by diagnosis\n\n"
        "Five minutes of the force under each foot, no kinematics: the analysis is of times only, and there is nothing "
        "to hold it against.\n\n" + table(("diagnosis", "people", *COLUMNS), rows)
    )


def _parkinson(walks: Sequence[Recording]) -> str:
    rows = []
    for one in walks:
        said = said_of(one.path)
        group = "Parkinson" if "Pt" in one.path.name else "control"
        rows.append([one.path.name, group, said.outcome, cell(said.cadence), str(said.events)])
    return "## Foot forces (gaitpdb)\n\n" + table(("recording", "diagnosis", "analysis", "cadence", "events"), rows)


def _grouped(recordings: Sequence[Recording], label_of: Callable[[Path], str]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for one in recordings:
        groups.setdefault(label_of(one.path), []).append(one.path)
    return dict(sorted(groups.items()))


def _analysed(said: Said) -> bool:
    return not said.codes and not said.error


def _cells(paths: Sequence[Path]) -> list[str]:
    every = [said_of(path) for path in paths]
    analysed = [said for said in every if _analysed(said)]
    known = [said.cadence for said in analysed if said.cadence is not None]
    others = Counter(said.error or said.codes[0] for said in every if not _analysed(said))
    return [
        str(len(analysed)),
        "; ".join(f"{code} ({count})" for code, count in sorted(others.items())) or "-",
        str(len(analysed) - len(known)),
        _spread(known, 1),
        str(sum(not PLAUSIBLE[0] <= value <= PLAUSIBLE[1] for value in known)),
    ]


def _spread(values: Sequence[float], digits: int) -> str:
    if not values:
        return "-"
    return ", ".join(f"{value:.{digits}f}" for value in (np.median(values), min(values), max(values)))
