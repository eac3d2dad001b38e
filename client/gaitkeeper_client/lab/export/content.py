"""What every writer writes, taken from a recording once: joints in metres, angles in degrees, events, an even clock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import ANGLES
from gaitkeeper_shared.recording import GaitEvent, Recording
from gaitkeeper_shared.skeleton import JOINTS, SIDES

ANGLE_NAMES = ("trunk_lean", *(f"{angle}_{side}" for side in SIDES for angle in ANGLES))

MARKERS: Mapping[str, str] = {
    "nose": "NOSE",
    **{
        f"{side}_{joint}": side[0].upper() + marker
        for side in SIDES
        for joint, marker in (
            ("shoulder", "SHO"),
            ("elbow", "ELB"),
            ("wrist", "WRI"),
            ("hip", "HJC"),
            ("knee", "KJC"),
            ("ankle", "AJC"),
            ("heel", "HEE"),
            ("toe", "TOE"),
        )
    },
}
"""Our joints under the names of markers that laboratories know."""


@dataclass(frozen=True, slots=True)
class ExportContent:
    """``time_s``: (T,) even, from 0. ``joints``: (T, J, 3) metres, z up, NaN where not seen; of a video's walk the
    second horizontal axis is 0 throughout. ``angles``: (T,) degrees by name, NaN outside the straight walk that they
    are known of. ``planar``: whether the joints come from one picture. ``status``: of the report that the walk is of
    (``draft``, ``signed``, ``amended``), which every file says; empty where it is of none.
    """

    time_s: FloatArray
    joints: FloatArray
    angles: Mapping[str, FloatArray]
    events: tuple[GaitEvent, ...]
    planar: bool
    status: str = ""

    @property
    def rate_hz(self) -> float:
        """Samples per second."""
        return float((self.time_s.size - 1) / (self.time_s[-1] - self.time_s[0]))

    def seen(self) -> list[int]:
        """Numbers of the joints that are seen at all."""
        return [number for number in range(len(JOINTS)) if np.isfinite(self.joints[:, number]).any()]


def content_of(recording: Recording, status: str = "") -> ExportContent:
    """What can be written of a recording; ``status``: see :class:`ExportContent`.

    Raises ``export-no-points`` for a series of forces and ``export-no-scale`` for a picture whose size of a pixel
    nobody knows.
    """
    tracks = recording.trajectories
    if tracks.time_s.size < 2:
        raise GaitkeeperError("export-no-points")
    joints, planar = tracks.positions, tracks.dimensions == 2
    if planar:
        metres = recording.quality.get("metres_per_unit") if tracks.unit == "px" else 1.0
        if not isinstance(metres, int | float) or not math.isfinite(metres):
            raise GaitkeeperError("export-no-scale")
        flat = np.zeros_like(joints[..., 0])
        joints = np.stack([joints[..., 0], flat, joints[..., 1]], axis=-1) * metres
        joints[~np.isfinite(tracks.positions).all(axis=2)] = np.nan
    start = float(tracks.time_s[0])
    even = np.arange(tracks.time_s.size) / tracks.sample_rate_hz
    events = tuple(GaitEvent(e.time_s - start, e.side, e.type, e.confidence) for e in recording.events)
    return ExportContent(even, joints, _angles(recording), events, planar, status)


def _angles(recording: Recording) -> dict[str, FloatArray]:
    signals, times = recording.signals, recording.trajectories.time_s
    place = np.searchsorted(times, signals.time_s - 0.5 / recording.trajectories.sample_rate_hz)
    inside = place < times.size
    found = {}
    for name in ANGLE_NAMES:
        if name in signals.names:
            curve = np.full(times.size, np.nan)
            curve[place[inside]] = signals.values[inside, signals.names.index(name)]
            found[name] = curve
    return found
