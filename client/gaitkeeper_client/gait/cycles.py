"""From events to gait cycles, each with its angles over 0..100 % of the cycle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from gaitkeeper_client.gait.analysis import CURVE_POINTS, Cycle
from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint_angles
from gaitkeeper_shared.recording import EventType, GaitEvent, Side
from gaitkeeper_shared.skeleton import other_side

SHORTEST_S, LONGEST_S = 0.6, 4.5
"""Stride times of walking, from fast (2 steps/0.6 s) to the slowest patients (27 steps per minute). A missed strike
makes a shorter stride than the longest of these: :data:`LARGEST_DEVIATION` finds it, not this limit."""
LARGEST_DEVIATION = 0.3
"""From the median stride time of the walk: a missed strike doubles a stride."""


def find_cycles(bout: Bout, events: Sequence[GaitEvent]) -> tuple[Cycle, ...]:
    """Complete cycles of both feet in one straight walk, in order of their start."""
    angles = joint_angles(bout.points)
    pairs = [pair for side in ("left", "right") for pair in _strides(events, side)]
    if not pairs:
        return ()
    typical = float(np.median([end - start for _, start, end in pairs]))
    cycles = [
        _cycle(bout, angles, events, side, start, end)
        for side, start, end in pairs
        if abs(end - start - typical) <= LARGEST_DEVIATION * typical
    ]
    return tuple(sorted(cycles, key=lambda cycle: cycle.start_s))


def _strides(events: Sequence[GaitEvent], side: Side) -> list[tuple[Side, float, float]]:
    strikes = [e.time_s for e in events if e.side == side and e.type == "foot_strike"]
    return [(side, start, end) for start, end in pairwise(strikes) if SHORTEST_S <= end - start <= LONGEST_S]


def strides_around_gaps(events: Sequence[GaitEvent], typical_s: float) -> list[tuple[Side, float]]:
    """(side, seconds) of strides between which a foot's strike was missed: two of half the time for each such gap.

    A gap is about two strides of ``typical_s`` long, and the other foot struck twice in it: so this one did once.
    """
    strikes = [event for event in events if event.type == "foot_strike"]
    sides: tuple[Side, Side] = ("left", "right")
    found: list[tuple[Side, float]] = []
    for side in sides:
        own = [event.time_s for event in strikes if event.side == side]
        other = [event.time_s for event in strikes if event.side != side]
        for start, end in pairwise(own):
            half = 0.5 * (end - start)
            between = sum(start < time < end for time in other)
            if between == 2 and abs(half - typical_s) <= 0.5 * LARGEST_DEVIATION * typical_s:
                found += [(side, half), (side, half)]
    return found


def _cycle(
    bout: Bout,
    angles: Mapping[str, FloatArray],
    events: Sequence[GaitEvent],
    side: Side,
    start: float,
    end: float,
) -> Cycle:
    def inside(which: str, kind: EventType, low: float, high: float) -> float | None:
        span = end - start
        times = [e.time_s for e in events if e.side == which and e.type == kind]
        hits = [t for t in times if start + low * span <= t <= start + high * span]
        return hits[0] if len(hits) == 1 else None

    at = np.linspace(start, end, CURVE_POINTS)
    opposite = other_side(side)
    return Cycle(
        side=side,
        start_s=start,
        end_s=end,
        foot_off_s=inside(side, "foot_off", 0.3, 0.95),
        opposite_foot_off_s=inside(opposite, "foot_off", -0.05, 0.45),
        opposite_foot_strike_s=inside(opposite, "foot_strike", 0.2, 0.8),
        curves={name: _curve(bout.time_s, values, at) for name, values in angles.items()},
    )


def _curve(time_s: FloatArray, values: FloatArray, at: FloatArray) -> FloatArray:
    # A gap longer than the cleaning fills stays a gap: NaN spreads to the points between its neighbours.
    curve: FloatArray = np.interp(at, time_s, values)
    return curve
