"""OpenPose: a folder with one JSON file for each frame, several people in each, in no order.

The format's description: OpenPose documentation, "Output". ``people[].pose_keypoints_2d`` (``pose_keypoints`` before
version 1.3) is x, y, confidence of each point; a point that was not found is three zeros. Frames that have no file are
gaps. Run with ``--keypoint_scale 3`` or ``4``, OpenPose writes shares of the picture, 0 to 1 or -1 to 1.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.options import ReadOptions
from gaitkeeper_client.lab.text import broken
from gaitkeeper_client.lab.walk import LabWalk
from gaitkeeper_client.pose.base import PersonPose, PointPicker
from gaitkeeper_client.pose.readers.people import one_person, walker_of
from gaitkeeper_client.pose.readers.skeletons import BODY_25, BODY_25B, BY_LENGTH
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.skeleton import SIDES, Skeleton

_FORMAT = "OpenPose"
_FILE = re.compile(r"(?:(?P<name>(?!\._).*)_)?(?P<frame>\d+)_keypoints\.json")
_MOST_BYTES = 4 * 2**20
_MOST_FRAMES = 1_000_000
_KEYS = ("pose_keypoints_2d", "pose_keypoints")
_LARGEST_SHARE = 1.05
"""A picture is larger than this in pixels; a point that the network places outside lies a little beyond 1."""


def read_openpose(folder: Path, options: ReadOptions) -> LabWalk:
    """The walker of an OpenPose folder, in pixels with y up.

    The files do not say the frame rate. Raises ``pose-rate-needed``, ``pose-size-needed``, ``lab-file-unreadable``,
    ``lab-file-broken``, ``person-unknown``, ``pose-nobody``.
    """
    if options.rate_hz is None:
        raise GaitkeeperError("pose-rate-needed", path=folder)
    files = keypoint_files(folder)
    if len(videos := sorted({name for name, _ in files})) > 1:
        names = ", ".join(name or "without a name" for name in videos[:4])
        broken(folder, _FORMAT, f"it holds the frames of {len(videos)} videos ({names}); give each a folder of its own")
    numbers = [number for _, number in files]
    if not numbers:
        broken(folder, _FORMAT, "it holds no *_keypoints.json")
    first, count = min(numbers), max(numbers) - min(numbers) + 1
    if count < 2 or count > _MOST_FRAMES:
        broken(folder, _FORMAT, f"its frames are numbered from {first} to {max(numbers)}")
    found = {number - first: _people(path) for (_, number), path in files.items()}
    people = _in_pixels([person for frame in found.values() for person in frame], folder, options)
    twenty_five = BODY_25B if _is_25b(people) else BODY_25
    pixels = iter(people)
    frames: list[list[PersonPose]] = [[] for _ in range(count)]
    for number, rows in found.items():
        poses = (_pose(next(pixels), twenty_five) for _ in rows)
        frames[number] = [pose for pose in poses if pose is not None]
    missing = count - len(files)
    notes = (f"{missing} of {count} frames have no file; they are gaps.",) if missing else ()
    height_px = options.size_px[1] if options.size_px else None
    followed = walker_of(frames, np.arange(count) / options.rate_hz, folder, height_px, options.person)
    return LabWalk("openpose", followed.trajectories, notes=notes + followed.notes)


def is_frame(path: Path) -> bool:
    """Whether a file is called as OpenPose calls that of one frame."""
    return _FILE.fullmatch(path.name) is not None


def keypoint_files(folder: Path) -> dict[tuple[str, int], Path]:
    """Files of the folder by the video's name and the frame's number."""
    try:
        found = [(match, path) for path in sorted(folder.iterdir()) if (match := _FILE.fullmatch(path.name))]
    except OSError as error:
        raise GaitkeeperError("lab-file-unreadable", path=folder, detail=error.strerror) from error
    return {(match["name"] or "", int(match["frame"])): path for match, path in found}


def _people(path: Path) -> list[FloatArray]:
    """(K, 3) x, y, confidence of everybody in one frame, as they stand in the file."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            broken(path, _FORMAT, "it is far too large for one frame")
        people = json.loads(path.read_bytes())["people"]
        rows = [np.array(person[_KEYS[_KEYS[0] not in person]], dtype=np.float64) for person in people]
    except OSError as error:
        raise GaitkeeperError("lab-file-unreadable", path=path, detail=error.strerror) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        detail = "it is not the JSON of one frame's people; taken out of the folder, its frame is a gap"
        raise GaitkeeperError("lab-file-broken", path=path, format=_FORMAT, detail=detail) from error
    for row in rows:
        if row.ndim != 1 or row.size % 3 or (row.size and row.size // 3 not in BY_LENGTH):
            broken(path, _FORMAT, f"a person has {row.size / 3:g} points; known are {sorted(BY_LENGTH)}")
    return [row.reshape(-1, 3) for row in rows if row.size]


def _in_pixels(people: list[FloatArray], folder: Path, options: ReadOptions) -> list[FloatArray]:
    """Everybody in pixels. Raises ``pose-size-needed`` for shares of a picture whose size nobody said."""
    seen = [person[person[:, 2] > 0.0, :2] for person in people]
    places = np.concatenate(seen) if seen else np.empty((0, 2))
    if not places.size or float(np.nanmax(np.abs(places))) > _LARGEST_SHARE:
        return people
    if options.size_px is None:
        raise GaitkeeperError("pose-size-needed", path=folder)
    from_middle = float(np.nanmin(places)) < 1.0 - _LARGEST_SHARE
    size, scaled = np.array(options.size_px), []
    for person in people:
        shares = 0.5 * (person[:, :2] + 1.0) if from_middle else person[:, :2]
        scaled.append(np.column_stack([shares * size, person[:, 2]]))
    return scaled


def _is_25b(people: list[FloatArray]) -> bool:
    """Whether bodies of 25 points are BODY_25B: its ankles stand where BODY_25 has the eyes."""
    low = []
    eyes = [BODY_25.points.index(f"{side}_eye") for side in SIDES]
    for person in people:
        if len(person) != len(BODY_25.points):
            continue
        rows = np.where(person[:, 2] > 0.0, person[:, 1], np.nan)
        seen = rows[eyes][np.isfinite(rows[eyes])]
        if seen.size and np.nanmax(rows) > np.nanmin(rows):
            low.append(float((seen.mean() - np.nanmin(rows)) / (np.nanmax(rows) - np.nanmin(rows))))
    return bool(low) and float(np.median(low)) > 0.5


def _pose(person: FloatArray, twenty_five: Skeleton) -> PersonPose | None:
    skeleton = twenty_five if len(person) == len(BODY_25.points) else BY_LENGTH[len(person)]
    values = person[: len(skeleton.points)].copy()
    values[~(values[:, 2] > 0.0)] = (np.nan, np.nan, 0.0)
    picked = PointPicker(skeleton).pick(values[:, :2], np.clip(values[:, 2], 0.0, 1.0))
    return one_person(picked.points, picked.confidence)
