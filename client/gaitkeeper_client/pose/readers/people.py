"""From the people of single frames, in no order, to the one who walks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.subjects import chosen_note, returns_note
from gaitkeeper_client.pose.base import PersonPose
from gaitkeeper_client.pose.returns import walker_with_returns
from gaitkeeper_client.pose.tracking import LONGEST_ABSENCE_S, Track
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS

SHORTEST_TRACK = 5
_TRUNK = [f"{side}_{part}" for part in ("shoulder", "hip") for side in ("left", "right")]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A pose as the file has it, and one whose trunk is whole, for following."""

    pose: PersonPose
    whole: PersonPose


@dataclass(frozen=True, slots=True)
class Followed:
    """One person over a whole recording. ``notes``: how that person was chosen, where there were several."""

    trajectories: JointTrajectories
    notes: tuple[str, ...]


def walker_of(
    frames: Sequence[Sequence[PersonPose]],
    time_s: FloatArray,
    path: Path,
    height_px: float | None,
    person: str | None = None,
) -> Followed:
    """Follow everybody and keep the walker: pixels, y up, over all frames. Raises ``pose-nobody``, ``person-unknown``.

    ``frames``: who is seen in each frame, y down. ``height_px``: of the picture; without it y is below zero, which
    changes nothing but the origin. ``person``: number of the person to keep, from 1 in order of appearance.
    """
    tracks, sources = _follow(frames, time_s)
    chosen, notes = _chosen([track for track in tracks if len(track.frames) >= SHORTEST_TRACK], path, person)
    points = np.full((len(frames), len(JOINTS), 2), np.nan)
    confidence = np.zeros((len(frames), len(JOINTS)))
    for number, whole in zip(chosen.frames, chosen.points, strict=True):
        points[number], confidence[number] = sources[id(whole)].points, sources[id(whole)].confidence
    points[..., 1] = (height_px or 0.0) - points[..., 1]
    return Followed(JointTrajectories(time_s, points, "px", confidence), notes)


def _chosen(tracks: list[Track], path: Path, person: str | None) -> tuple[Track, tuple[str, ...]]:
    """The track of the walker, or of the person who is asked for."""
    if person is not None and tracks:
        if person.isdecimal() and 1 <= int(person) <= len(tracks):
            return tracks[int(person) - 1], ()
        seen = [f"{number} (frames {t.frames[0]} to {t.frames[-1]})" for number, t in enumerate(tracks, start=1)]
        raise GaitkeeperError("person-unknown", person=person, path=path, people=", ".join(seen[:20]))
    found = walker_with_returns(tracks)
    if found is None:
        raise GaitkeeperError("pose-nobody", path=path)
    numbers = [number for number, track in enumerate(tracks, start=1) if any(track is one for one in found.pieces)]
    if found.returns_s:
        return found.track, (returns_note(found.returns_s, numbers, len(tracks)),)
    return found.track, (chosen_note(numbers[0], len(tracks)),) if len(tracks) > 1 else ()


def _follow(frames: Sequence[Sequence[PersonPose]], time_s: FloatArray) -> tuple[list[Track], dict[int, PersonPose]]:
    """Tracks of everybody, in order of appearance, and the pose that each of their points came from."""
    tracks: list[Track] = []
    sources: dict[int, PersonPose] = {}
    for number, people in enumerate(frames):
        moment = float(time_s[number])
        candidates = [seen for pose in people if (seen := _with_trunk(pose)) is not None]
        alive = [track for track in tracks if moment - track.times[-1] <= LONGEST_ABSENCE_S]
        pairs = sorted(
            ((track.distance(seen.whole, moment), row, column) for row, track in enumerate(alive)
             for column, seen in enumerate(candidates)),
            key=lambda pair: pair[0],
        )  # fmt: skip
        taken_tracks: set[int] = set()
        taken_people: set[int] = set()
        for _, row, column in pairs:
            if row in taken_tracks or column in taken_people or not alive[row].fits(candidates[column].whole, moment):
                continue
            taken_tracks.add(row)
            taken_people.add(column)
            _add(alive[row], sources, number, moment, candidates[column])
        for column, seen in enumerate(candidates):
            if column not in taken_people:
                tracks.append(Track())
                _add(tracks[-1], sources, number, moment, seen)
    return tracks, sources


def one_person(points: FloatArray, confidence: FloatArray) -> PersonPose | None:
    """A pose, or None where hardly anything is seen; points without confidence become NaN."""
    seen = np.isfinite(points).all(axis=1) & (confidence > 0.0)
    if not seen.any():
        return None
    return PersonPose(np.where(seen[:, None], points, np.nan), np.where(seen, confidence, 0.0))


def _add(track: Track, sources: dict[int, PersonPose], number: int, moment: float, seen: _Seen) -> None:
    track.add(number, moment, seen.whole)
    sources[id(seen.whole.points)] = seen.pose


def _with_trunk(pose: PersonPose) -> _Seen | None:
    """Fill a shoulder or hip that the other side hides with that other side: good enough to follow by."""
    points = pose.points.copy()
    for part in ("shoulder", "hip"):
        left, right = JOINT_INDEX[f"left_{part}"], JOINT_INDEX[f"right_{part}"]
        for one, other in ((left, right), (right, left)):
            if not np.isfinite(points[one]).all():
                points[one] = points[other]
    if not np.isfinite(points[[JOINT_INDEX[name] for name in _TRUNK]]).all():
        return None
    return _Seen(pose, PersonPose(points, pose.confidence))
