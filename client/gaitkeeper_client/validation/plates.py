"""Foot strikes and foot offs from force plates: the physics that kinematic events are held against.

A foot bears weight while the vertical force exceeds :data:`THRESHOLD_N` (the usual 20 N; to 50 N a strike moves by 4 to
6 ms and an off by about 10). A contact counts only if one foot, and all of it, is on the plate; its side is that of the
nearest foot. Where short steps put both feet on a plate, it still shows the strike of the foot that came down on it
while it was empty, and the off of the one that left it so. Whatever began before the recording or did not end in it has
no strike or no off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaitkeeper_client.lab.walk import ForcePlate
from gaitkeeper_client.validation.reference import AROUND_S, CLIP_EDGE_S, Reference, Span
from gaitkeeper_shared.arrays import BoolArray, FloatArray
from gaitkeeper_shared.kinematics import joint
from gaitkeeper_shared.recording import EventType, GaitEvent, JointTrajectories, Side
from gaitkeeper_shared.skeleton import other_side

THRESHOLD_N = 20.0
LIGHT_N = 60.0
"""An empty plate reads less; what it reads in the median is its offset."""
LARGEST_DRIFT_N = 40.0
"""Between the 10th and the 90th percentile of what a plate reads while it is empty, the moments of loading included."""
FLICKER_S = 0.02
"""Gaps shorter than this are noise about the threshold."""
SHORTEST_S, LONGEST_S = 0.25, 3.0
LEAST_PEAK_N = 100.0
LARGEST_MISS_M = 0.25
"""From the centre of pressure to the middle of the foot that made it."""
NEAR_GROUND_M = 0.04
RESTS_M_S = 0.3
"""A foot no higher than this above its lowest place, and no faster, presses on the ground."""
EDGE_M = 0.01
AT_AN_END_S = 0.15
"""Of a load that two feet made: its first and its last foot are alone for at least so long."""


@dataclass(frozen=True, slots=True)
class Contact:
    """One foot on one plate. A strike or an off that the plate did not see whole is None; in seconds."""

    side: Side
    start_s: float
    end_s: float
    strike_s: float | None
    off_s: float | None


def plate_reference(plates: Iterable[ForcePlate], walk: JointTrajectories) -> Reference:
    """The reference of a walk over force plates; without events where no contact is clean."""
    every = list(plates)
    steady = [plate for plate in every if is_steady(plate)]
    notes = tuple(
        f"Force plate {number} was left out: what it reads while it is empty spans more than {LARGEST_DRIFT_N:.0f} N."
        for number, plate in enumerate(every, start=1)
        if not is_steady(plate)
    )
    loads = [load for plate in steady for load in _loads(plate, walk)]
    contacts = [contact for load in loads for contact in load.contacts]
    contacts = [one for one in contacts if not any(_overlap(one, other) for other in contacts if other is not one)]
    events, spans = [], []
    for contact in contacts:
        kinds: tuple[tuple[EventType, float | None], ...] = (
            ("foot_strike", contact.strike_s),
            ("foot_off", contact.off_s),
        )
        for kind, time_s in kinds:
            if time_s is not None:
                events.append(GaitEvent(time_s, contact.side, kind, 1.0))
                spans.append(Span(contact.side, kind, contact.start_s - AROUND_S, contact.end_s + AROUND_S))
    in_order = tuple(sorted(events, key=lambda event: event.time_s))
    if loads and not events:
        notes = (*notes, _unusable(loads))
    return Reference("force plates", in_order, tuple(spans), notes=notes)


def _unusable(loads: Sequence[_Load]) -> str:
    """Why no load of any plate gives an event."""
    reasons = Counter(load.why or "a foot that stands beside the plate with its heel or toe" for load in loads)
    told = "; ".join(f"{count} of {reason}" for reason, count in reasons.most_common())
    return f"Its force plates were loaded {len(loads)} time(s), and never by one whole foot alone: {told}."


def is_steady(plate: ForcePlate) -> bool:
    """Whether the empty plate reads the same throughout: one that drifts gives no times."""
    light = plate.force[np.abs(plate.force[:, 2]) < LIGHT_N, 2]
    if light.size < 0.1 * plate.time_s.size:
        return True
    low, high = np.percentile(light, (10.0, 90.0))
    return bool(high - low <= LARGEST_DRIFT_N)


def _overlap(one: Contact, other: Contact) -> bool:
    """The same foot on two plates at once."""
    return one.side == other.side and one.start_s < other.end_s and other.start_s < one.end_s


def plate_contacts(plate: ForcePlate, walk: JointTrajectories) -> tuple[Contact, ...]:
    """Clean contacts of single feet with one plate, in order of time."""
    return tuple(contact for load in _loads(plate, walk) for contact in load.contacts)


@dataclass(frozen=True, slots=True)
class _Load:
    """A time during which a plate was loaded. ``why``: what keeps it from being a contact; empty where it is one."""

    contacts: tuple[Contact, ...] = ()
    why: str = ""


def _loads(plate: ForcePlate, walk: JointTrajectories) -> list[_Load]:
    force = plate.force[:, 2] - _offset(plate.force[:, 2])
    found = []
    for start, stop in _loaded(plate.time_s, force):
        start_s, end_s = _crossing(plate.time_s, force, start), _crossing(plate.time_s, force, stop)
        if end_s - start_s < SHORTEST_S or force[start:stop].max() < LEAST_PEAK_N:
            continue  # somebody brushed it
        if stop == force.size:
            end_s = float(plate.time_s[-1])
        found.append(_load(plate, walk, start_s, end_s))
    return found


def _load(plate: ForcePlate, walk: JointTrajectories, start_s: float, end_s: float) -> _Load:
    quarter = 0.25 * (end_s - start_s)
    side = _side(plate, walk, start_s + quarter, end_s - quarter)
    if side is None:
        return _Load(why="no foot that the centre of pressure is near")
    amid_s, reach_s = 0.5 * (start_s + end_s), 0.15 * (end_s - start_s)
    if end_s - start_s <= LONGEST_S and not _shared(plate, walk, side, start_s, end_s):
        strike = start_s if _holds(plate, walk, f"{side}_heel", amid_s, reach_s) else None
        off = end_s if _holds(plate, walk, f"{side}_toe", amid_s, reach_s) else None
        return _within(walk, Contact(side, start_s, end_s, strike, off))
    first = _end_of_shared(plate, walk, start_s, start_s + AT_AN_END_S, "heel")
    last = _end_of_shared(plate, walk, end_s - AT_AN_END_S, end_s, "toe")
    found = [_within(walk, Contact(first, start_s, start_s + SHORTEST_S, start_s, None))] if first else []
    found += [_within(walk, Contact(last, end_s - SHORTEST_S, end_s, None, end_s))] if last else []
    contacts = tuple(contact for load in found for contact in load.contacts)
    return _Load(contacts, "" if contacts else "both feet, or of the edge of one")


def _end_of_shared(plate: ForcePlate, walk: JointTrajectories, from_s: float, to_s: float, part: str) -> Side | None:
    """Which foot made the beginning (the end) of a load, if it did so alone and with its heel (toe) on the plate."""
    side = _side(plate, walk, from_s, to_s)
    if side is None or _shared(plate, walk, side, from_s - AT_AN_END_S, to_s + AT_AN_END_S):
        return None
    return side if _holds(plate, walk, f"{side}_{part}", 0.5 * (from_s + to_s), 0.5 * AT_AN_END_S) else None


def _within(walk: JointTrajectories, contact: Contact) -> _Load:
    """The contact without an event at the very ends of the recording."""
    strike = contact.strike_s if contact.start_s >= walk.time_s[0] + CLIP_EDGE_S else None
    off = contact.off_s if contact.end_s <= walk.time_s[-1] - CLIP_EDGE_S else None
    return _Load((replace(contact, strike_s=strike, off_s=off),))


def _offset(force: FloatArray) -> float:
    light = force[np.abs(force) < LIGHT_N]
    return float(np.median(light)) if light.size >= 0.1 * force.size else 0.0


def _loaded(time_s: FloatArray, force: FloatArray) -> list[tuple[int, int]]:
    """(start, stop) samples of every load; short gaps are closed."""
    above = np.nan_to_num(force) > THRESHOLD_N
    edges = np.flatnonzero(np.diff(np.concatenate([[0], above.astype(np.int8), [0]])))
    runs = [(int(start), int(stop)) for start, stop in zip(edges[0::2], edges[1::2], strict=True)]
    step = float(time_s[1] - time_s[0])
    joined: list[tuple[int, int]] = []
    for start, stop in runs:
        if joined and (start - joined[-1][1]) * step < FLICKER_S:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


def _crossing(time_s: FloatArray, force: FloatArray, at: int) -> float:
    """When the force passes the threshold between the samples ``at - 1`` and ``at``."""
    if at == 0 or at >= force.size:
        return float(time_s[min(at, force.size - 1)])
    before, after = float(force[at - 1]), float(force[at])
    share = 0.0 if after == before else (THRESHOLD_N - before) / (after - before)
    return float(time_s[at - 1] + np.clip(share, 0.0, 1.0) * (time_s[at] - time_s[at - 1]))


def _side(plate: ForcePlate, walk: JointTrajectories, from_s: float, to_s: float) -> Side | None:
    """Whose middle of the foot is nearest to the centre of pressure in that time; None where neither is near."""
    inside = (plate.time_s >= from_s) & (plate.time_s <= to_s)
    times, centre = plate.time_s[inside], plate.pressure_centre[inside, :2]
    distances: dict[Side, float] = {}
    for side in ("left", "right"):
        foot = 0.5 * (joint(walk.positions, f"{side}_heel") + joint(walk.positions, f"{side}_toe"))[:, :2]
        there = np.stack([_at(walk.time_s, foot[:, axis], times) for axis in (0, 1)], axis=1)
        apart = np.linalg.norm(there - centre, axis=1)
        apart = apart[np.isfinite(apart)]
        distances[side] = float(np.median(apart)) if apart.size else float("inf")
    side = min(distances, key=lambda name: distances[name])
    return side if distances[side] <= LARGEST_MISS_M else None


def _holds(plate: ForcePlate, walk: JointTrajectories, part: str, at_s: float, reach_s: float) -> bool:
    """Whether the heel (toe), on which a contact begins (ends), stands on the plate; true where that is unknown."""
    if not np.isfinite(plate.corners).all():
        return True
    amid = np.abs(walk.time_s - at_s) <= reach_s
    return bool(_on(plate.corners, joint(walk.positions, part)[amid], -EDGE_M).all())


def _shared(plate: ForcePlate, walk: JointTrajectories, side: Side, start_s: float, end_s: float) -> bool:
    """Whether the other foot, too, rests on the plate."""
    if not np.isfinite(plate.corners).all():
        return False
    inside = (walk.time_s >= start_s) & (walk.time_s <= end_s)
    for part in ("heel", "toe"):
        other = joint(walk.positions, f"{other_side(side)}_{part}")
        rests = other[:, 2] <= np.nanpercentile(other[:, 2], 5.0) + NEAR_GROUND_M
        rests &= np.linalg.norm(np.gradient(other, walk.time_s, axis=0), axis=1) < RESTS_M_S
        if (_on(plate.corners, other, EDGE_M) & rests & inside).any():
            return True
    return False


def _on(corners: FloatArray, points: FloatArray, margin: float) -> BoolArray:
    """(T,) whether points (T, 3) lie above the plate, seen from above; NaN does not."""
    polygon = corners[:, :2]
    turn = 0.5 * sum(_cross(polygon[k - 1], polygon[k]) for k in range(4))
    held = np.ones(points.shape[0], dtype=bool)
    for k in range(4):
        edge = polygon[k] - polygon[k - 1]
        outwards = np.sign(turn) * np.array([edge[1], -edge[0]]) / np.linalg.norm(edge)
        held &= (points[:, :2] - polygon[k]) @ outwards <= margin
    return held


def _cross(one: FloatArray, other: FloatArray) -> float:
    return float(one[0] * other[1] - one[1] * other[0])


def _at(from_s: FloatArray, values: FloatArray, to_s: FloatArray) -> FloatArray:
    known = np.isfinite(values)
    return np.interp(to_s, from_s[known], values[known]) if known.any() else np.full(to_s.size, np.nan)
