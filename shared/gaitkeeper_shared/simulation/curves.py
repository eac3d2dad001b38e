"""Normal curves of walking, read from ``data/normal_walking.toml`` and interpolated over the gait cycle."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from gaitkeeper_shared.arrays import FloatArray

Curve = Callable[[FloatArray], FloatArray]
"""Degrees at each phase of the gait cycle; the phase runs from 0 (foot strike) to 1 (next foot strike)."""


@dataclass(frozen=True, slots=True)
class NormalCurves:
    """Sagittal segment and joint angles of normal walking over the cycle of one leg.

    ``thigh``: against the vertical, knee forward positive. ``knee``: flexion. ``foot_pitch``: sole against the floor,
    toes up positive. ``foot_off``: phase of foot off. ``sources``: where the control points come from.
    """

    thigh: Curve
    knee: Curve
    foot_pitch: Curve
    foot_off: float
    sources: tuple[str, ...]


def _periodic(percent: list[float], degrees: list[float]) -> Curve:
    knots = np.array([*percent, 100.0]) / 100.0
    spline = CubicSpline(knots, np.array([*degrees, degrees[0]]), bc_type="periodic")

    def curve(phase: FloatArray) -> FloatArray:
        return np.asarray(spline(phase), dtype=np.float64)

    return curve


def _monotone(percent: list[float], degrees: list[float]) -> Curve:
    # Keeps the foot exactly flat between the heel rocker and the forefoot rocker, where a cubic spline would ripple.
    spline = PchipInterpolator(np.array(percent) / 100.0, np.array(degrees))

    def curve(phase: FloatArray) -> FloatArray:
        return np.asarray(spline(np.clip(phase, 0.0, 1.0)), dtype=np.float64)

    return curve


@cache
def normal_curves() -> NormalCurves:
    """The normal curves of the package's data file."""
    file = resources.files("gaitkeeper_shared.simulation") / "data" / "normal_walking.toml"
    table = tomllib.loads(file.read_text("utf-8"))
    return NormalCurves(
        thigh=_periodic(**table["thigh"]),
        knee=_periodic(**table["knee"]),
        foot_pitch=_monotone(**table["foot_pitch"]),
        foot_off=float(table["foot_off_percent"]) / 100.0,
        sources=tuple(table["sources"]),
    )
