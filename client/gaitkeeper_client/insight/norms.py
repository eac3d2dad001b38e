"""Published ranges of parameters, from ``norms.toml``; the curves are those of ``gait.norms``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from gaitkeeper_client.gait.norms import NormCurve, Source, curve_origin, norm_curve, speed_band

__all__ = ["NormCurve", "NormRange", "Sex", "Source", "curve_origin", "norm_curve", "norm_range", "speed_band"]

Sex = Literal["f", "m", ""]


@dataclass(frozen=True, slots=True)
class NormRange:
    """Where about 95 % of healthy adults lie; ``low`` or ``high`` is None for a one-sided range.

    ``who``: the people it holds for, in words.
    """

    low: float | None
    high: float | None
    who: str
    source: Source


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((resources.files("gaitkeeper_client.insight") / "norms.toml").read_text("utf-8"))


def norm_range(parameter: str, *, sex: str = "", age: float | None = None) -> NormRange | None:
    """The range of a parameter for this sex and age, the union over what is not known; None without a norm."""
    wanted = sex.strip().lower()[:1]
    rows = [
        row
        for row in _table()["ranges"]
        if parameter in row["parameters"]
        and (wanted not in ("f", "m") or row["sex"] in (wanted, ""))
        and (age is None or row["age"][0] <= age < row["age"][1] + 1)
    ]
    if not rows:
        return None
    lows = [row["parameters"][parameter][0] for row in rows]
    highs = [row["parameters"][parameter][1] for row in rows]
    source = _table()["sources"][rows[0]["source"]]
    return NormRange(
        low=None if _open(lows) else min(lows),
        high=None if _open(highs) else max(highs),
        who=_who(rows, wanted, age),
        source=Source(source["text"], source["doi"]),
    )


def _open(limits: list[float]) -> bool:
    return any(limit in (float("inf"), float("-inf")) for limit in limits)


def _who(rows: list[dict[str, Any]], wanted: str, age: float | None) -> str:
    people = {"f": "women", "m": "men"}.get(wanted, "adults") if any(row["sex"] for row in rows) else "adults"
    low, high = min(row["age"][0] for row in rows), max(row["age"][1] for row in rows)
    return f"{people} {low} to {high}"
