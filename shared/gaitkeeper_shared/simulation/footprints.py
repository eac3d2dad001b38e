"""Footprints first: where and when each foot is on the floor. Everything else of a walk follows from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import Side
from gaitkeeper_shared.simulation.disorders import GaitPattern
from gaitkeeper_shared.skeleton import other_side

LEAD_STEPS = 5
"""Steps planned before time zero and after the end, so that every instant in between lies inside two full strides."""

_SHORTEST_DOUBLE_SUPPORT = 0.03
"""Of the stride: walking is never without both feet on the floor at each change of legs."""


@dataclass(frozen=True, slots=True)
class SidePrints:
    """One foot's prints in order: ``strike_s``, ``off_s`` (N,) seconds; ``heel`` (N, 2) metres, x forward, y left."""

    strike_s: FloatArray
    off_s: FloatArray
    heel: FloatArray


@dataclass(frozen=True, slots=True)
class Footprints:
    """All footprints of a walk along +x. ``strike_s``, ``heel``: (M,), (M, 2) of both feet in order of time."""

    left: SidePrints
    right: SidePrints
    strike_s: FloatArray
    heel: FloatArray
    first_is_left: bool

    def side(self, side: Side) -> SidePrints:
        """The prints of one foot."""
        return self.left if side == "left" else self.right


def plan_footprints(pattern: GaitPattern, duration_s: float, random: np.random.Generator | None) -> Footprints:
    """Footprints that cover 0 to ``duration_s``; ``random`` None gives the exactly periodic mean pattern."""
    steps = int(np.ceil(duration_s * pattern.cadence / 60.0 * 1.3)) + 2 * LEAD_STEPS + 2
    noise = _Noise(random)
    first: Side = "left" if random is None or random.random() < 0.5 else "right"
    sides: list[Side] = [first]
    while len(sides) < steps:
        sides.append("left" if sides[-1] == "right" else "right")
    strike, heel = _place(pattern, sides, noise)
    # Time zero falls at a random phase of a step, as a recording's start does.
    start = strike[LEAD_STEPS] - (
        0.0 if random is None else random.random() * (strike[LEAD_STEPS] - strike[LEAD_STEPS - 1])
    )
    strike = strike - start
    heel[:, 0] -= heel[LEAD_STEPS, 0]
    off = _foot_offs(pattern, sides, strike, noise)
    is_left = np.array([side == "left" for side in sides])

    def pick(mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> SidePrints:
        index = np.flatnonzero(mask & np.isfinite(off))
        return SidePrints(strike[index], off[index], heel[index])

    return Footprints(pick(is_left), pick(~is_left), strike, heel, first == "left")


class _Noise:
    """Normal deviates cut at 2 standard deviations; zeros without a generator."""

    def __init__(self, random: np.random.Generator | None) -> None:
        self._random = random

    def __call__(self, spread: float) -> float:
        return 0.0 if self._random is None else spread * float(np.clip(self._random.normal(), -2.0, 2.0))


def _place(pattern: GaitPattern, sides: list[Side], noise: _Noise) -> tuple[FloatArray, FloatArray]:
    strike, heel = np.zeros(len(sides)), np.zeros((len(sides), 2))
    right_share = pattern.right_strike_phase
    for index, side in enumerate(sides):
        lateral = 0.5 * pattern.step_width if side == "left" else -0.5 * pattern.step_width
        heel[index, 1] = lateral + noise(pattern.step_width_sd)
        if index == 0:
            continue
        # Two independent steps make a stride: their deviations are larger by sqrt(2).
        share = right_share if side == "right" else 1.0 - right_share
        strike[index] = strike[index - 1] + pattern.stride_time * share * (
            1.0 + noise(np.sqrt(2) * pattern.stride_time_cv)
        )
        length = pattern.step_length * pattern.limb(side).step_share * (1.0 + noise(pattern.step_length_cv))
        heel[index, 0] = heel[index - 1, 0] + length
    return strike, heel


def _foot_offs(pattern: GaitPattern, sides: list[Side], strike: FloatArray, noise: _Noise) -> FloatArray:
    off = np.full(len(sides), np.nan)
    for index in range(len(sides) - 2):
        stride = strike[index + 2] - strike[index]
        planned = strike[index] + stride * (pattern.limb(sides[index]).stance + noise(0.25 * pattern.stride_time_cv))
        earliest = strike[index + 1] + _SHORTEST_DOUBLE_SUPPORT * stride
        latest = strike[index + 2] - 0.25 * stride
        off[index] = float(np.clip(planned, earliest, latest))
    return off


def side_of(footprints: Footprints, index: int) -> Side:
    """Which foot made the print ``index`` of the common list."""
    first: Side = "left" if footprints.first_is_left else "right"
    return first if index % 2 == 0 else "left" if other_side(first) == "left" else "right"
