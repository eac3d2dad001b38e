"""What an event method is, and the tools that methods share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.signal import correlate, find_peaks

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import GaitEvent

NEARLY_BEST = 0.75
"""Share of the best autocorrelation that an earlier repetition must reach."""


class EventMethod(Protocol):
    """Finds the events of one straight walk."""

    @property
    def name(self) -> str:
        """Stable name, for provenance and evaluation."""

    def detect(self, bout: Bout) -> tuple[GaitEvent, ...]:
        """Events in order of time, on the clock of ``bout.time_s``; each side's strikes and offs alternate."""


@dataclass(frozen=True, slots=True)
class Peak:
    """A maximum of a signal: ``time_s`` between samples, ``prominence`` in the signal's unit."""

    index: int
    time_s: float
    prominence: float


def peaks(time_s: FloatArray, signal: FloatArray, prominence: float, apart_s: float) -> list[Peak]:
    """Maxima with sub-sample times (parabola through three samples); a maximum at the edge is none."""
    rate = 1.0 / float(np.median(np.diff(time_s)))
    found, facts = find_peaks(signal, prominence=prominence, distance=max(1, round(apart_s * rate)))
    return [
        Peak(int(i), float(time_s[i]) + vertex(signal, int(i)) / rate, float(p))
        for i, p in zip(found, facts["prominences"], strict=True)
    ]


def peaks_at_the_ends(time_s: FloatArray, signal: FloatArray, prominence: float, apart_s: float) -> list[Peak]:
    """Maxima of which the signal's end cuts off a flank, so that :func:`peaks` cannot tell their prominence.

    The first and the last maximum, where the flank that is seen is ``prominence`` high, and no farther than half of
    ``apart_s`` from the end. Their prominence is what is seen of the lower flank.
    """
    rate = 1.0 / float(np.median(np.diff(time_s)))
    reach, near = round(apart_s * rate), round(0.5 * apart_s * rate)
    found = []
    for forward in (True, False):
        inwards = signal if forward else signal[::-1]
        window = inwards[: reach + 1]
        top = int(np.argmax(window[: near + 1])) if window.size > 2 else 0
        if not 0 < top < window.size - 1 or window[top] <= window[top + 1]:
            continue
        outer, inner = float(window[top] - window[:top].min()), float(window[top] - window[top:].min())
        if outer < prominence <= inner:
            index = top if forward else signal.size - 1 - top
            found.append(Peak(index, float(time_s[index]) + vertex(signal, index) / rate, outer))
    return found


def vertex(signal: FloatArray, index: int) -> float:
    """Offset in samples, within +-0.5, of the vertex of the parabola through the extreme at ``index``."""
    before, here, after = (float(signal[index + k]) for k in (-1, 0, 1))
    bend = before - 2.0 * here + after
    return 0.0 if bend == 0.0 else float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))


def stride_period_s(time_s: FloatArray, spread: FloatArray) -> float:
    """Stride time from the autocorrelation of how far one ankle is ahead of the other; NaN when nothing repeats.

    Looked for between 0.7 and 2.5 s; a clip must be longer than one stride.
    """
    rate = 1.0 / float(np.median(np.diff(time_s)))
    centred = spread - spread.mean()
    power = float(centred @ centred)
    if power == 0.0:
        return float("nan")
    # By Fourier transform: the sum itself takes a second for ten minutes on a treadmill, for each signal.
    full = correlate(centred, centred, mode="full", method="fft")[centred.size - 1 :]
    shrink = np.arange(centred.size, 0, -1) / centred.size
    correlation = full / power / np.maximum(shrink, 0.2)
    low, high = round(0.7 * rate), min(round(2.5 * rate), centred.size - 2)
    if high <= low + 1:
        return float("nan")
    found, _ = find_peaks(correlation[low : high + 1], prominence=0.1)
    if found.size == 0:
        return float("nan")
    # Two strides repeat as well as one: the first repetition that is nearly as good as the best is the stride.
    heights = correlation[low + found]
    if not heights.max() > 0.0:  # as in a clip of hardly more than a step
        return float("nan")
    best = int(found[np.flatnonzero(heights >= NEARLY_BEST * heights.max())[0]]) + low
    return (best + vertex(correlation, best)) / rate


def crossings(time_s: FloatArray, signal: FloatArray, *, falling: bool) -> list[float]:
    """Times between samples at which a signal falls (or rises) through zero."""
    values = -signal if falling else signal
    at = np.flatnonzero((values[:-1] < 0.0) & (values[1:] >= 0.0))
    share = -values[at] / (values[at + 1] - values[at])
    return [float(t) for t in time_s[at] + share * (time_s[at + 1] - time_s[at])]
