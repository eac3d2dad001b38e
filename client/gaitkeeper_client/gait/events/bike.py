"""Events of laboratory markers on a treadmill by BIKE, the Bayesian detector of the package ``gaitkit`` (MIT).

Its rules speak of where a foot is against knee and pelvis, which a belt does not change. The detector is called
directly: ``gaitkit.detect`` would install packages by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.events.local import RATE_HZ, local_walk, straight
from gaitkeeper_client.gait.events.order import enforce_order
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import EventType, GaitEvent, JointTrajectories

if TYPE_CHECKING:
    from gaitkit.extractors.base_extractor import AngleFrame

SHORTEST_S = 1.6
"""It finds nothing in less."""
PARTS = ("hip", "knee", "ankle", "heel", "toe")
LANDMARKS = tuple(f"{side}_{part}" for side in ("left", "right") for part in PARTS)
_MM = 1000.0


@dataclass(frozen=True, slots=True)
class Bike:
    """``tracks``: cleaned 3-D tracks, of which the bouts are parts."""

    tracks: JointTrajectories
    name: str = "bike-gaitkit-1.5"

    def detect(self, bout: Bout) -> tuple[GaitEvent, ...]:
        """Events of one walk on the spot."""
        from gaitkit.detectors.bike2 import BIKE2Detector

        walk = local_walk(self.tracks, bout.start, bout.stop, straight(bout), LANDMARKS, RATE_HZ)
        time_s, tracks = walk.time_s, walk.relative
        if not np.isfinite(tracks).all():
            return ()  # it takes a missing landmark for one at the origin
        strikes, offs, _ = BIKE2Detector(fps=RATE_HZ).detect_gait_events(angle_frames(tracks * _MM))
        kinds: tuple[tuple[EventType, list[object]], ...] = (("foot_strike", strikes), ("foot_off", offs))
        return enforce_order([_event(time_s, event, kind) for kind, events in kinds for event in events])


def angle_frames(points: FloatArray) -> list[AngleFrame]:
    """(T, P, 3) points in the order of :data:`LANDMARKS` as gaitkit's detectors take them, with the knees' angles."""
    from gaitkit.extractors.base_extractor import AngleFrame

    knees = [_knee_flexion(points, first) for first in (0, len(PARTS))]
    return [
        AngleFrame(
            frame_index=number,
            left_hip_angle=0.0,
            right_hip_angle=0.0,
            left_knee_angle=float(knees[0][number]),
            right_knee_angle=float(knees[1][number]),
            left_ankle_angle=0.0,
            right_ankle_angle=0.0,
            trunk_angle=0.0,
            pelvis_tilt=0.0,
            landmark_positions={
                name: tuple(float(value) for value in point)
                for name, point in zip(LANDMARKS, points[number], strict=True)
            },
        )
        for number in range(points.shape[0])
    ]


def _event(time_s: FloatArray, event: object, kind: EventType) -> GaitEvent:
    index, side = int(event.frame_index), event.side  # type: ignore[attr-defined]
    sure = float(np.clip(event.probability, 0.0, 1.0))  # type: ignore[attr-defined]
    return GaitEvent(float(time_s[index]), side, kind, sure)


def _knee_flexion(tracks: FloatArray, first: int) -> FloatArray:
    """(T,) degrees between thigh and shank in space."""
    thigh = tracks[:, first + 1] - tracks[:, first]
    shank = tracks[:, first + 2] - tracks[:, first + 1]
    cosine = (thigh * shank).sum(axis=1) / (np.linalg.norm(thigh, axis=1) * np.linalg.norm(shank, axis=1))
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
