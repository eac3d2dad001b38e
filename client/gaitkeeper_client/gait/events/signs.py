"""Signs of a foot's contact in points of a picture: moments that precede or follow the event by about a constant.

Where a leg is in its to and fro about the pelvis (Zeni et al. 2008, doi:10.1016/j.gaitpost.2007.07.007), how fast a
point of the foot goes (after O'Connor et al. 2007, doi:10.1016/j.gaitpost.2006.05.016, with thresholds tied to the
walker's own speed), and how far shank and foot are tilted. Each errs in its own way: one is early and the other late
where somebody walks slowly, drags a foot, or where smoothing rounds a corner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.events.base import crossings, peaks
from gaitkeeper_client.gait.events.order import SHORTEST_SWING_S
from gaitkeeper_client.gait.events.zeni import PROMINENCE, apart_s
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint, midpoint

TILT_DEG = 10.0
"""Prominence of a tilt: a shank goes to and fro over 60 degrees, over 30 of who shuffles; a foot over more."""

Find = Callable[[Bout, str, float], list[float]]
"""(walk, side, walking speed) to the times of all such moments, in order."""


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign of one kind of event. ``late_s``: how much later than the event it is, on the mean.

    ``weight``: against the others.
    """

    find: Find
    late_s: float
    weight: float = 1.0

    def times(self, bout: Bout, side: str, speed: float) -> FloatArray:
        """(N,) when each event was by this sign."""
        return np.array(self.find(bout, side, speed), dtype=np.float64) - self.late_s


def _reach(part: str, ahead: float, bout: Bout, side: str, _: float) -> list[float]:
    pelvis = midpoint(bout.points, "hip")[:, 0]
    signal = ahead * (joint(bout.points, f"{side}_{part}")[:, 0] - pelvis) / bout.leg
    return [peak.time_s for peak in peaks(bout.time_s, signal, PROMINENCE, apart_s(bout))]


def farthest_ahead(part: str) -> Find:
    """A point of the leg is farthest ahead of the pelvis."""
    return partial(_reach, part, 1.0)


def farthest_behind(part: str) -> Find:
    """A point of the leg is farthest behind the pelvis."""
    return partial(_reach, part, -1.0)


def _speed(part: str, share: float, falling: bool, bout: Bout, side: str, speed: float) -> list[float]:
    forward = np.gradient(joint(bout.points, f"{side}_{part}")[:, 0], bout.time_s)
    return crossings(bout.time_s, forward - share * speed, falling=falling)


def slower_than(part: str, share: float) -> Find:
    """The forward speed of a point falls below a share of the walking speed."""
    return partial(_speed, part, share, True)


def faster_than(part: str, share: float) -> Find:
    """The forward speed of a point rises above a share of the walking speed."""
    return partial(_speed, part, share, False)


def tilted_most(upper: str, lower: str) -> Find:
    """The line from one point of the leg up to another leans forward the farthest."""
    return partial(_tilt, upper, lower)


def _tilt(upper: str, lower: str, bout: Bout, side: str, _: float) -> list[float]:
    line = joint(bout.points, f"{side}_{upper}") - joint(bout.points, f"{side}_{lower}")
    # A foot's line goes back from its tip: only one that is bent below the tip would pass 180 degrees.
    tilt = np.degrees(np.unwrap(np.arctan2(line[:, 0], line[:, 1])))
    if not np.isfinite(tilt).all():
        return []
    return [peak.time_s for peak in peaks(bout.time_s, tilt, TILT_DEG, SHORTEST_SWING_S)]
