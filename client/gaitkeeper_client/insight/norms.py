"""Published reference values, from ``norms.toml``: curves and ranges."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

import numpy as np

from gaitkeeper_shared.arrays import FloatArray

Sex = Literal["f", "m", ""]


@dataclass(frozen=True, slots=True)
class NormCurve:
    """Mean and standard deviation between people of one joint angle: (101,) degrees over 0..100 % of the cycle."""

    mean: FloatArray
    sd: FloatArray


@dataclass(frozen=True, slots=True)
class Source:
    """A publication."""

    text: str
    doi: str


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


def speed_band(dimensionless: float | None) -> str:
    """The band of curves for a speed v / sqrt(g leg length); ``free`` where the speed is not known."""
    if dimensionless is None or not np.isfinite(dimensionless):
        return "free"
    below: dict[str, float] = _table()["curves"]["below"]
    return next(band for band, limit in below.items() if dimensionless < limit)


@cache
def norm_curve(angle: str, band: str = "free") -> NormCurve | None:
    """The norm of an angle (``knee_flexion``) for a speed band, None where none is published in our definition."""
    curves = _table()["curves"]
    if angle not in curves[band]:
        return None
    percent = np.array([*curves["percent"], 100.0])
    at = np.linspace(0.0, 100.0, 101)
    row = curves[band][angle]
    mean, sd = (np.array([*row[key], row[key][0]], dtype=np.float64) for key in ("mean", "sd"))
    return NormCurve(np.interp(at, percent, mean), np.interp(at, percent, sd))


def curve_source() -> tuple[Source, str, str]:
    """The publication of the curves, the people measured, and how the numbers were taken over."""
    curves = _table()["curves"]
    return Source(curves["source"], curves["doi"]), curves["population"], curves["note"]


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
