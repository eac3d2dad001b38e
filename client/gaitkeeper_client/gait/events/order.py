"""Physiological order: what no walk can do is removed, the weaker event first.

Per foot, strikes and offs alternate, with a stance and a swing of at least :data:`SHORTEST_PHASE_S`. The feet strike in
turn; a strike of the same foot within half a typical stride of the last is a false one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gaitkeeper_shared.recording import GaitEvent
from gaitkeeper_shared.skeleton import SIDES

SHORTEST_PHASE_S = 0.15


def enforce_order(events: Sequence[GaitEvent]) -> tuple[GaitEvent, ...]:
    """The events that a walk can have, in order of time."""
    kept: list[GaitEvent] = []
    for side in SIDES:
        one = sorted((e for e in events if e.side == side), key=lambda e: e.time_s)
        one = _apart(one, "foot_strike")
        one = _apart(one, "foot_off")
        kept.extend(_alternating(one))
    return tuple(sorted(kept, key=lambda e: e.time_s))


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
