"""Which direction of a change is better, and the published day-to-day error of each parameter, from ``change.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

Better = Literal["higher", "lower", "equal", "norm", "none"]


@dataclass(frozen=True, slots=True)
class ErrorSource:
    """Where a published error comes from; ``checked``: how much of it was read."""

    text: str
    where: str
    checked: str


@dataclass(frozen=True, slots=True)
class ChangeRule:
    """One row. ``by_speed``: (walking speed below, SEM) pairs, in order; ``as_for``: whose SEM stands in."""

    name: str
    better: Better
    target: float | None = None
    sem: float | None = None
    sem_percent: float | None = None
    by_speed: tuple[tuple[float, float], ...] = ()
    as_for: str = ""
    source: ErrorSource | None = None
    shown: bool = False

    def day_sd(self, value: float, speed_m_s: float | None) -> float | None:
        """The published standard error of measurement for a patient with this value; None where there is none.

        Where it depends on the walking speed and that is not known, the largest is taken.
        """
        if self.sem is not None:
            return self.sem
        if self.sem_percent is not None:
            return abs(value) * self.sem_percent / 100.0
        if self.by_speed:
            fitting = [sem for below, sem in self.by_speed if speed_m_s is not None and speed_m_s < below]
            return fitting[0] if fitting else max(sem for _, sem in self.by_speed)
        return None


@cache
def change_rules() -> Mapping[str, ChangeRule]:
    """The table by parameter, in the order in which the page shows it."""
    table = tomllib.loads((resources.files("gaitkeeper_client.followup") / "change.toml").read_text("utf-8"))
    sources = {name: ErrorSource(**row) for name, row in table["sources"].items()}
    rules = {}
    for row in table["parameter"]:
        values = dict(row)
        by_speed = tuple((float(below), float(sem)) for below, sem in values.pop("sem_by_speed", ()))
        source = sources[values.pop("source")] if "source" in values else None
        rules[row["name"]] = ChangeRule(**values, by_speed=by_speed, source=source)
    return rules
