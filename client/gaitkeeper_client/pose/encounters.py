"""When people pass one another: who is who afterwards.

A network that follows somebody through a cut-out readily goes on with the other one, who comes into it. So, while two
people are near and on different ways, each is expected where his way before the encounter leads; what is seen
elsewhere is not he. Where both networks look at the same body, it is his whose limbs were like that a moment ago.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaitkeeper_client.pose.base import PersonPose
from gaitkeeper_client.pose.tracking import Track, body_size, same_person, trunk_center
from gaitkeeper_shared.arrays import FloatArray

NEAR = 0.55
"""Trunks nearer than this, in body sizes, are an encounter: legs and arms reach over one another."""
APART_SPEED = 0.3
"""Difference of velocities in body sizes a second from which two people are on different ways (0.5 m/s)."""
COURSE_S = 0.6
"""Time before an encounter from which a way is read: half a stride."""
LONGEST_S = 2.0
"""A way is no guess for longer."""
OFF_COURSE = 0.22
"""How far from his way, in body sizes, somebody may be seen."""


@dataclass(frozen=True, slots=True)
class Course:
    """A straight, even way: (2,) ``center`` in pixels at ``time_s`` and (2,) ``velocity`` in pixels a second.

    ``size``: the body's, in pixels.
    """

    time_s: float
    center: FloatArray
    velocity: FloatArray
    size: float
    known: bool = True
    """Whether it was seen long enough."""

    def at(self, time_s: float) -> FloatArray:
        """(2,) where it leads."""
        out: FloatArray = self.center + self.velocity * (time_s - self.time_s)
        return out

    def allows(self, pose: PersonPose, time_s: float) -> bool:
        """Whether somebody on this way may be seen so."""
        if not 0.5 < body_size(pose) / self.size < 2.0:
            return False
        return float(np.linalg.norm(trunk_center(pose) - self.at(time_s))) < OFF_COURSE * self.size


def course_of(track: Track) -> Course:
    """The way of the last :data:`COURSE_S`; not known where there is less than a third of that."""
    start = bisect_left(track.times, track.times[-1] - COURSE_S)
    times, centers = np.array(track.times[start:]), np.stack(track.centers[start:])
    last = track.times[-1]
    if times[-1] - times[0] < COURSE_S / 3.0:
        return Course(last, track.centers[-1], np.zeros(2), track.size, known=False)
    velocity, center = np.polyfit(times - last, centers, 1)
    return Course(last, center, velocity, track.size)


def standing(pose: PersonPose, time_s: float) -> Course:
    """Of somebody who stands."""
    return Course(time_s, trunk_center(pose), np.zeros(2), body_size(pose))


def meet(one: Course, other: Course, time_s: float) -> bool:
    """Whether the two are near each other, on different ways."""
    size = max(one.size, other.size)
    near = float(np.linalg.norm(one.at(time_s) - other.at(time_s))) < NEAR * size
    return near and float(np.linalg.norm(one.velocity - other.velocity)) > APART_SPEED * size


def settle(
    tracks: Sequence[Track], courses: Sequence[Course | None], poses: Sequence[PersonPose | None], time_s: float
) -> list[PersonPose | None]:
    """The poses of one frame with those taken away that are not of the person whose network gave them."""
    kept = [
        pose if pose is None or course is None or course.allows(pose, time_s) else None
        for course, pose in zip(courses, poses, strict=True)
    ]
    for i, one in enumerate(kept):
        for j in range(i + 1, len(kept)):
            other = kept[j]
            if one is None or other is None or (courses[i] is None and courses[j] is None):
                continue
            if same_person(one, other):
                cost = [_strangeness(tracks[k], courses[k], kept[k], time_s) for k in (i, j)]
                loser = i if cost[0] > cost[1] else j
                kept[loser] = None
                one = kept[i]
    return kept


def _strangeness(track: Track, course: Course | None, pose: PersonPose | None, time_s: float) -> float:
    """How unlike this person, where he is expected and as his limbs were, a pose is; in body sizes."""
    assert pose is not None
    expected = track.expected(time_s) if course is None else course.at(time_s)
    off = float(np.linalg.norm(trunk_center(pose) - expected)) / track.size
    before = track.points[-1] - track.centers[-1]
    limbs = np.linalg.norm(pose.points - trunk_center(pose) - before, axis=1) / track.size
    return off + float(np.nanmean(limbs))
