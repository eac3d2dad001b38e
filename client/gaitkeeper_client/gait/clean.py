"""From what a pose network delivers to evenly sampled, smooth tracks, with a mask of what is not measured.

Steps, in this order: legs between two readings (:mod:`blends`) and legs that are none (:mod:`misplaced`) are dropped;
left and right legs that were taken for one another are put back; single samples that jump are
dropped (Hampel filter, Pearson et al. 2016, doi:10.1186/s13634-016-0383-6); gaps are filled up to
:data:`LONGEST_FILL_S` and the true time stamps brought to an even rate (monotone cubic interpolation); tracks are
smoothed by a zero-lag fourth-order Butterworth low-pass (Winter, Biomechanics and Motor Control, 2009,
doi:10.1002/9780470549148). Longer gaps stay gaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import median_filter
from scipy.signal import butter, sosfiltfilt

from gaitkeeper_client.gait.blends import without_blends
from gaitkeeper_client.gait.misplaced import without_misplaced
from gaitkeeper_client.gait.swaps import repair_swaps
from gaitkeeper_shared.arrays import BoolArray, FloatArray
from gaitkeeper_shared.kinematics import leg_length
from gaitkeeper_shared.recording import JointTrajectories

LOWEST_CONFIDENCE = 0.1
"""Points below are taken as not seen; a far leg behind a near one has about 0.3 and is still right."""
LONGEST_FILL_S = 0.25
"""A fifth of a stride: a longer gap could hide an event."""
HAMPEL_HALF_WIDTH = 3
HAMPEL_SIGMAS = 4.0
END_LENIENCE = 3.0
"""By how much farther an image track's first and last sample may be off: a foot's acceleration passes for it there."""
LEAST_JUMP = 0.02
"""In leg lengths, 16 mm, of a marker in space: cameras of a laboratory see better, and smoothing takes what is less."""
HIGHEST_CUTOFF_HZ = 10.0
"""Low-pass for positions. Walking has its energy below 6 Hz (Winter 2009); at 10 the swinging knee keeps its peak."""
CUTOFF_SHARE = 1.0 / 3.0
"""Of the sample rate, at most: what differs from every sample to the next (:mod:`~gaitkeeper_client.pose.mirrored`)
has half the rate, and must go."""
PAIR_JUMP = 0.16
"""Leg lengths by which two samples in a row are off their neighbours' way together, at :data:`PAIR_RATE_HZ` and more.
No joint of a walker or of somebody who jogs turns back so sharply; of fewer samples a second a heel comes near it, by
the square of the time between them."""
PAIR_RATE_HZ = 30.0
TWO_PASSES = 0.802
"""Where two passes of a second-order Butterworth have -3 dB, in cut-offs of one (Winter 2009)."""
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True)
class CleanTracks:
    """``tracks``: evenly sampled and smooth; ``filled``: (T, J) true where a sample was not measured but filled.

    ``noise``: median residual between measured and smooth positions, in the positions' unit.
    ``swapped_share``: share of samples whose legs were exchanged; ``seen_share``: of samples with both legs seen.
    """

    tracks: JointTrajectories
    filled: BoolArray
    noise: float
    swapped_share: float
    seen_share: float
    longest_gap_s: float


def clean(raw: JointTrajectories) -> CleanTracks:
    """Clean the tracks of one person; see the module."""
    positions = np.where(raw.confidence[..., None] >= LOWEST_CONFIDENCE, raw.positions, np.nan)
    positions = without_misplaced(without_blends(positions, raw.sample_rate_hz), raw.sample_rate_hz)
    positions, swapped = repair_swaps(positions, raw.sample_rate_hz)
    positions = _without_outliers(positions, raw.sample_rate_hz)
    rate = raw.sample_rate_hz
    count = int(np.floor((raw.time_s[-1] - raw.time_s[0]) * rate + 1e-6)) + 1
    time_s = raw.time_s[0] + np.arange(count) / rate
    even = resampled(raw.time_s, positions, time_s)
    confidence = np.clip(resampled(raw.time_s, raw.confidence[..., None], time_s)[..., 0], 0.0, 1.0)
    known = np.isfinite(positions[..., 0])
    filled = np.isfinite(even[..., 0]) & ~known[nearest_samples(raw, time_s)]
    smooth = low_pass(even, rate, cutoff_hz(rate))
    residual = np.abs(even - smooth)
    noise = float(np.nanmedian(residual)) if np.isfinite(residual).any() else float("nan")
    tracks = JointTrajectories(time_s, smooth, raw.unit, np.nan_to_num(confidence))
    legs: BoolArray = np.all(known[:, _LEGS], axis=1)
    return CleanTracks(tracks, filled, noise, float(swapped.mean()), float(legs.mean()), _longest_gap(raw.time_s, legs))


_LEGS = [7, 8, 9, 10, 11, 12]  # hips, knees and ankles in the order of JOINTS


def nearest_samples(raw: JointTrajectories, time_s: FloatArray) -> NDArray[np.intp]:
    """(T,) numbers of the measured samples that lie next to evenly spaced times."""
    return np.clip(np.searchsorted(raw.time_s, time_s - 0.5 / raw.sample_rate_hz), 0, raw.time_s.size - 1)


def cutoff_hz(rate_hz: float) -> float:
    """Of the low-pass of positions that were sampled at a rate."""
    return min(HIGHEST_CUTOFF_HZ, CUTOFF_SHARE * rate_hz)


def lost_by_smoothing(frequencies: FloatArray, rate_hz: float) -> FloatArray:
    """How many times a movement of each frequency was larger before positions sampled at a rate were smoothed."""
    lost: FloatArray = 1.0 + (frequencies / (cutoff_hz(rate_hz) / TWO_PASSES)) ** 4
    return lost


def low_pass(positions: FloatArray, rate_hz: float, cutoff_hz: float) -> FloatArray:
    """Zero-lag Butterworth along the first axis, each stretch without NaN by itself; short ones stay as they are."""
    if cutoff_hz >= 0.45 * rate_hz:
        return positions
    # Two passes of a second-order filter: the cut-off is raised so that the cascade has -3 dB where it is asked for.
    corrected = min(cutoff_hz / TWO_PASSES, 0.49 * rate_hz)
    sos = butter(2, corrected, fs=rate_hz, output="sos")
    flat = positions.reshape(positions.shape[0], -1)
    out = flat.copy()
    for column in range(flat.shape[1]):
        for start, stop in stretches(np.isfinite(flat[:, column])):
            if stop - start > 9:
                out[start:stop, column] = sosfiltfilt(sos, flat[start:stop, column], padlen=min(9, stop - start - 1))
    return out.reshape(positions.shape)


def stretches(mask: BoolArray) -> list[tuple[int, int]]:
    """(start, stop) of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(start), int(stop)) for start, stop in zip(edges[0::2], edges[1::2], strict=True)]


def _without_outliers(positions: FloatArray, rate_hz: float) -> FloatArray:
    flat = positions.reshape(positions.shape[0], -1)
    out = flat.copy()
    leg = leg_length(positions)
    pair_jump = PAIR_JUMP * leg * max(1.0, PAIR_RATE_HZ / rate_hz) ** 2
    least = np.nan_to_num(LEAST_JUMP * leg) if positions.shape[2] == 3 else 0.0
    for column in range(flat.shape[1]):
        known = np.flatnonzero(np.isfinite(flat[:, column]))
        if known.size < 2 * HAMPEL_HALF_WIDTH + 1:
            continue
        values = flat[known, column]
        width = 2 * HAMPEL_HALF_WIDTH + 1
        # A fast foot is no outlier: what is tested is the distance from the local straight line, not from the median.
        bend = values - median_filter(values, size=3, mode="nearest")
        spread = _MAD_TO_SIGMA * median_filter(np.abs(bend), size=width, mode="nearest")
        floor = _MAD_TO_SIGMA * float(np.median(np.abs(np.diff(values, n=2)))) if values.size > 2 else 0.0
        if positions.shape[2] == 2:
            bend[0], bend[-1] = (_end_bend(values[at]) / END_LENIENCE for at in (_FIRST, _LAST))
        else:
            bend = np.minimum(np.abs(bend), _off_the_track(values))
        limit = np.maximum(HAMPEL_SIGMAS * np.maximum(spread, floor), least)
        off = np.abs(bend) > limit + 1e-9
        if positions.shape[2] == 2:
            off |= np.abs(values - median_filter(values, size=5, mode="nearest")) > pair_jump
        out[known[off], column] = np.nan
    shaped: FloatArray = out.reshape(positions.shape)
    shaped[~np.all(np.isfinite(shaped), axis=-1)] = np.nan
    return shaped


def _off_the_track(values: FloatArray) -> FloatArray:
    """(N,) how far each value is from where its neighbours' way leads, whichever of three ways is the nearest.

    The parabola of two on either side, or the line of two before, or of two behind. A foot that turns back, or that the
    ground stops, is on one of them, and of few samples a second no median of three.
    """
    bend = np.abs(values[2:] - 2.0 * values[1:-1] + values[:-2])
    off = np.full((3, values.size), np.inf)
    off[0, 2:], off[1, :-2] = bend, bend
    off[2, 2:-2] = np.abs(values[2:-2] - (4.0 * (values[1:-3] + values[3:-1]) - values[:-4] - values[4:]) / 6.0)
    nearest: FloatArray = off.min(axis=0)
    return nearest


_FIRST, _LAST = slice(0, 3), slice(None, -4, -1)


def _end_bend(values: FloatArray) -> float:
    """How far the first of three values is from the next one and from the line through both others, the lesser.

    Smoothing holds on to a track's ends: a frame in which a network still looks for the legs would bend what follows.
    """
    return float(min(abs(values[0] - values[1]), abs(values[0] - 2.0 * values[1] + values[2])))


def resampled(from_s: FloatArray, values: FloatArray, to_s: FloatArray) -> FloatArray:
    """(T, ...) values at other times: monotone cubic between what is known, gaps over :data:`LONGEST_FILL_S` stay."""
    flat = values.reshape(values.shape[0], -1)
    out = np.full((to_s.size, flat.shape[1]), np.nan)
    for column in range(flat.shape[1]):
        known = np.flatnonzero(np.isfinite(flat[:, column]))
        if known.size < 2:
            continue
        at = from_s[known]
        curve = PchipInterpolator(at, flat[known, column], extrapolate=False)(to_s)
        after = np.clip(np.searchsorted(at, to_s, side="left"), 1, at.size - 1)
        gap = at[after] - at[after - 1]
        step = np.median(np.diff(from_s)) if from_s.size > 1 else 0.0
        curve[gap > LONGEST_FILL_S + 1.5 * step] = np.nan
        out[:, column] = curve
    return out.reshape((to_s.size, *values.shape[1:]))


def _longest_gap(time_s: FloatArray, known: BoolArray) -> float:
    seen = np.flatnonzero(known)
    if seen.size < 2:
        return float("nan")
    step = float(np.median(np.diff(time_s)))
    return max(0.0, float(np.diff(time_s[seen]).max()) - step)
