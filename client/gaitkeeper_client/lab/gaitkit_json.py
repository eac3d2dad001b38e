"""Walks as gaitkit stores them: JSON with the landmarks of each frame, perhaps with events of a laboratory.

Landmarks are a laboratory's markers in millimetres, in the laboratory's own axes; three zeros mean "not seen". Events
under ``ground_truth`` are numbers of frames, from 0.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from gaitkeeper_client.lab.joints import to_trajectories
from gaitkeeper_client.lab.text import MOST_BYTES, broken
from gaitkeeper_client.lab.walk import LabWalk, Markers
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import EventType, GaitEvent, Side
from gaitkeeper_shared.skeleton import JOINTS

_FORMAT = "gaitkit JSON"
_SIDES: tuple[Side, Side] = ("left", "right")
_EVENTS: dict[str, EventType] = {"hs_frames": "foot_strike", "to_frames": "foot_off"}


def read_gaitkit(path: Path) -> LabWalk:
    """One JSON walk. Raises ``lab-file-unreadable``, ``lab-file-broken``, ``lab-points-missing``,
    ``lab-nothing-seen`` or ``lab-unit-unknown``."""
    document = _document(path)
    try:
        rate = float(document["fps"])
        frames = [frame["landmark_positions"] for frame in document["angle_frames"]]
        names = tuple(name for name in JOINTS if any(name in frame for frame in frames))
        unseen = [math.nan] * 3
        positions = np.array([[frame.get(name, unseen) for name in names] for frame in frames], dtype=np.float64)
        events = _events(document.get("ground_truth", {}), rate, len(frames))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise GaitkeeperError(
            "lab-file-broken", path=path, format=_FORMAT, detail="a frame has no landmarks of three numbers"
        ) from error
    if not 1.0 <= rate <= 10_000.0 or len(frames) < 2 or positions.ndim != 3 or positions.shape[2] != 3:
        broken(path, _FORMAT, f"it holds {len(frames)} frames at {rate:g} Hz")
    positions[(positions == 0.0).all(axis=2) | ~np.isfinite(positions).all(axis=2)] = np.nan
    markers = Markers(np.arange(len(frames)) / rate, names, positions, math.nan)
    trajectories, frame = to_trajectories(markers, path)
    return LabWalk("gaitkit-json", trajectories, events, notes=frame.notes)


def _document(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            broken(path, _FORMAT, f"it is larger than {MOST_BYTES // 2**20} MiB")
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise GaitkeeperError("lab-file-unreadable", path=path, detail=error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise GaitkeeperError("lab-file-broken", path=path, format=_FORMAT, detail="it is not JSON") from error
    if not isinstance(document, dict):
        broken(path, _FORMAT, "it is not an object")
    return document


def _events(truth: Any, rate: float, frames: int) -> tuple[GaitEvent, ...]:
    found = [
        GaitEvent(float(number) / rate, side, kind, 1.0)
        for key, kind in _EVENTS.items()
        for side in _SIDES
        for number in (truth.get(key) or {}).get(side, [])
        if 0 <= float(number) < frames
    ]
    return tuple(sorted(found, key=lambda event: event.time_s))
