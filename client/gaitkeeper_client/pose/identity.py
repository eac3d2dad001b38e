"""Whether a track is one person throughout: cut where it goes over to another, joined where one person was lost.

Somebody who turns round slows down, stands, and speeds up: that takes about a second. A track that goes one way and, a
few frames later, as fast the other way has met somebody who came from there and went on with him.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_client.pose.encounters import course_of
from gaitkeeper_client.pose.tracking import LONGEST_ABSENCE_S, SAME_PERSON, Track, joined, usual_size
from gaitkeeper_shared.arrays import FloatArray

WINDOW_S = 0.4
"""Time before and after a moment over which the speed is read."""
FASTEST_TURN = 0.45
"""Body sizes a second, before and after, from which a reversal within :data:`WINDOW_S` is nobody's turn (0.7 m/s)."""
SAME_SIZE = 1.3
AROUND_S = 0.6
"""Before and after a switch, over which level and size of who is followed are read: half a stride."""
BESIDE_HIS_WAY = 0.15
"""Body sizes (0.26 m) from one's way, across it: bobbing and lunging make a tenth of that."""
OTHER_SIZE = 1.15
JOIN_GATE = 0.35
"""How far from his way, in body sizes, somebody may reappear."""
BESIDE = 1.5
"""How near, in body sizes and within a second, another must have been for a track to go over to him."""
BETWEEN_S = 0.12
"""Time before and after a switch in which it is not told whose points they are."""
FEWEST = 5


@dataclass(frozen=True, slots=True)
class Person:
    """One person as far as can be told. ``switches``: seconds at which a track went over to or from this person."""

    track: Track
    switches: tuple[float, ...] = ()


def persons(tracks: Sequence[Track]) -> list[Person]:
    """Everybody in a clip: tracks cut at their switches, and pieces that go on from one another joined.

    Pieces of fewer than :data:`FEWEST` sightings are left out.
    """
    pieces = [piece for track in tracks for piece in _cut(track, [other for other in tracks if other is not track])]
    pieces = [piece for piece in pieces if len(piece.track.frames) >= FEWEST]
    pieces.sort(key=lambda piece: piece.track.times[0])
    out: list[Person] = []
    for piece in pieces:
        fits = [(gap, index) for index, one in enumerate(out) if (gap := _gap(one.track, piece.track)) is not None]
        if fits:
            _, index = min(fits)
            switches = tuple(sorted({*out[index].switches, *piece.switches}))
            out[index] = Person(joined(out[index].track, piece.track), switches)
        else:
            out.append(piece)
    return out


def switches_of(track: Track) -> list[int]:
    """Samples of a track from which on it is another person's."""
    times, centers = np.array(track.times), np.stack(track.centers)
    if times.size < 2 * FEWEST or times[-1] - times[0] < WINDOW_S:
        return []
    found: list[int] = []
    strength = np.zeros(times.size)
    for at in _candidates(times, centers, 0.5 * FASTEST_TURN * track.size):
        before = _velocity(times, centers, times[at] - WINDOW_S, times[at])
        after = _velocity(times, centers, times[at], times[at] + WINDOW_S)
        if before is None or after is None:
            continue
        speeds = float(np.linalg.norm(before)), float(np.linalg.norm(after))
        if min(speeds) > FASTEST_TURN * track.size and float(before @ after) < -0.5 * speeds[0] * speeds[1]:
            strength[at] = min(speeds)
    while strength.any():
        at = int(strength.argmax())
        found.append(at)
        strength[np.abs(times - times[at]) <= WINDOW_S] = 0.0
    return sorted(found)


def _candidates(times: FloatArray, centers: FloatArray, least: float) -> NDArray[np.intp]:
    """Samples before and after which the ways are against each other, roughly: a quick look at all of a long clip."""
    here = np.arange(FEWEST, times.size - FEWEST)
    before = np.searchsorted(times, times[here] - WINDOW_S)
    after = np.searchsorted(times, times[here] + WINDOW_S, side="right") - 1
    instant = 1e-3  # after a gap there is no sample before, and no way either
    come = (centers[here] - centers[before]) / np.maximum(times[here] - times[before], instant)[:, None]
    gone = (centers[after] - centers[here]) / np.maximum(times[after] - times[here], instant)[:, None]
    fast = (np.linalg.norm(come, axis=1) > least) & (np.linalg.norm(gone, axis=1) > least)
    candidates: NDArray[np.intp] = here[fast & ((come * gone).sum(axis=1) < 0.0)]
    return candidates


def _velocity(times: FloatArray, centers: FloatArray, start: float, end: float) -> FloatArray | None:
    rows = (times >= start) & (times <= end)
    if np.count_nonzero(rows) < FEWEST or np.ptp(times[rows]) < 0.5 * WINDOW_S:
        return None
    velocity: FloatArray = np.polyfit(times[rows], centers[rows], 1)[0]
    return velocity


def _cut(track: Track, others: Sequence[Track]) -> list[Person]:
    cuts = [
        at
        for at in switches_of(track)
        if _is_another(track, at) or any(_is_beside(other, track, at) for other in others)
    ]
    if not cuts:
        return [Person(track)]
    moments = [track.times[at] for at in cuts]
    bounds = [-np.inf, *moments, np.inf]
    pieces = []
    for number, (start, end) in enumerate(pairwise(bounds)):
        # Around the switch the network looked at both.
        first, last = np.searchsorted(track.times, [start + BETWEEN_S, end - BETWEEN_S])
        if first < last:
            beside = tuple(round(time, 3) for time in moments[max(0, number - 1) : number + 1])
            pieces.append(Person(_part(track, int(first), int(last)), beside))
    return pieces


def _is_another(track: Track, at: int) -> bool:
    """Whether who goes the other way from there on goes beside the first one's way, or is of another size.

    Whom the detector never saw by himself is known by that alone: a walker who turns round stays on his way.
    """
    times = np.array(track.times)
    centers = np.stack(track.centers)
    way = _velocity(times, centers, times[at] - WINDOW_S, times[at])
    before = np.flatnonzero((times >= times[at] - AROUND_S) & (times <= times[at] - BETWEEN_S))
    after = np.flatnonzero((times <= times[at] + AROUND_S) & (times >= times[at] + BETWEEN_S))
    if way is None or min(before.size, after.size) < FEWEST:
        return False
    across = np.array([-way[1], way[0]]) / float(np.linalg.norm(way))
    levels = [float(np.median(centers[rows] @ across)) for rows in (before, after)]
    sizes = [usual_size(track, rows) for rows in (before, after)]
    return (
        abs(levels[1] - levels[0]) > BESIDE_HIS_WAY * sizes[0] or not 1 / OTHER_SIZE < sizes[1] / sizes[0] < OTHER_SIZE
    )


def _is_beside(other: Track, track: Track, at: int) -> bool:
    """Whether somebody else was seen about there and then: without him there is nobody to go over to."""
    time_s = track.times[at]
    first = bisect_left(other.times, time_s - LONGEST_ABSENCE_S)
    last = bisect_left(other.times, time_s + LONGEST_ABSENCE_S)
    way = [float(np.linalg.norm(center - track.centers[at])) for center in other.centers[first:last]]
    return bool(way) and min(way) < BESIDE * track.size


def _part(track: Track, start: int, stop: int) -> Track:
    times = track.times[start:stop]
    return Track(
        track.frames[start:stop],
        times,
        track.points[start:stop],
        track.confidence[start:stop],
        track.centers[start:stop],
        track.size,
        [time for time in track.encounters if times and times[0] <= time <= times[-1]],
    )


def _gap(one: Track, later: Track) -> float | None:
    """Seconds between two tracks that may be one person's; None where they are not."""
    gap = later.times[0] - one.times[-1]
    if gap <= 0.0:
        return 0.0 if _same_way(one, later) else None
    if gap > LONGEST_ABSENCE_S or not 1.0 / SAME_SIZE < later.size / one.size < SAME_SIZE:
        return None
    course = course_of(one)
    off = float(np.linalg.norm(course.at(later.times[0]) - later.centers[0])) / one.size
    return gap if course.known and off < JOIN_GATE and not _turned(course.velocity, later) else None


def _same_way(one: Track, later: Track) -> bool:
    """Whether two tracks are in the same places at the same times: one person, found again before he was given up."""
    ours = dict(zip(one.frames, one.centers, strict=True))
    off = [np.linalg.norm(ours[f] - c) for f, c in zip(later.frames, later.centers, strict=True) if f in ours]
    return bool(off) and float(np.median(off)) < SAME_PERSON * one.size


def _turned(velocity: FloatArray, later: Track) -> bool:
    times, centers = np.array(later.times), np.stack(later.centers)
    after = _velocity(times, centers, times[0], times[0] + WINDOW_S)
    if after is None:
        return False
    least = FASTEST_TURN * later.size
    return float(velocity @ after) < 0.0 and float(np.linalg.norm(velocity)) > least < float(np.linalg.norm(after))
