"""Physiological order: what no walk can do is removed, the weaker event first.

Per foot, strikes and offs alternate, with a stance and a swing of at least :data:`SHORTEST_PHASE_S`. The feet strike in
turn; a strike of the same foot within half a typical stride of the last is a false one, and so is one of two strikes
of different feet that are less than :data:`SHORTEST_STEP` of a typical step apart. Both feet together go round: strike
of one, off of the other, strike of the other, off of the one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gaitkeeper_shared.recording import EventType, GaitEvent, Side
from gaitkeeper_shared.skeleton import SIDES

SHORTEST_PHASE_S = 0.15
SHORTEST_SWING_S = 0.25
"""Of hurried steps; usual ones have 0.4."""
SHORTEST_STEP = 0.55
"""Of the median step time; the short step of a marked limp is about 0.7 of it."""
ROUND: tuple[tuple[Side, EventType], ...] = (
    ("left", "foot_strike"),
    ("right", "foot_off"),
    ("right", "foot_strike"),
    ("left", "foot_off"),
)
MISSING = 0.3
"""What a gap of one event in the round costs, in confidences."""
NO_DOUBLE_SUPPORT_S = 0.06
"""An off this little before the other foot's strike is the error of both, not a flight."""
FORGET_S = 1.5
"""Without any event for so long, the round begins anew."""


def enforce_order(events: Sequence[GaitEvent]) -> tuple[GaitEvent, ...]:
    """The events that a walk can have, in order of time."""
    settled = _without_flight(sorted(events, key=lambda e: e.time_s))
    kept: list[GaitEvent] = []
    for side in SIDES:
        one = [e for e in settled if e.side == side]
        kept.extend(_alternating(_apart(_apart(one, "foot_strike"), "foot_off")))
    kept.sort(key=lambda e: e.time_s)
    false = _hasty_strikes([e for e in kept if e.type == "foot_strike"])
    kept = _round(_one_foot_down([event for event in kept if id(event) not in false]))
    # What was between two events may be gone, and the two may be too near.
    kept = [event for side in SIDES for event in _alternating([e for e in kept if e.side == side])]
    return tuple(sorted(kept, key=lambda e: e.time_s))


def _without_flight(events: list[GaitEvent]) -> list[GaitEvent]:
    """Where a foot comes off just before the other strikes, both are set to the moment between."""
    settled = list(events)
    for at in range(len(settled) - 1):
        first, second = settled[at : at + 2]
        if (first.type, second.type) != ("foot_off", "foot_strike") or first.side == second.side:
            continue
        if second.time_s - first.time_s < NO_DOUBLE_SUPPORT_S:
            middle = 0.5 * (first.time_s + second.time_s)
            settled[at : at + 2] = [replace(second, time_s=middle), replace(first, time_s=middle)]
    return sorted(settled, key=lambda e: e.time_s)


def _one_foot_down(events: list[GaitEvent]) -> list[GaitEvent]:
    """Without the weaker of two offs of different feet, of which the second comes before the first can be down again.

    Where a strike between them was missed, the offs are a step apart.
    """
    kept: list[GaitEvent] = []
    for event in events:
        last = kept[-1] if kept else None
        if (
            last is not None
            and last.type == event.type == "foot_off"
            and last.side != event.side
            and event.time_s - last.time_s < SHORTEST_SWING_S
        ):
            if event.confidence > last.confidence:
                kept[-1] = event
            continue
        kept.append(event)
    return kept


def _round(events: list[GaitEvent]) -> list[GaitEvent]:
    """The events in the order of :data:`ROUND` that are worth most: their confidences less what is missing between."""
    places = [ROUND.index((event.side, event.type)) for event in events]
    worth = [event.confidence for event in events]
    before: list[int | None] = [None] * len(events)
    for this, event in enumerate(events):
        best = 0.0
        for last in range(max(0, this - 8), this):
            steps = (places[this] - places[last] - 1) % 4
            pause = event.time_s - events[last].time_s > FORGET_S
            value = worth[last] - (0.0 if pause else MISSING * steps)
            if value > best:
                best, before[this] = value, last
        worth[this] += best
    kept = []
    at = max(range(len(events)), key=lambda i: worth[i], default=None)
    while at is not None:
        kept.append(events[at])
        at = before[at]
    return kept[::-1]


def _hasty_strikes(strikes: list[GaitEvent]) -> set[int]:
    """Of two strikes that are too close, the one whose removal leaves the more even steps; by ``id``."""
    false: set[int] = set()
    strikes = list(strikes)
    while len(strikes) >= 4:
        times = np.array([e.time_s for e in strikes])
        steps = np.diff(times)
        typical = float(np.median(steps))
        at = int(steps.argmin())
        if steps[at] >= SHORTEST_STEP * typical:
            break
        unevenness = [float(np.abs(np.diff(np.delete(times, at + k)) - typical).max()) for k in (0, 1)]
        if abs(unevenness[0] - unevenness[1]) < 0.1 * typical:
            drop = at if strikes[at].confidence < strikes[at + 1].confidence else at + 1
        else:
            drop = at + int(np.argmin(unevenness))
        false.add(id(strikes.pop(drop)))
    return false


def _apart(events: list[GaitEvent], kind: str) -> list[GaitEvent]:
    """Drop the weaker of two events of one kind that are less than half a typical stride apart."""
    same = [e for e in events if e.type == kind]
    if len(same) < 3:
        return events
    shortest = 0.5 * float(np.median(np.diff([e.time_s for e in same])))
    dropped: set[int] = set()
    last = same[0]
    for event in same[1:]:
        if event.time_s - last.time_s < shortest:
            weaker = event if event.confidence <= last.confidence else last
            dropped.add(id(weaker))
            last = last if weaker is event else event
        else:
            last = event
    return [e for e in events if id(e) not in dropped]


def _alternating(events: list[GaitEvent]) -> list[GaitEvent]:
    """Strike, off, strike...: of two neighbours of different kind that are too close, the weaker goes."""
    kept: list[GaitEvent] = []
    for event in events:
        if kept and kept[-1].type != event.type and event.time_s - kept[-1].time_s < SHORTEST_PHASE_S:
            if kept[-1].confidence < event.confidence:
                kept[-1] = event
            continue
        kept.append(event)
    return kept
