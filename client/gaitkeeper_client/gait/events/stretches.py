"""From the first step to the last: straight walks and what lies between and beside them.

A straight walk is cut where the walker turns, and where its speed falls. Steps are made there, too: they are found in
the whole stretch, along the path, and belong to no straight walk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d

from gaitkeeper_client.gait.bouts import LARGEST_TURN_DEG, Bout
from gaitkeeper_client.gait.clean import stretches
from gaitkeeper_client.gait.events.local import along_the_path, straight
from gaitkeeper_shared.arrays import BoolArray, FloatArray
from gaitkeeper_shared.kinematics import joint
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

LONGEST_PAUSE_S = 8.0
"""Between two straight walks: the slowest turn of a patient. Longer, and the second is a walk of its own."""
MOVING_LEGS_S = 0.3
"""Speed of the faster foot, in leg lengths a second, of somebody who is stepping."""
STEP_S = 0.4
"""Both feet rest for no longer than this between two steps."""
PARTS = ("hip", "ankle", "heel", "toe")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples ``start`` to ``stop`` of the tracks. ``direction``: (stop - start,) radians from the first axis.

    ``bouts``: the straight walks in it, at least one.
    """

    start: int
    stop: int
    direction: FloatArray
    bouts: tuple[Bout, ...]


def walking_stretches(tracks: JointTrajectories, bouts: Sequence[Bout]) -> tuple[Stretch, ...]:
    """Every straight walk in the stretch of walking that it is part of, in order of time; for tracks in space."""
    moving = _stepping(tracks, bouts[0].leg) if bouts else np.zeros(0, dtype=bool)
    seen = _seen(tracks)
    groups: list[list[Bout]] = []
    for bout in bouts:
        last = groups[-1][-1] if groups else None
        near = last is not None and bout.time_s[0] - last.time_s[-1] <= LONGEST_PAUSE_S
        if last is not None and near and seen[last.stop : bout.start].all():
            groups[-1].append(bout)
        else:
            groups.append([bout])
    found, free = [], 0
    for number, group in enumerate(groups):
        end = groups[number + 1][0].start if number + 1 < len(groups) else seen.size
        start = _back(moving, group[0].start, free)
        stop = seen.size - _back(moving[::-1], seen.size - group[-1].stop, seen.size - end)
        direction = along_the_path(tracks, start, stop, group)
        if len(group) == 1 and float(np.ptp(direction)) <= np.radians(LARGEST_TURN_DEG):
            direction = np.full(stop - start, straight(group[0])[0])
        found.append(Stretch(start, stop, direction, tuple(group)))
        free = stop
    return tuple(found)


def _back(moving: BoolArray, start: int, least: int) -> int:
    """How far before ``start`` the stepping began."""
    while start > least and moving[start - 1]:
        start -= 1
    return start


def _seen(tracks: JointTrajectories) -> BoolArray:
    needed = [JOINT_INDEX[f"{side}_{part}"] for side in SIDES for part in PARTS]
    return np.asarray(np.isfinite(tracks.positions[:, needed]).all(axis=(1, 2)))


def _stepping(tracks: JointTrajectories, leg: float) -> BoolArray:
    """(T,) whether a foot moves at this moment, or did or will within half of :data:`STEP_S`; both are seen."""
    seen = _seen(tracks)
    fastest = np.zeros(seen.size)
    for start, stop in stretches(seen):
        if stop - start < 3:
            continue
        for side in SIDES:
            track = joint(tracks.positions[start:stop], f"{side}_ankle")[:, :2]
            speed = np.linalg.norm(np.gradient(track, axis=0), axis=1) * tracks.sample_rate_hz
            fastest[start:stop] = np.maximum(fastest[start:stop], speed / leg)
    width = max(1, round(STEP_S * tracks.sample_rate_hz))
    return seen & (maximum_filter1d(fastest, size=width) >= MOVING_LEGS_S)
