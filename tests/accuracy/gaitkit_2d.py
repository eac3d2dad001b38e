"""gaitkit's own event detectors on keypoints of a picture, called as somebody would who has gaitkit and a pose network.

Points are given as gaitkit's own reader of OpenPose gives them: column, 0 across, height; gaps filled straight. The
origin is the picture's middle, since IntellEvent tells from it where the walk goes. The detectors are called directly:
``gaitkit.detect`` would install packages by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from gaitkit.detectors import DETECTOR_REGISTRY
from gaitkit.detectors.bike2 import BIKE2Detector
from tests.accuracy.seen import SIZE

from gaitkeeper_client.gait.events.bike import LANDMARKS, angle_frames
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import EventType, GaitEvent, JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX

NEEDS_TENSORFLOW = "deepevent"
DETECTORS: dict[str, Any] = {"bike": BIKE2Detector} | {
    name: detector for name, detector in sorted(DETECTOR_REGISTRY.items()) if name != NEEDS_TENSORFLOW
}
"""By gaitkit's names; ``bike`` is the current version of ``bayesian_bis``."""


def gaitkit_events(name: str, seen: JointTrajectories) -> tuple[GaitEvent, ...]:
    """What one detector finds, none where a point that it needs is never seen."""
    points = _points(seen)
    if not np.isfinite(points).all():
        return ()
    strikes, offs, _ = DETECTORS[name](fps=seen.sample_rate_hz).detect_gait_events(angle_frames(points))
    found = [*_events(strikes, "foot_strike"), *_events(offs, "foot_off")]
    return tuple(sorted(found, key=lambda event: event.time_s))


def _events(found: list[Any], kind: EventType) -> Iterator[GaitEvent]:
    for event in found:
        yield GaitEvent(float(event.time), event.side, kind, 1.0)


def _points(seen: JointTrajectories) -> FloatArray:
    """(T, P, 3) of gaitkit's landmarks."""
    points = np.zeros((seen.time_s.size, len(LANDMARKS), 3))
    middle = 0.5 * np.array(SIZE)
    for place, name in enumerate(LANDMARKS):
        for axis, to in ((0, 0), (1, 2)):
            track = seen.positions[:, JOINT_INDEX[name], axis] - middle[axis]
            known = np.isfinite(track)
            filled = np.interp(seen.time_s, seen.time_s[known], track[known]) if known.any() else np.nan
            points[:, place, to] = filled
    return points
