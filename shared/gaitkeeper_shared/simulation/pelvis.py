"""The pelvis' path: a steady forward course over the footprints, plus the oscillations that let the planted legs follow
the normal curves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import Side
from gaitkeeper_shared.simulation.anatomy import Anatomy
from gaitkeeper_shared.simulation.disorders import GaitPattern
from gaitkeeper_shared.simulation.footprints import Footprints

HARMONICS = 5
"""Coefficients per direction: a constant, and cosine and sine at once and twice the stride's frequency."""


@dataclass(frozen=True, slots=True)
class PelvisPath:
    """Position and attitude of the pelvis over time.

    ``course``, ``midline``: forward and sideways course in metres over seconds. ``phase``: strides since the first left
    strike over seconds. ``forward``, ``height``: harmonic coefficients, metres. ``lowering``: metres over seconds by
    which the pelvis gives way where a leg would otherwise be too short for its footprint.
    """

    anatomy: Anatomy
    pattern: GaitPattern
    course: CubicSpline
    midline: CubicSpline
    phase: PchipInterpolator
    forward: FloatArray
    height: FloatArray
    lowering: CubicSpline | None

    def centre(self, time_s: FloatArray) -> FloatArray:
        """(T, 3) middle of the hip joints."""
        turn = 2.0 * np.pi * self.phase(time_s)
        basis = np.stack([np.ones_like(turn), np.cos(turn), np.sin(turn), np.cos(2 * turn), np.sin(2 * turn)], axis=-1)
        x = self.course(time_s) + basis @ self.forward
        # The body leans over the standing leg: to the left in the middle of left stance (about phase 0.3).
        y = self.midline(time_s) + self.pattern.sway_m * np.sin(turn - 0.3)
        z = basis @ self.height
        if self.lowering is not None:
            z = z - self.lowering(time_s)
        return np.stack([x, y, z], axis=-1)

    def hip(self, side: Side, time_s: FloatArray) -> FloatArray:
        """(T, 3) one hip joint, from the pelvis' rotation (forward with its own foot strike) and obliquity."""
        turn = 2.0 * np.pi * self.phase(time_s)
        sign = 1.0 if side == "left" else -1.0
        rotation = np.radians(self.pattern.pelvic_rotation) * np.cos(turn)
        obliquity = np.radians(self._obliquity_deg(turn))
        half = self.anatomy.hip_half_width
        offset = np.stack(
            [
                sign * half * np.sin(rotation),
                sign * half * np.cos(rotation) * np.cos(obliquity),
                sign * half * np.sin(obliquity),
            ],
            axis=-1,
        )
        return np.asarray(self.centre(time_s) + offset)

    def _obliquity_deg(self, turn: FloatArray) -> FloatArray:
        # Positive lifts the left hip. Each hip drops while its leg swings (left: around phase 0.8), or hikes.
        left_swing = np.clip(np.cos(turn - 2 * np.pi * 0.8), 0.0, None) ** 2
        right_swing = np.clip(np.cos(turn - 2 * np.pi * 0.3), 0.0, None) ** 2
        return self.pattern.hip_hike_right * right_swing - self.pattern.hip_hike_left * left_swing

    def with_oscillation(self, coefficients: FloatArray) -> PelvisPath:
        """The same path with other harmonics: ``HARMONICS`` forward, then ``HARMONICS`` of height, metres."""
        return replace(self, forward=coefficients[:HARMONICS], height=coefficients[HARMONICS:])


def steady_path(anatomy: Anatomy, pattern: GaitPattern, prints: Footprints) -> PelvisPath:
    """The course over the footprints, without oscillations yet."""
    strike, heel = prints.strike_s, prints.heel
    # Means over two steps: long and short steps of an asymmetric walk make one steady course.
    between_feet = 0.5 * (heel[1:] + heel[:-1])
    times = 0.5 * (strike[2:] + strike[1:-1])
    points = 0.5 * (between_feet[1:] + between_feet[:-1])
    left_first = 0 if prints.first_is_left else 1
    right_phase = pattern.right_strike_phase
    index = np.arange(strike.size) - left_first
    phases = np.floor(index / 2) + np.where(index % 2 == 0, 0.0, right_phase)
    return PelvisPath(
        anatomy=anatomy,
        pattern=pattern,
        course=CubicSpline(times, points[:, 0] + anatomy.ankle_forward),
        midline=CubicSpline(times, points[:, 1]),
        phase=PchipInterpolator(strike, phases),
        forward=np.zeros(HARMONICS),
        height=np.array([0.97 * anatomy.leg + anatomy.ankle_height, 0.0, 0.0, 0.0, 0.0]),
        lowering=None,
    )
