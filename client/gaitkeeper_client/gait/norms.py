"""Published joint curves of unimpaired walkers by speed, from ``norm_curves.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.arrays import FloatArray


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
class CurveOrigin:
    """Where the curves come from: the publication, the people measured, how the numbers were taken over and checked."""

    source: Source
    population: str
    note: str
    licence: str
    checked: str


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((resources.files("gaitkeeper_client.gait") / "norm_curves.toml").read_text("utf-8"))


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


def curve_origin() -> CurveOrigin:
    """Where the curves come from."""
    row = _table()["curves"]
    source = Source(row["source"], row["doi"])
    return CurveOrigin(source, say("norms.curve_people"), say("norms.curve_note"), row["licence"], row["checked"])
