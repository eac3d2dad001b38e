"""Measure, print a table, and write ``bench/latest.json`` and the table in ``docs/bench.md``.

Arguments: names of measurements; none are all but :data:`LONG`. What was not measured this time stays as it was.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from rich.console import Console
from rich.table import Table
from tests.bench import page

MEASUREMENTS = ("dp_step", "dplstm", "analyze_speed", "memory", "round_overhead", "secure_round", "conductor", "sites")
LONG = ("memory_ten_minutes",)
"""Taken only where they are named: each takes as long as all the others together."""


def main(names: Sequence[str]) -> int:
    """Take the measurements in turn. Exit status 1 where one failed, 2 for an unknown name."""
    known = MEASUREMENTS + LONG
    if unknown := [name for name in names if name not in known]:
        print(f"no such measurement: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    errors = Console(stderr=True)
    failed = False
    table = Table("name", "value", "goal", "load", "absolute, here and now", box=None, pad_edge=False)
    for name in names or MEASUREMENTS:
        errors.print(f"[dim]{name} ...[/dim]")
        load = os.getloadavg()[0]
        try:
            measured = import_module(f"tests.bench.{name}").measure()
        except Exception as error:  # the other measurements are worth having all the same
            errors.print(f"{name} failed: {error}", markup=False)
            failed = True
            continue
        page.keep(measured, load)  # at once: who interrupts a long run keeps what is there
        for result in measured:
            value = f"{result.value:.2f}" + (f" {result.unit}" if result.unit != "ratio" else "")
            errors.print(f"{result.name}: {value}, {result.detail}", markup=False, highlight=False)
            table.add_row(result.name, value, result.goal, f"{load:.1f}", result.detail)
    Console(width=max(120, errors.width)).print(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
