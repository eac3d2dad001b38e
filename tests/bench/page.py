"""What was measured, kept in ``bench/latest.json`` and told in ``docs/bench.md``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tests.bench.result import Result
from tests.measured import ROOT, commit

from gaitkeeper_shared.durable import write_durably

LATEST, PAGE = ROOT / "bench" / "latest.json", ROOT / "docs" / "bench.md"
_BEGIN, _END = "<!-- measured -->", "<!-- end of measured -->"


def keep(results: Sequence[Result], load: float) -> None:
    """Put ``results`` in the place of older ones of the same names. ``load``: of the machine before the measurement."""
    entries: dict[str, dict[str, Any]] = json.loads(LATEST.read_text("utf-8")) if LATEST.exists() else {}
    at, present = datetime.now(UTC).strftime("%Y-%m-%d %H:%M"), commit()
    for item in results:
        entries[item.name] = {
            "value": round(item.value, 4),
            "unit": item.unit,
            "what": item.what,
            "detail": item.detail,
            "load": round(load, 1),
            "at": at,
            "commit": present,
        }
    LATEST.parent.mkdir(exist_ok=True)
    write_durably(LATEST, (json.dumps(entries, indent=2) + "\n").encode(), mode=0o644)
    write(entries)


def write(entries: dict[str, dict[str, Any]]) -> None:
    """Write the table of the page anew; rows of measurements that the file beside does not know stay: it is not kept
    with the sources, and a fresh copy of these has none."""
    lines = ["| name | value | absolute, there and then | load before | at, UTC | commit |", "| --- |" + " --- |" * 5]
    for name, entry in entries.items():
        if "commit" not in entry:  # nobody knows of when that is
            continue
        value = f"{entry['value']:.2f}" + ("" if entry["unit"] == "ratio" else f" {entry['unit']}")
        rest = " | ".join(str(entry.get(key, "")) for key in ("detail", "load", "at", "commit"))
        lines.append(f"| `{name}` | {value} | {rest} |")
    before, _, rest = PAGE.read_text("utf-8").partition(_BEGIN)
    rows = [line for line in rest.partition(_END)[0].splitlines() if line.startswith("| `")]
    lines += [row for row in rows if row.split("`")[1] not in entries]
    text = "\n".join([f"{before}{_BEGIN}", *lines, _END]) + rest.partition(_END)[2]
    write_durably(PAGE, text.encode(), mode=0o644)
