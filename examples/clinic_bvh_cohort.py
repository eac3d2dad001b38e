"""Write a cohort.csv for the public clinic-bvh recordings, so that they can be ingested or rehearsed on.

    python examples/clinic_bvh_cohort.py FOLDER OUTPUT.csv

FOLDER holds the BVH files and ``Annotations.xlsx`` of https://github.com/hubertshum/
Automatic-Musculoskeletal-And-Neurological-Disorder-Diagnosis (GPL-3). A file is named ``Subject<person>_Cycle<n>.bvh``;
the clinicians' class is given per file and is the same for all files of a person. Files without a class are left out.
Age, sex and height are not known, and the skeletons of all people were scaled to one size by their authors.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import openpyxl

from gaitkeeper_client.vault.cohort import COLUMNS


def main(folder: Path, output: Path) -> int:
    """Write the cohort; give the number of its recordings."""
    book = openpyxl.load_workbook(folder / "Annotations.xlsx", read_only=True)
    classes = {str(name): str(label) for name, label in book.active.iter_rows(values_only=True, max_col=2) if label}
    rows = 0
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for path in sorted(folder.glob("*.bvh")):
            if label := classes.get(path.stem):
                place = os.path.relpath(path.resolve(), output.resolve().parent)
                writer.writerow({"patient": path.stem.split("_")[0], "path": place, "label": label})
                rows += 1
    return rows


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(f"{main(Path(sys.argv[1]), Path(sys.argv[2]))} recordings")
