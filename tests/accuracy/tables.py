"""What every table of the page shares."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gaitkeeper_client.validation.validate import Validation, summary

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("GAITKEEPER_DATA", ROOT.parent / "shared/data"))
EVENT_COLUMNS = ("n", "found", "false", "f1_50ms", "bias_ms", "mae_ms", "p95_ms")
ANGLE_COLUMNS = ("cycles", "rmse_deg", "rmse_without_offset_deg", "range_difference_deg")


def section(title: str, done: Sequence[Validation], *, angles: bool = True) -> str:
    """A heading, the recordings' names, and one table of events and one of angles over all of them."""
    document = summary(done)
    kinds = [[kind, *(cell(document[kind][key]) for key in EVENT_COLUMNS)] for kind in ("foot_strike", "foot_off")]
    text = f"## {title}\n\n{len(done)} recordings: {', '.join(sorted(one.name for one in done))}.\n\n"
    text += table(("event", *EVENT_COLUMNS), kinds)
    if angles and document["angles"]:
        rows = [[name, *(cell(row[key]) for key in ANGLE_COLUMNS)] for name, row in document["angles"].items()]
        text += "\n" + table(("angle", *ANGLE_COLUMNS), rows)
    return text


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def cell(value: Any) -> str:
    """A number as the page writes it; a dash where there is none."""
    return "-" if value is None else f"{value:g}"
