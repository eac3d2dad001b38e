"""Windows: what a temporal model reads of a person, cut from the feature signals of all their recordings."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gaitkeeper_shared.arrays import Float32Array, FloatArray
from gaitkeeper_shared.models.channels import scaled
from gaitkeeper_shared.recording import Signals
from gaitkeeper_shared.study import Input

MAX_MISSING = 0.4
"""Share of a window's values that may be unknown (a far arm hidden by the trunk); a window with more is left out."""
LARGEST = 5.0
"""Scaled values are limited to this many spreads, so that one glitch of a tracker cannot own a gradient."""


def cut_windows(signals: Signals, window: Input) -> Float32Array:
    """(N, T, C) scaled windows of one recording, ``window.hop_s`` apart; N may be 0.

    The signals are interpolated to ``window.rate_hz``. An unknown value becomes 0, the channel's published centre; a
    window with more than :data:`MAX_MISSING` unknown values is left out. A channel that the signals lack is unknown.
    """
    return placed_windows(signals, window)[1]


def placed_windows(signals: Signals, window: Input) -> tuple[FloatArray, Float32Array]:
    """The windows of :func:`cut_windows` with the (N,) time of each one's first sample, in seconds of the signals."""
    samples, channels = window.window_samples, len(window.channels)
    empty = np.empty((0, samples, channels), dtype=np.float32)
    if signals.time_s.size < 2:
        return np.empty(0), empty
    values = _resample(signals, window)
    starts = range(0, values.shape[0] - samples + 1, max(1, round(window.hop_s * window.rate_hz)))
    cuts = [(start, values[start : start + samples]) for start in starts]
    kept = [(start, cut) for start, cut in cuts if np.mean(~np.isfinite(cut)) <= MAX_MISSING]
    if not kept:
        return np.empty(0), empty
    stack = np.nan_to_num(np.stack([cut for _, cut in kept]), nan=0.0, posinf=LARGEST, neginf=-LARGEST)
    times = float(signals.time_s[0]) + np.array([start for start, _ in kept]) / window.rate_hz
    limited: Float32Array = np.clip(stack, -LARGEST, LARGEST).astype(np.float32)
    return times, limited


def windows_of_person(recordings: Iterable[Signals], window: Input) -> Float32Array:
    """(N, T, C) windows of all recordings of one person, at most ``window.max_windows``, spread evenly; N may be 0."""
    cuts = [cut_windows(signals, window) for signals in recordings]
    cuts.append(np.empty((0, window.window_samples, len(window.channels)), dtype=np.float32))
    everything = np.concatenate(cuts)
    if everything.shape[0] <= window.max_windows:
        return everything
    picked = np.linspace(0, everything.shape[0] - 1, window.max_windows).round().astype(int)
    spread: Float32Array = everything[picked]
    return spread


def _resample(signals: Signals, window: Input) -> Float32Array:
    """(T', C) scaled channels at ``window.rate_hz``; a new sample is known where both its neighbours are."""
    known = [name for name in window.channels if name in signals.names]
    values = np.full((signals.time_s.size, len(window.channels)), np.nan, dtype=np.float32)
    columns = [window.channels.index(name) for name in known]
    values[:, columns] = scaled(signals, known)
    start, end = float(signals.time_s[0]), float(signals.time_s[-1])
    count = int((end - start) * window.rate_hz + 1e-6) + 1
    time_s: FloatArray = start + np.arange(count) / window.rate_hz
    resampled = [np.interp(time_s, signals.time_s, column) for column in values.T]
    return np.stack(resampled, axis=1).astype(np.float32)
