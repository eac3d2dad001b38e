"""Write a cohort.csv for the public gaitndd recordings, so that they can be ingested or rehearsed on.

    python examples/gaitndd_cohort.py FOLDER OUTPUT.csv

FOLDER holds the ``.mat`` files of https://physionet.org/content/gaitndd (doi:10.13026/C27G6C), one for each person,
called after the person's group and a number: ``control1m.mat``, ``park3m.mat``, ``hunt12m.mat``, ``als7m.mat``. That
group is the label. Files with other names are left out.
"""

from __future__ import annotations

import csv
import os
import re
import sys
from pathlib import Path

from gaitkeeper_client.vault.cohort import COLUMNS

_NAME = re.compile(r"(?P<person>(?P<label>control|park|hunt|als)\d+)m?")


def main(folder: Path, output: Path) -> int:
    """Write the cohort; give the number of its recordings."""
    rows = 0
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for path in sorted(folder.glob("*.mat")):
            if found := _NAME.fullmatch(path.stem):
                place = os.path.relpath(path.resolve(), output.resolve().parent)
                writer.writerow({"patient": found["person"], "path": place, "label": found["label"]})
                rows += 1
    return rows


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(f"{main(Path(sys.argv[1]), Path(sys.argv[2]))} recordings")
