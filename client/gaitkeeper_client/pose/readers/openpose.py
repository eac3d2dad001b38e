"""OpenPose: a folder with one JSON file for each frame, several people in each, in no order.

The format's description: OpenPose documentation, "Output". ``people[].pose_keypoints_2d`` is x, y, confidence of each
point; a point that was not found is three zeros. Frames that have no file are gaps.
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
from gaitkeeper_client.pose.readers.skeletons import BY_LENGTH
from gaitkeeper_shared.errors import GaitkeeperError

_FORMAT = "OpenPose"
_FILE = re.compile(r"(?:(?P<name>.*)_)?(?P<frame>\d+)_keypoints\.json")
_MOST_BYTES = 4 * 2**20
_MOST_FRAMES = 1_000_000


def read_openpose(folder: Path, options: ReadOptions) -> LabWalk:
    """The walker of an OpenPose folder, in pixels with y up.

    The files do not say the frame rate. Raises ``pose-rate-needed``, ``lab-file-unreadable``, ``lab-file-broken``,
    ``person-unknown``, ``pose-nobody``.
    """
    if options.rate_hz is None:
        raise GaitkeeperError("pose-rate-needed", path=folder)
    files = keypoint_files(folder)
    if len({name for name, _ in files}) > 1:
        broken(folder, _FORMAT, "it holds the frames of several videos")
    numbers = [number for _, number in files]
    if not numbers:
        broken(folder, _FORMAT, "it holds no *_keypoints.json")
    first, count = min(numbers), max(numbers) - min(numbers) + 1
    if count < 2 or count > _MOST_FRAMES:
        broken(folder, _FORMAT, f"its frames are numbered from {first} to {max(numbers)}")
    frames: list[list[PersonPose]] = [[] for _ in range(count)]
    for (_, number), path in files.items():
        frames[number - first] = _people(path)
    missing = count - len(files)
    notes = (f"{missing} of {count} frames have no file; they are gaps.",) if missing else ()
    height_px = options.size_px[1] if options.size_px else None
    followed = walker_of(frames, np.arange(count) / options.rate_hz, folder, height_px, options.person)
    return LabWalk("openpose", followed.trajectories, notes=notes + followed.notes)


def keypoint_files(folder: Path) -> dict[tuple[str, int], Path]:
    """Files of the folder by the video's name and the frame's number."""
    try:
        found = [(match, path) for path in sorted(folder.iterdir()) if (match := _FILE.fullmatch(path.name))]
    except OSError as error:
        raise GaitkeeperError("lab-file-unreadable", path=folder, detail=error.strerror) from error
    return {(match["name"] or "", int(match["frame"])): path for match, path in found}


def _people(path: Path) -> list[PersonPose]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            broken(path, _FORMAT, "it is far too large for one frame")
        people = json.loads(path.read_bytes())["people"]
        rows = [np.array(person["pose_keypoints_2d"], dtype=np.float64) for person in people]
    except OSError as error:
        raise GaitkeeperError("lab-file-unreadable", path=path, detail=error.strerror) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        detail = "it is not the JSON of one frame's people"
        raise GaitkeeperError("lab-file-broken", path=path, format=_FORMAT, detail=detail) from error
    found = []
    for row in rows:
        skeleton = BY_LENGTH.get(row.size // 3)
        if row.ndim != 1 or row.size % 3 or skeleton is None:
            broken(path, _FORMAT, f"a person has {row.size / 3:g} points; known are {sorted(BY_LENGTH)}")
        values = row.reshape(-1, 3)
        values[~(values[:, 2] > 0.0)] = (np.nan, np.nan, 0.0)
        picked = PointPicker(skeleton).pick(values[:, :2], np.clip(values[:, 2], 0.0, 1.0))
        pose = one_person(picked.points, picked.confidence)
        if pose is not None:
            found.append(pose)
    return found
