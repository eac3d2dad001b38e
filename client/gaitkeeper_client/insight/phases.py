"""Where in the gait cycle a sample lies: the link between a model's windows and what a clinician calls a phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gaitkeeper_shared.arrays import FloatArray, IntArray
from gaitkeeper_shared.recording import GaitEvent

STRIDE_LIMITS_S = (0.4, 3.0)
"""Shorter or longer gaps between two strikes of one foot are no stride: a turn, a pause, another pass."""
ODD_STRIDE = 1.5
"""Nor is one that lasts this much longer or shorter than the median stride: a strike was missed or is one too many."""


@dataclass(frozen=True, slots=True)
class SidePhases:
    """Gait phase of samples for the cycle of one foot.

    ``phase``: in 0..1, NaN outside complete cycles. ``cycle``: index of the cycle, -1 outside. ``durations_s``: of all
    cycles of that foot. Arrays have the shape of the times asked for.
    """

    phase: FloatArray
    cycle: IntArray
    durations_s: FloatArray


def side_phases(times_s: FloatArray, events: Sequence[GaitEvent], side: str) -> SidePhases:
    """Phase of every time in the cycle of the ``side`` foot, from its foot strikes."""
    strikes = np.array(sorted(event.time_s for event in events if event.side == side and event.type == "foot_strike"))
    phase = np.full(times_s.shape, np.nan)
    cycle = np.full(times_s.shape, -1, dtype=np.int64)
    durations: list[float] = []
    gaps = np.diff(strikes)
    usual = gaps[(gaps >= STRIDE_LIMITS_S[0]) & (gaps <= STRIDE_LIMITS_S[1])]
    median = float(np.median(usual)) if usual.size else 0.0
    for start, end in pairwise(strikes):
        duration = float(end - start)
        if not median / ODD_STRIDE <= duration <= min(median * ODD_STRIDE, STRIDE_LIMITS_S[1]):
            continue
        inside = (times_s >= start) & (times_s < end)
        phase[inside] = (times_s[inside] - start) / duration
        cycle[inside] = len(durations)
        durations.append(duration)
    return SidePhases(phase, cycle, np.array(durations))
