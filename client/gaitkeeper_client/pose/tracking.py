"""One person over a clip, and who of several is the one who walks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
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
LEAST_SIGHT_S = 0.5
"""Who is seen for less is not seen: no walker among several, and nobody to analyse."""

LEAST_WAY = 0.2
"""Body sizes a second (0.34 m/s); slower walkers are known by where they come from and get to."""

FLICKER_S = 0.14
"""No foot passes the other for so short a time: a hurried step takes 0.3 s."""

_TRUNK = [JOINT_INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "hip")]
_VELOCITY_SAMPLES = 8


@dataclass(slots=True, eq=False)
class Track:
    """One person: the frames in which he was seen, his points and their confidence there. 4 kB a second at 30 Hz.

    Kept in order of time, also where frames from before the first sighting are added later. Points cannot be compared:
    a track is the same as itself alone.
    """

    frames: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    points: list[FloatArray] = field(default_factory=list)
    confidence: list[FloatArray] = field(default_factory=list)
    centers: list[FloatArray] = field(default_factory=list)
    size: float = 0.0
    encounters: list[float] = field(default_factory=list)
    """Times in seconds at which he came near another person on another way."""

    def add(self, frame: int, time_s: float, pose: PersonPose) -> None:
        """Take in one sighting, the latest or the earliest."""
        at = len(self.frames) if not self.frames or frame > self.frames[-1] else 0
        self.frames.insert(at, frame)
        self.times.insert(at, time_s)
        self.points.insert(at, pose.points)
        self.confidence.insert(at, pose.confidence)
        self.centers.insert(at, trunk_center(pose))
        size = body_size(pose)
        self.size = size if self.size == 0.0 else 0.9 * self.size + 0.1 * size

    def expected(self, time_s: float) -> FloatArray:
        """(2,) where the trunk's centre is expected at ``time_s``, after the last sighting or before the first."""
        forward = time_s >= self.times[0]
        end = -1 if forward else 0
        if len(self.times) < _VELOCITY_SAMPLES:
            return self.centers[end]
        other = -_VELOCITY_SAMPLES if forward else _VELOCITY_SAMPLES - 1
        velocity = (self.centers[end] - self.centers[other]) / (self.times[end] - self.times[other])
        reach = float(np.clip(time_s - self.times[end], -LONGEST_ABSENCE_S, LONGEST_ABSENCE_S))
        return self.centers[end] + velocity * reach

    def fits(self, pose: PersonPose, time_s: float) -> bool:
        """Whether a pose can be this person at ``time_s``."""
        return self.distance(pose, time_s) < GATE

    def distance(self, pose: PersonPose, time_s: float) -> float:
        """How far a pose is from what is expected, in body sizes; infinite for a body of quite another size."""
        if not 0.4 < body_size(pose) / self.size < 2.5:
            return np.inf
        return float(np.linalg.norm(self.expected(time_s) - trunk_center(pose))) / self.size


def walker(tracks: Sequence[Track]) -> Track | None:
    """The one who walks, else the one seen longest; None where nobody was seen.

    Nobody who is hardly seen walks: the wheels of a chair were taken for a person who took a step in 14 frames.
    """
    if not tracks:
        return None
    return max(
        tracks, key=lambda track: (seconds_seen(track) >= LEAST_SIGHT_S, walking_score(track), len(track.frames))
    )


def seconds_seen(track: Track) -> float:
    """For how long he was seen, without the gaps."""
    if len(track.times) < 2:
        return 0.0
    return (track.times[-1] - track.times[0]) * len(track.frames) / (track.frames[-1] - track.frames[0])


def walking_score(track: Track, last_s: float = np.inf) -> float:
    """Steps seen, weighted by the way travelled in body sizes; 0 for who stands, jumps or sits.

    ``last_s``: judge only the last seconds of the track.
    """
    first = bisect_left(track.times, track.times[-1] - last_s) if track.times else 0
    if len(track.frames) - first < 3 or track.size <= 0.0:
        return 0.0
    points = np.stack(track.points[first:])
    ankles = (points[:, JOINT_INDEX["left_ankle"]] - points[:, JOINT_INDEX["right_ankle"]]) / track.size
    ankles = _without_flicker(ankles, track.times[first:])
    steps = max(count_alternations(ankles[:, 0], STEP_AMPLITUDE), count_alternations(ankles[:, 1], STEP_AMPLITUDE / 2))
    return float(steps * (0.25 + min(way_gone(track, first), 4.0)))


def _without_flicker(ankles: FloatArray, times: list[float]) -> FloatArray:
    """(T, 2) averaged over an even number of samples of about :data:`FLICKER_S`; NaN where none of them is known.

    Where a network is in doubt of left and right it takes now the one for the other and now not, most of all if it
    looks at every other picture in a mirror: a man who jumped off a box took 26 "steps" in 4 s so, and walked most.
    """
    pairs = round(0.5 * FLICKER_S / float(np.median(np.diff(times))))
    if pairs < 1 or len(ankles) <= 2 * pairs:
        return ankles
    known = np.isfinite(ankles)
    both = np.stack([np.where(known, ankles, 0.0), known])
    sums, counts = np.cumsum(np.concatenate([np.zeros((2, 1, 2)), both], axis=1), axis=1)
    around = counts[2 * pairs :] - counts[: -2 * pairs]
    with np.errstate(invalid="ignore"):
        means: FloatArray = (sums[2 * pairs :] - sums[: -2 * pairs]) / around
    return means


def way_gone(track: Track, first: int = 0) -> float:
    """Way gone from sample ``first`` on, in body sizes, there and back counted both: at least :func:`travel`.

    Of seconds in which somebody gets nowhere (less than :data:`LEAST_WAY`) nothing counts: who stands sways.
    """
    times, centers = np.array(track.times[first:]), np.stack(track.centers[first:])
    marks = np.arange(times[0], times[-1] + 1e-9, 1.0)
    at = np.stack([np.interp(marks, times, centers[:, axis]) for axis in range(2)], axis=1)
    ways = np.linalg.norm(np.diff(at, axis=0), axis=1) / track.size
    return max(travel(track, first), float(ways[ways >= LEAST_WAY].sum()))


def travel(track: Track, first: int = 0) -> float:
    """Way from the first to the last tenth of the track from sample ``first`` on, in body sizes."""
    centers = np.stack(track.centers[first:])
    tenth = max(1, len(centers) // 10)
    way = np.median(centers[-tenth:], axis=0) - np.median(centers[:tenth], axis=0)
    return float(np.linalg.norm(way)) / track.size


def count_alternations(signal: FloatArray, amplitude: float) -> int:
    """How often a signal goes from beyond +amplitude to beyond -amplitude or back."""
    state = np.where(signal > amplitude, 1, np.where(signal < -amplitude, -1, 0))
    visited = state[state != 0]
    return int(np.count_nonzero(np.diff(visited)))


def joined(one: Track, later: Track) -> Track:
    """Both as one, where they overlap the first."""
    at = int(np.searchsorted(later.frames, one.frames[-1], side="right"))
    return Track(
        one.frames + later.frames[at:],
        one.times + later.times[at:],
        one.points + later.points[at:],
        one.confidence + later.confidence[at:],
        one.centers + later.centers[at:],
        later.size,
        sorted({*one.encounters, *later.encounters}),
    )


def as_arrays(track: Track, frames: int) -> tuple[FloatArray, FloatArray]:
    """(T, J, 2) points and (T, J) confidence over all ``frames`` of the clip; NaN and 0 where he is not seen."""
    points = np.full((frames, len(JOINTS), 2), np.nan)
    confidence = np.zeros((frames, len(JOINTS)))
    points[track.frames] = np.stack(track.points)
    confidence[track.frames] = np.stack(track.confidence)
    return points, confidence


def trunk_center(pose: PersonPose) -> FloatArray:
    """(2,) mean of shoulders and hips."""
    center: FloatArray = pose.points[_TRUNK].mean(axis=0)
    return center


def body_size(pose: PersonPose) -> float:
    """About the body's height in pixels: three trunks, which is steadier than the extent of limbs that swing."""
    shoulders, hips = pose.points[_TRUNK[0::2]].mean(axis=0), pose.points[_TRUNK[1::2]].mean(axis=0)
    extent = float(np.nanmax(pose.points[:, 1]) - np.nanmin(pose.points[:, 1]))
    return max(3.0 * float(np.linalg.norm(shoulders - hips)), 0.5 * extent, 1.0)


def usual_size(track: Track, samples: Iterable[int]) -> float:
    """Median of :func:`body_size` over samples of a track."""
    return float(np.median([body_size(PersonPose(track.points[at], track.confidence[at])) for at in samples]))


def same_person(pose: PersonPose, other: PersonPose) -> bool:
    """Whether two poses of one frame are one person found twice."""
    return float(np.linalg.norm(trunk_center(pose) - trunk_center(other))) < SAME_PERSON * body_size(other)
