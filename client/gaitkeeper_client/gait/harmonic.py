"""How alike successive steps are: the harmonic ratio of the mid-hip's acceleration, stride by stride.

A stride is two steps. What repeats with every step is in the even harmonics of the stride's frequency (vertical and
forward), what differs between the steps in the odd ones; sideways it is the other way round (Menz, Lord & Fitzpatrick
2003, doi:10.1016/S0966-6362(02)00159-5). Accelerations come from positions here, of which those up to 8 Hz count: fewer
harmonics than an accelerometer's twenty, so that values of accelerometers cannot be compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gaitkeeper_client.gait.analysis import Cycle, Parameter
from gaitkeeper_client.gait.clean import lost_by_smoothing
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.measure import BySide, mean, withheld
from gaitkeeper_client.gait.refusals import refused
from gaitkeeper_client.gait.walk import Walk
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import midpoint

SAMPLES = 128
MOST_HARMONICS = 20
HIGHEST_HZ = 8.0
"""Harmonics above are not counted: smoothing lets through less and less of them, and noise grows with their square."""
LARGEST_NOISE_SHARE = 0.25
"""Of the lesser sum of harmonics: beyond, the ratio tells of the keypoints and not of the walker."""

AXES: dict[str, tuple[int, bool]] = {
    "harmonic_ratio_vertical": (2, True),
    "harmonic_ratio_forward": (0, True),
    "harmonic_ratio_sideways": (1, False),
}
"""By parameter: the axis (forward, left, up), and whether steps are alike in its even harmonics."""


def harmonic_parameters(walks: Sequence[Walk]) -> dict[str, Parameter]:
    """The ratio of each axis that the points have."""
    return {name: _ratio(name, walks) for name in AXES}


def _ratio(name: str, walks: Sequence[Walk]) -> Parameter:
    row = DEFINITIONS[name]
    if why := withheld(row, walks):
        return why
    axis, even = AXES[name]
    ratios, noisy = [], []
    for walk in walks:
        track = _pelvis(walk, axis)
        acceleration = _second_derivative(walk.bout.time_s, track)
        for cycle in walk.cycles:
            sums = harmonic_sums(walk.bout.time_s, acceleration, cycle)
            if sums is None or min(sums) <= 0.0:
                continue
            more, less = sums if even else sums[::-1]
            ratios.append((cycle.side, more / less))
            noisy.append(_noise_sum(walk, cycle) / less)
    if noisy and float(np.median(noisy)) > LARGEST_NOISE_SHARE:
        detail = say("why.noise_of_harmonics", share=100.0 * float(np.median(noisy)))
        return refused(row.unit, "too-noisy", what=row.title, detail=detail)
    return mean(name, walks, BySide.of(ratios))


def _pelvis(walk: Walk, axis: int) -> FloatArray:
    if walk.space is not None:
        track: FloatArray = midpoint(walk.space, "hip")[:, axis]
        return track
    flat: FloatArray = midpoint(walk.bout.points, "hip")[:, {0: 0, 2: 1}[axis]]
    return flat


def _second_derivative(time_s: FloatArray, track: FloatArray) -> FloatArray:
    step = float(np.median(np.diff(time_s)))
    out = np.full_like(track, np.nan)
    out[1:-1] = (track[2:] - 2.0 * track[1:-1] + track[:-2]) / step**2
    return out


def harmonic_sums(time_s: FloatArray, acceleration: FloatArray, cycle: Cycle) -> tuple[float, float] | None:
    """Sums of the amplitudes of the even and of the odd harmonics of one stride, up to 8 Hz, as many of each.

    None where the stride has a gap.
    """
    at = cycle.start_s + cycle.duration_s * np.arange(SAMPLES) / SAMPLES
    if at[0] < time_s[0] or at[-1] > time_s[-1]:
        return None
    curve = np.interp(at, time_s, acceleration)
    if not np.isfinite(curve).all():
        return None
    amplitude = 2.0 / SAMPLES * np.abs(np.fft.rfft(curve - curve.mean()))
    pairs = _pairs(cycle)
    return float(amplitude[2 : 2 * pairs + 1 : 2].sum()), float(amplitude[1 : 2 * pairs : 2].sum())


def _pairs(cycle: Cycle) -> int:
    """How many odd and even harmonics each are counted."""
    return max(1, min(MOST_HARMONICS, int(HIGHEST_HZ * cycle.duration_s)) // 2)


def _noise_sum(walk: Walk, cycle: Cycle) -> float:
    """What white noise of the two hips adds to the sum of as many harmonics, on average (Rayleigh's mean)."""
    if not math.isfinite(walk.noise):
        return 0.0
    hip = walk.noise / math.sqrt(2.0) * (1.0 if walk.space is None else (walk.metres or 1.0))
    samples = max(2.0, cycle.duration_s * walk.bout.rate_hz)
    frequencies = np.arange(1, 2 * _pairs(cycle), 2) / cycle.duration_s
    gain = 1.0 / lost_by_smoothing(frequencies, walk.bout.rate_hz)
    return float(hip * math.sqrt(math.pi / samples) * ((2.0 * math.pi * frequencies) ** 2 * gain).sum())
