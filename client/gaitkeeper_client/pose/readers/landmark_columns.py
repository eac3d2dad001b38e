"""How people name the columns of landmark tables: one row a frame, or one row a landmark; names or numbers.

``LEFT_HIP_x``, ``left_hip.x``, ``landmark_23_x``, ``23_x``, ``x23`` and ``x_23`` are the same column, and a table of
one row for each landmark says it in a column of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gaitkeeper_client.pose.skeletons import BLAZEPOSE_33

SECONDS: Mapping[str, float | None] = {
    **dict.fromkeys(("time_s", "time_sec", "time_seconds", "seconds", "timestamp_s", "timestamp_sec"), 1.0),
    **dict.fromkeys(("time_ms", "timestamp_ms", "time_milliseconds"), 1e-3),
    **dict.fromkeys(("time_us", "timestamp_us"), 1e-6),
    **dict.fromkeys(("time", "timestamp", "time_stamp"), None),
}
"""Columns of times and their unit in seconds; None where the name does not say it."""
_FRAMES = ("frame", "frame_number", "frame_no", "frame_id", "frame_idx", "frame_index", "frame_num", "frame#")
_INDEX = ("", "index", "unnamed: 0")
"""What pandas calls the numbers of rows, which keep the place of those that were left out."""
_PEOPLE = ("person", "person_id", "person_idx", "pose_id", "track_id", "individual", "subject")
_LANDMARKS = ("landmark", "landmark_name", "landmark_id", "landmark_index", "landmark_idx", "keypoint", "joint")
_SURE = ("visibility", "confidence", "score", "likelihood", "vis", "conf", "v")
_LAST = re.compile(rf"(?P<name>.+)[_. ](?P<what>x|y|{'|'.join(_SURE)})")
_FIRST = re.compile(rf"(?P<what>x|y|{'|'.join(_SURE)})[_. ]?(?P<name>\d+)")
_NUMBERED = re.compile(r"(?:[a-z]+[_. ]?)*?(?P<number>\d+)")


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a row things stand. ``points``: of each landmark its x, y and how sure it is (None: not said), by the
    file's own name; under an empty name, whose landmark stands in column ``landmark``."""

    points: Mapping[str, tuple[int, int, int | None]]
    frame: int | None
    time: int | None
    unit_s: float | None
    person: int | None
    landmark: int | None

    def used(self) -> list[int]:
        """The columns that have to be numbers."""
        singles = [column for column in (self.frame, self.time) if column is not None]
        return singles + [column for point in self.points.values() for column in point if column is not None]


def columns_of(header: Sequence[str]) -> Columns | None:
    """The columns by a table's first line; None where it names no landmarks."""
    names = [cell.strip().lower() for cell in header]
    place = {name: column for column, name in reversed(list(enumerate(names)))}

    def first(words: Sequence[str]) -> int | None:
        return next((place[word] for word in words if word in place), None)

    time = next((name for name in SECONDS if name in place), None)
    landmark = first(_LANDMARKS)
    if landmark is not None and "x" in place and "y" in place:
        points: dict[str, tuple[int, int, int | None]] = {"": (place["x"], place["y"], first(_SURE))}
    else:
        landmark, points = None, _wide(names)
    if not points:
        return None
    unit = None if time is None else SECONDS[time]
    frame, person = first(_FRAMES), first(_PEOPLE)
    if frame is None and person is None and landmark is None:
        frame = first(_INDEX)
    return Columns(points, frame, None if time is None else place[time], unit, person, landmark)


def _wide(names: Sequence[str]) -> dict[str, tuple[int, int, int | None]]:
    found: dict[str, dict[str, int]] = {}
    for column, name in enumerate(names):
        match = _LAST.fullmatch(name) or _FIRST.fullmatch(name)
        if match is not None:
            found.setdefault(match["name"], {}).setdefault(match["what"], column)
    return {
        name: (place["x"], place["y"], next((place[word] for word in _SURE if word in place), None))
        for name, place in found.items()
        if "x" in place and "y" in place
    }


def named(own: Sequence[str]) -> tuple[str, ...]:
    """The landmarks' names; where they are 33 numbers, those of MediaPipe in its order."""
    numbers = [match["number"] if (match := _NUMBERED.fullmatch(name)) else "" for name in own]
    if len(own) == len(BLAZEPOSE_33.points) and all(numbers):
        least = min(int(number) for number in numbers)
        order = [int(number) - least for number in numbers]
        if least in (0, 1) and sorted(order) == list(range(len(own))):
            return tuple(BLAZEPOSE_33.points[number] for number in order)
    return tuple(own)
