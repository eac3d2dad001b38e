"""What a measurement gives."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """One number of ``bench/latest.json``.

    ``unit``: ``ratio`` or ``s``. ``goal``: as text, such as ``<= 1.3``; empty where there is none. ``detail``: the
    absolute numbers behind it, for the table only, as they are those of one machine at one moment.
    """

    name: str
    value: float
    unit: str
    what: str
    goal: str = ""
    detail: str = ""


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Median of the ratios of runs made one right after the other: a busy machine slows both of a pair."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))
