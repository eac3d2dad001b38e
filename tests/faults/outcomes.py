"""The cells of the matrix and what became of them, kept in ``latest.json`` so that cells may be run one by one."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from tests.measured import commit

from gaitkeeper_shared.durable import write_durably

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LATEST = HERE / "latest.json"


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault at one moment. ``does``: the function and its arguments. ``expected``: any of these ends."""

    group: str
    fault: str
    moment: str
    does: tuple[str, ...]
    expected: tuple[str, ...]

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return " ".join(self.does)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a cell came to. ``verdict``: as expected, WRONG, or not possible here. ``load``: of the machine, over five
    minutes. ``commit``: what was run."""

    cell: str
    measured: str
    verdict: str
    seconds: float
    at: str
    commit: str
    load: float


def cells() -> tuple[Cell, ...]:
    """The matrix, in the order of its file."""
    table = tomllib.loads((HERE / "matrix.toml").read_text("utf-8"))
    found = []
    for entry in (*table["cell"], *table["product"]):
        faults = entry["fault"] if isinstance(entry["fault"], dict) else {"": entry["fault"]}
        moments = entry["moment"] if isinstance(entry["moment"], dict) else {"": entry["moment"]}
        for (fault, fault_words), (moment, moment_words) in product(faults.items(), moments.items()):
            does = (*entry["does"].split(), *(word for word in (fault, moment) if word))
            found.append(Cell(entry["group"], fault_words, moment_words, does, tuple(entry["expected"])))
    return tuple(found)


def outcome(cell: Cell, measured: str, verdict: str, seconds: float) -> Outcome:
    """An outcome of now, here."""
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    return Outcome(cell.name, measured, verdict, seconds, at, commit(), os.getloadavg()[1])


def outcomes() -> dict[str, Outcome]:
    """The newest outcome of every cell that was run and is still in the matrix, by the cell's name."""
    try:
        rows = json.loads(LATEST.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    known = {cell.name for cell in cells()}
    return {row["cell"]: Outcome(**row) for row in rows if row["cell"] in known}


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Nobody else changes what is kept here, or the page, meanwhile."""
    lock = os.open(HERE, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def keep(fresh: Sequence[Outcome]) -> None:
    """Put outcomes in the place of older ones of the same cells. Two processes may run different cells."""
    with alone():
        merged = outcomes() | {item.cell: item for item in fresh}
        ordered = [merged[cell.name] for cell in cells() if cell.name in merged]
        text = json.dumps([asdict(item) for item in ordered], indent=1) + "\n"
        write_durably(LATEST, text.encode(), mode=0o644)
