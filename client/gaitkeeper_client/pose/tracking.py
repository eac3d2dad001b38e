"""Who is who from frame to frame, and who of them walks.

The network finds people anew in every frame and in any order. A person is followed by where the trunk is expected to
be; a person who is found twice in one frame counts once. The walker is then the one whose legs alternate and who
travels, over the whole clip: not the biggest, not the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gaitkeeper_client.pose.base import PersonPose
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS

LONGEST_ABSENCE_S = 1.0
"""A person who is not seen for longer is another person when seen again."""
GATE = 0.3
"""How far, in body sizes, a trunk may be from where it is expected."""
SAME_PERSON = 0.2
"""Two trunks nearer than this, in body sizes, are one person found twice."""
STEP_AMPLITUDE = 0.15
"""Ankles this far apart, in body sizes, and then as far the other way round, are a step."""

_TRUNK = [JOINT_INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "hip")]
_VELOCITY_SAMPLES = 8


@dataclass(slots=True)
class Track:
    """One person over the clip: the frames in which he was seen, his points and their confidence there."""

    frames: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    points: list[FloatArray] = field(default_factory=list)
    confidence: list[FloatArray] = field(default_factory=list)
    centers: list[FloatArray] = field(default_factory=list)
    size: float = 0.0

    def add(self, frame: int, time_s: float, pose: PersonPose) -> None:
        """Append one sighting."""
        self.frames.append(frame)
        self.times.append(time_s)
        self.points.append(pose.points)
        self.confidence.append(pose.confidence)
        self.centers.append(_center(pose))
        size = _size(pose)
        self.size = size if self.size == 0.0 else 0.9 * self.size + 0.1 * size

    def expected(self, time_s: float) -> FloatArray:
        """(2,) where the trunk's centre is expected at ``time_s``, from its latest velocity."""
        last = self.centers[-1]
        if len(self.times) < _VELOCITY_SAMPLES:
            return last
        span = self.times[-1] - self.times[-_VELOCITY_SAMPLES]
        velocity = (last - self.centers[-_VELOCITY_SAMPLES]) / span
        return last + velocity * min(time_s - self.times[-1], LONGEST_ABSENCE_S)


class Tracker:
    """Collects poses frame by frame into tracks. Keeps 17 points per person and frame: about 1 MB per minute."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.times: list[float] = []

    def add(self, time_s: float, people: tuple[PersonPose, ...]) -> None:
        """Take in everyone who was found in the next frame."""
        frame = len(self.times)
        self.times.append(time_s)
        alive = [t for t in self.tracks if time_s - t.times[-1] <= LONGEST_ABSENCE_S]
        offers = sorted(
            (distance, i, j)
            for i, track in enumerate(alive)
            for j, pose in enumerate(people)
            if (distance := _distance(track, pose, time_s)) < GATE
        )
        taken_tracks: set[int] = set()
        taken_people: set[int] = set()
        for _, i, j in offers:
            if i not in taken_tracks and j not in taken_people:
                taken_tracks.add(i)
                taken_people.add(j)
                alive[i].add(frame, time_s, people[j])
        known = [people[j] for j in taken_people]
        for j, pose in enumerate(people):
            if j not in taken_people and not any(_same(pose, other) for other in known):
                known.append(pose)
                track = Track()
                track.add(frame, time_s, pose)
                self.tracks.append(track)


def walker(tracks: list[Track]) -> Track | None:
    """The one who walks, else the one seen longest; None where nobody was seen."""
    if not tracks:
        return None
    return max(tracks, key=lambda track: (walking_score(track), len(track.frames)))


def walking_score(track: Track) -> float:
    """Steps seen, weighted by the way travelled in body sizes; 0 for who stands, jumps or sits."""
    if len(track.frames) < 3 or track.size <= 0.0:
        return 0.0
    points = np.stack(track.points)
    ankles = (points[:, JOINT_INDEX["left_ankle"]] - points[:, JOINT_INDEX["right_ankle"]]) / track.size
    steps = max(count_alternations(ankles[:, 0], STEP_AMPLITUDE), count_alternations(ankles[:, 1], STEP_AMPLITUDE / 2))
    centers = np.stack(track.centers)
    tenth = max(1, len(centers) // 10)
    travel = np.linalg.norm(np.median(centers[-tenth:], axis=0) - np.median(centers[:tenth], axis=0)) / track.size
    return float(steps * (0.25 + min(travel, 4.0)))


def count_alternations(signal: FloatArray, amplitude: float) -> int:
    """How often a signal goes from beyond +amplitude to beyond -amplitude or back."""
    state = np.where(signal > amplitude, 1, np.where(signal < -amplitude, -1, 0))
    visited = state[state != 0]
    return int(np.count_nonzero(np.diff(visited)))


def as_arrays(track: Track, frames: int) -> tuple[FloatArray, FloatArray]:
    """(T, J, 2) points and (T, J) confidence over all ``frames`` of the clip; NaN and 0 where the person is not seen."""
    points = np.full((frames, len(JOINTS), 2), np.nan)
    confidence = np.zeros((frames, len(JOINTS)))
    points[track.frames] = np.stack(track.points)
    confidence[track.frames] = np.stack(track.confidence)
    return points, confidence


def _center(pose: PersonPose) -> FloatArray:
    center: FloatArray = pose.points[_TRUNK].mean(axis=0)
    return center


def _size(pose: PersonPose) -> float:
    # Trunk times three is about body height, and steadier than the extent of limbs that swing.
    shoulders, hips = pose.points[_TRUNK[0::2]].mean(axis=0), pose.points[_TRUNK[1::2]].mean(axis=0)
    extent = float(np.nanmax(pose.points[:, 1]) - np.nanmin(pose.points[:, 1]))
    return max(3.0 * float(np.linalg.norm(shoulders - hips)), 0.5 * extent, 1.0)


def _distance(track: Track, pose: PersonPose, time_s: float) -> float:
    size = _size(pose)
    if not 0.4 < size / track.size < 2.5:
        return np.inf
    return float(np.linalg.norm(track.expected(time_s) - _center(pose))) / track.size


def _same(pose: PersonPose, other: PersonPose) -> bool:
    return float(np.linalg.norm(_center(pose) - _center(other))) < SAME_PERSON * _size(other)
