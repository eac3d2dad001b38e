"""Follows everyone in view who may be the walker, each through a cut-out of the picture that moves along.

The picture is searched every :data:`SEEK_EVERY` frames, and every :data:`FIND_EVERY` while somebody is followed who
walks: the detector misses people, most of all small ones, and finds them a few frames later. Whoever is new gets a
follower of his own, which first goes back through the frames since then, so that nobody's first step is lost. Who
stands still for a while is not followed until he is seen to move. Time per frame is thus that of one network, plus a
share of a search; half of it where a follower takes turns, which looks at a frame and at the one after it at the same
time. Those who pass one another are told apart by :mod:`~gaitkeeper_client.pose.encounters`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_client.capture.video import Frame
from gaitkeeper_client.pose.base import PersonPose, PoseEstimator, PoseFollower
from gaitkeeper_client.pose.encounters import LONGEST_S, Course, course_of, meet, settle, standing
from gaitkeeper_client.pose.mirrored import InTurns
from gaitkeeper_client.pose.tracking import (
    LONGEST_ABSENCE_S,
    STEP_AMPLITUDE,
    Track,
    same_person,
    travel,
    trunk_center,
    walking_score,
)
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.skeleton import JOINT_INDEX

SEEK_EVERY = 8
"""Frames between two searches while nobody walks."""
FIND_EVERY = 24
"""Frames between two searches while somebody does, and the frames kept in memory (150 MB at full HD)."""
JUDGE_EVERY = 4
"""Frames between two looks at whether somebody who is followed still walks."""
FOLLOWED = 3
"""People followed at once; a fourth takes the place of the one who walks least."""
PATIENCE_S = 2.0
"""Who takes no step for so long is standing."""
WALKS = 0.5
"""Score of :func:`~gaitkeeper_client.pose.tracking.walking_score` in that time from which somebody may be walking."""
GOES = 0.4
"""Way in that time, in body sizes (0.35 m/s), on which nobody stands, however short his steps are."""
SURELY_WALKS = 1.5
"""The same in twice the time, from which nobody else has to be looked for: two steps forward, or six on the spot."""
LOST_AFTER_S = 0.4
HIDDEN_S = 1.2
"""The same while he passes another."""
CUTOUT = 1.8
"""Side of the square cut-out in body sizes: outstretched legs and a fast step stay inside."""
NARROW = 0.45
"""Half the width of what is looked at while somebody passes another, in body sizes: all of him, little of the other."""
CENTER_BELOW_TRUNK = 0.15
"""The middle of the body is below that of the trunk, in body sizes."""

Look = Callable[[], PersonPose | None]
"""One look of a network at one person in one frame, which is ready to be taken."""


@dataclass(slots=True, eq=False)
class _Person:
    track: Track
    follower: PoseFollower
    since_s: float
    seen_s: float
    course: Course | None = None
    """His way before the encounter that he is in."""
    met_s: float = 0.0
    ahead: tuple[PersonPose | None] | None = None
    """What was seen of him in the next frame, where that was looked at already. If an encounter begins in it he is
    looked at again, with less of the others in sight."""


class People:
    """Everyone in a recording. Feed frames in order with :meth:`see`; ``tracks`` holds who was seen.

    ``pool``: threads for looks that do not wait for one another: at several people, at two frames in turns, and the
    search of the picture; the outcome is the same without.
    """

    def __init__(self, estimator: PoseEstimator, pool: Executor | None = None) -> None:
        self.tracks: list[Track] = []
        self.times: list[float] = []
        self._estimator = estimator
        self._pool = pool
        self._people: list[_Person] = []
        self._standing: list[PersonPose] = []
        self._free: list[PoseFollower] = []
        self._recent: deque[Frame] = deque(maxlen=FIND_EVERY)
        self._squares = 0
        self._begun: Future[tuple[PersonPose, ...]] | None = None
        """The search of this frame or, between two, of the next."""

    def see(self, frame: Frame, following: Frame | None = None) -> None:
        """Take in the next frame. ``following``: the one after it, which may be looked at ahead."""
        number = len(self.times)
        last_s = self.times[-1] if self.times else frame.time_s - 0.033
        self.times.append(frame.time_s)
        self._recent.append(Frame(number, frame.time_s, frame.image))
        people = list(self._people)
        due = number % FIND_EVERY == 0 or (number % SEEK_EVERY == 0 and not self._somebody_walks())
        if due and people:
            self._begin_search(frame)
        if len(people) + len(self._standing) > 1:
            self._mark_encounters(frame.time_s)
        shown = self._recent[-1]
        coming = None if following is None else Frame(number + 1, following.time_s, following.image)
        seen = self._look_at(people, shown, coming, frame.time_s - last_s)
        poses = settle([p.track for p in people], [p.course for p in people], seen, frame.time_s)
        for person, pose in zip(people, poses, strict=True):
            self._follow(person, pose, shown)
        if due:
            self._search(shown)
        if coming is not None and people and (number + 1) % FIND_EVERY == 0:
            self._begin_search(coming)

    def in_view(self) -> list[FloatArray]:
        """(J, 2) latest points of everyone who is followed or stands."""
        return [*(person.track.points[-1] for person in self._people), *(pose.points for pose in self._standing)]

    def _somebody_walks(self) -> bool:
        return any(walking_score(person.track, 2.0 * PATIENCE_S) >= SURELY_WALKS for person in self._people)

    def _mark_encounters(self, time_s: float) -> None:
        """Keep the way of everyone who comes near another, until they are apart and he is seen again.

        Who was seen for a moment only is told as nobody: he is the detector's first guess at the walker, mostly.
        """
        ways = [person.course or course_of(person.track) for person in self._people]
        still = [standing(pose, time_s) for pose in self._standing]
        for index, person in enumerate(self._people):
            rivals = [*ways[:index], *ways[index + 1 :], *still]
            meets = [rival for rival in rivals if meet(ways[index], rival, time_s)]
            met = bool(meets)
            if person.course is None:
                if met and ways[index].known:
                    person.course, person.met_s = ways[index], time_s
                    if any(rival.known for rival in meets):
                        person.track.encounters.append(time_s)
            elif time_s - person.met_s > LONGEST_S or (not met and person.seen_s == self.times[-2]):
                person.course = None

    def _look_at(
        self, people: Sequence[_Person], frame: Frame, coming: Frame | None, seconds: float
    ) -> list[PersonPose | None]:
        """Each of them in the frame, as the networks see them; and who is followed in turns, in the coming one, too."""
        looks: list[tuple[_Person, Frame, Look]] = []
        now: dict[int, PersonPose | None] = {}
        for person in people:
            ahead, person.ahead = person.ahead, None
            if ahead is not None and person.course is None:
                (now[id(person)],) = ahead
                continue
            looks.append((person, frame, _look(person.follower, person.track, frame, seconds, person.course)))
            if coming is not None and person.course is None and isinstance(person.follower, InTurns):
                later = coming.time_s - frame.time_s
                looks.append((person, coming, _look(person.follower, person.track, coming, later)))
        for (person, looked_at, _), pose in zip(looks, self._at_once([look for *_, look in looks]), strict=True):
            if looked_at is coming:
                person.ahead = (pose,)
            else:
                now[id(person)] = pose
        return [now[id(person)] for person in people]

    def _at_once(self, looks: Sequence[Look]) -> list[PersonPose | None]:
        return list(self._pool.map(_done, looks) if self._pool and len(looks) > 1 else map(_done, looks))

    def _follow(self, person: _Person, pose: PersonPose | None, frame: Frame) -> None:
        others = [p.track for p in self._people if p is not person and p.track.frames[-1] == frame.index]
        fits = pose is not None and (person.course is not None or person.track.fits(pose, frame.time_s))
        if pose is not None and fits and not _taken(pose, others):
            person.track.add(frame.index, frame.time_s, pose)
            person.seen_s = frame.time_s
        elif frame.time_s - person.seen_s > (LOST_AFTER_S if person.course is None else HIDDEN_S):
            self._release(person)
            return
        elif person.course is not None:
            person.follower.forget()  # or it would stay with the other one
        if frame.index % JUDGE_EVERY == 0 and _stands(person, frame.time_s):
            self._release(person)
            self._standing.append(PersonPose(person.track.points[-1], person.track.confidence[-1]))

    def _begin_search(self, frame: Frame) -> None:
        if self._pool is not None and self._begun is None:
            self._begun = self._pool.submit(self._estimator.find, frame.image)

    def _search(self, frame: Frame) -> None:
        begun, self._begun = self._begun, None
        found = begun.result() if begun is not None else self._estimator.find(frame.image)
        if not any(self._is_new(pose, frame.time_s) for pose in found) and not self._somebody_walks():
            found += _find_far_away(self._estimator, frame.image, found, self._squares)
            self._squares += 1
        standing = self._standing
        self._standing = [other for pose in found if (other := _still_there(pose, standing)) is not None]
        for pose in found:
            if _still_there(pose, standing) is not None:
                continue
            if self._is_new(pose, frame.time_s):
                self._welcome(pose, frame)

    def _is_new(self, pose: PersonPose, time_s: float) -> bool:
        return not any(p.track.distance(pose, time_s) < 1.0 and _near(p.track, pose) for p in self._people)

    def _welcome(self, pose: PersonPose, frame: Frame) -> None:
        if len(self._people) >= FOLLOWED:
            least = min(self._people, key=lambda person: walking_score(person.track))
            if walking_score(least.track, PATIENCE_S) > 0.0:
                return
            self._release(least)
        follower = self._reused() if self._free else self._estimator.follower()
        track = self._known(pose, frame.time_s)
        if track is None:
            track = Track()
            self.tracks.append(track)
            track.add(frame.index, frame.time_s, pose)
            self._go_back(follower, track, frame.index)
            follower.forget()
        else:
            track.add(frame.index, frame.time_s, pose)
        self._people.append(_Person(track, follower, frame.time_s, frame.time_s))

    def _known(self, pose: PersonPose, time_s: float) -> Track | None:
        """The person who was lost a moment ago just there."""
        followed = {id(person.track) for person in self._people}
        for track in self.tracks:
            absent = time_s - track.times[-1]
            if id(track) not in followed and 0.0 < absent <= LONGEST_ABSENCE_S and track.fits(pose, time_s):
                return track
        return None

    def _go_back(self, follower: PoseFollower, track: Track, index: int) -> None:
        """From where somebody was found, back through the frames since the last search."""
        others = [person.track for person in self._people]
        later = track.times[0]
        frames = [frame for frame in reversed(self._recent) if frame.index < index]
        step = 2 if isinstance(follower, InTurns) else 1
        for start in range(0, len(frames), step):
            shown = frames[start : start + step]
            looks = []
            for frame in shown:
                looks.append(_look(follower, track, frame, later - frame.time_s))
                later = frame.time_s
            for frame, pose in zip(shown, self._at_once(looks), strict=True):
                if pose is None or not track.fits(pose, frame.time_s):
                    return
                if any(_taken(pose, [other], frame.index) for other in others):
                    return
                track.add(frame.index, frame.time_s, pose)

    def _release(self, person: _Person) -> None:
        self._people.remove(person)
        self._free.append(person.follower)

    def _reused(self) -> PoseFollower:
        follower = self._free.pop()
        follower.forget()
        return follower


def _find_far_away(
    estimator: PoseEstimator, image: NDArray[np.uint8], known: tuple[PersonPose, ...], turn: int
) -> tuple[PersonPose, ...]:
    """Who else is in one of three overlapping squares of the picture, one after the other at each ``turn``.

    The detector sees people there who are small in the whole.
    """
    height, width = image.shape[:2]
    side, reach = min(height, width), abs(width - height)
    start = round(0.5 * (turn % 3) * reach)
    corner = np.array([start, 0] if width > height else [0, start])
    poses = estimator.find(_cut(image, int(corner[0]), int(corner[1]), side))
    found = [PersonPose(pose.points + corner, pose.confidence) for pose in poses]
    return tuple(pose for pose in found if not any(same_person(pose, other) for other in known))


def _look(follower: PoseFollower, track: Track, frame: Frame, seconds: float, course: Course | None = None) -> Look:
    """To be called for the followed person in a frame, in the frame's own pixels."""
    side = max(32, round(CUTOUT * track.size))
    expected = track.expected(frame.time_s) if course is None else course.at(frame.time_s)
    center = expected + np.array([0.0, CENTER_BELOW_TRUNK * track.size])
    corner = np.round(center - side / 2).astype(int)
    turn = follower.turn(seconds) if isinstance(follower, InTurns) else partial(follower.follow, seconds=seconds)

    def look() -> PersonPose | None:
        image = _cut(frame.image, int(corner[0]), int(corner[1]), side)
        if course is not None:
            image = image.copy()
            image[:, : round((0.5 - NARROW / CUTOUT) * side)] = 0
            image[:, round((0.5 + NARROW / CUTOUT) * side) :] = 0
        pose = turn(image)
        return None if pose is None else PersonPose(pose.points + corner, pose.confidence)

    return look


def _done(look: Look) -> PersonPose | None:
    return look()


def _stands(person: _Person, time_s: float) -> bool:
    track = person.track
    if person.since_s > time_s - PATIENCE_S or walking_score(track, PATIENCE_S) >= WALKS:
        return False
    return travel(track, bisect_left(track.times, track.times[-1] - PATIENCE_S)) < GOES


def _cut(image: NDArray[np.uint8], left: int, top: int, side: int) -> NDArray[np.uint8]:
    """A square of the picture; black where it reaches over the edge."""
    height, width = image.shape[:2]
    if left >= 0 and top >= 0 and left + side <= width and top + side <= height:
        return np.ascontiguousarray(image[top : top + side, left : left + side])
    out = np.zeros((side, side, 3), dtype=np.uint8)
    x0, x1 = max(0, left), min(width, left + side)
    y0, y1 = max(0, top), min(height, top + side)
    if x1 > x0 and y1 > y0:
        out[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return out


def _taken(pose: PersonPose, tracks: list[Track], index: int | None = None) -> bool:
    """Whether one of the tracks has this very pose in the frame (its latest, or number ``index``)."""
    for track in tracks:
        if index is None:
            at = len(track.frames) - 1
        elif index in track.frames:
            at = track.frames.index(index)
        else:
            continue
        if same_person(pose, PersonPose(track.points[at], track.confidence[at])):
            return True
    return False


def _near(track: Track, pose: PersonPose) -> bool:
    return float(np.linalg.norm(track.centers[-1] - trunk_center(pose))) < 0.35 * track.size


def _still_there(pose: PersonPose, standing: list[PersonPose]) -> PersonPose | None:
    """Who of those who stood there this is, if he still stands: same place, feet together."""
    ankles = pose.points[JOINT_INDEX["left_ankle"]] - pose.points[JOINT_INDEX["right_ankle"]]
    for other in standing:
        before = other.points[JOINT_INDEX["left_ankle"]] - other.points[JOINT_INDEX["right_ankle"]]
        moved = abs(abs(float(ankles[0])) - abs(float(before[0])))
        size = float(np.ptp(other.points[:, 1])) or 1.0
        if same_person(pose, other) and moved < STEP_AMPLITUDE * size:
            return other
    return None
