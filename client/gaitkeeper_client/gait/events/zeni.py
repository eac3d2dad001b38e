"""Events where the foot is farthest from the pelvis.

Zeni, Richards & Higginson 2008, doi:10.1016/j.gaitpost.2007.07.007: a foot strikes about when its heel is farthest
ahead of the pelvis and comes off about when its toe is farthest behind. Robust, because both are the extremes of a
large motion; early or late by a few hundredths of a second, depending on the walk. Where a recording shows no feet, the
ankle stands in for both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.events.base import Peak, peaks, peaks_at_the_ends, stride_period_s
from gaitkeeper_client.gait.events.order import enforce_order
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint, midpoint
from gaitkeeper_shared.recording import EventType, GaitEvent, Side
from gaitkeeper_shared.skeleton import JOINT_INDEX

_SIDES: tuple[Side, Side] = ("left", "right")
Ends = tuple[str, str]
HEEL_AND_TOE: Ends = ("heel", "toe")
ANKLES: Ends = ("ankle", "ankle")

PROMINENCE = 0.12
"""In leg lengths: a shuffling step is about 0.3 long, keypoint noise about 0.02."""
CLEAR = 0.4
"""Prominence, in leg lengths, above which an event's confidence is that of its points."""


@dataclass(frozen=True, slots=True)
class Zeni:
    """The coordinate method. ``ends``: which points of a foot tell its strikes and its offs."""

    name: str = "zeni-2008"
    ends: Ends = HEEL_AND_TOE

    def detect(self, bout: Bout) -> tuple[GaitEvent, ...]:
        """Events of one straight walk."""
        return enforce_order(_events(bout, peaks, self.ends))


def events_at_the_ends(bout: Bout, ends: Ends) -> list[GaitEvent]:
    """Events so near to a walk's ends that only one flank of their extreme is seen: to be confirmed by other means."""
    return _events(bout, peaks_at_the_ends, ends)


def _events(
    bout: Bout, find: Callable[[FloatArray, FloatArray, float, float], list[Peak]], ends: Ends
) -> list[GaitEvent]:
    apart = apart_s(bout)
    pelvis = midpoint(bout.points, "hip")[:, 0]
    kinds: tuple[tuple[str, float, EventType], ...] = ((ends[0], 1.0, "foot_strike"), (ends[1], -1.0, "foot_off"))
    found: list[GaitEvent] = []
    for side in _SIDES:
        for what, sign, kind in kinds:
            signal = sign * (joint(bout.points, f"{side}_{what}")[:, 0] - pelvis) / bout.leg
            sure = bout.confidence[:, JOINT_INDEX[f"{side}_{what}"]]
            for peak in find(bout.time_s, signal, PROMINENCE, apart):
                confidence = float(sure[peak.index]) * min(1.0, peak.prominence / CLEAR)
                found.append(GaitEvent(peak.time_s, side, kind, confidence))
    return found


def apart_s(bout: Bout) -> float:
    """Half a stride: two events of one kind and foot are farther apart."""
    ahead = (joint(bout.points, "left_ankle") - joint(bout.points, "right_ankle"))[:, 0]
    period = stride_period_s(bout.time_s, ahead)
    return 0.5 * period if np.isfinite(period) else 0.4
