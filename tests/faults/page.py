"""``docs/faults.md``, from what the matrix came to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.__main__ import Outcome

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "faults.md"
_HEAD = Path(__file__).with_name("head.md")
_MARKS = {"as expected": "ok", "WRONG": "**WRONG**", "not possible here": "not run"}


def write_page(outcomes: Sequence[Outcome], of: int) -> None:
    """Write the page: the head, a count, and a table for each group. ``of``: how many cells the matrix has."""
    good = sum(outcome.verdict == "as expected" for outcome in outcomes)
    wrong = sum(outcome.verdict == "WRONG" for outcome in outcomes)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines = [
        _HEAD.read_text("utf-8").rstrip(),
        "",
        f"Run on {moment} at commit {commit.stdout.strip() or 'unknown'}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[1]:.1f}: {len(outcomes)} of {of} cells, {good} as expected, {wrong} not, "
        f"{len(outcomes) - good - wrong} not possible there, {sum(o.seconds for o in outcomes) / 60:.0f} min.",
    ]
    for group in dict.fromkeys(outcome.cell.group for outcome in outcomes):
        lines += ["", f"## {group}", "", "| fault | moment | outcome | | s |", "| --- | --- | --- | --- | --- |"]
        for outcome in (one for one in outcomes if one.cell.group == group):
            cell = outcome.cell
            measured = outcome.measured.replace("|", "/")
            if outcome.verdict == "WRONG":
                measured += f" (expected: {' or '.join(cell.expected)})"
            mark = _MARKS[outcome.verdict]
            lines.append(f"| {cell.fault} | {cell.moment} | {measured} | {mark} | {outcome.seconds:.0f} |")
    PAGE.write_text("\n".join(lines) + "\n", "utf-8")
