"""Foot strikes where the ground, or a belt, has taken half of the walking speed from the heel.

A heel comes forward faster than the body and has the speed of the ground when it bears weight. How long the braking
takes grows with the speed that has to go; seen as a share of the walking speed, it passes at one and the same time
before the contact, at 1.3 m/s over ground and at 0.45 m/s on a belt alike. That is what the extremes of positions
(:mod:`zeni`) and networks trained at usual speeds lack: these come 10 to 25 ms later, against the force, in slow
walking. The idea of taking the foot's speed is that of O'Connor et al. 2007, doi:10.1016/j.gaitpost.2006.05.016.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from gaitkeeper_client.gait.events.base import crossings
from gaitkeeper_client.gait.events.local import LocalWalk
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint, midpoint
from gaitkeeper_shared.recording import GaitEvent
from gaitkeeper_shared.skeleton import SIDES

SHARE = 0.5
"""Of the walking speed of the moment, that of the pelvis over the ground or against the belt."""
EARLY_S = 0.021
"""The constant by which the heel is braked so far before its force exceeds 20 N: median of 22 strikes over ground."""
SMOOTHING_S = 0.4
"""The pelvis speeds up and slows down with every step; the walk does with every few."""
LEAST_SHARE = 0.3
"""Of the usual speed, below which nobody is walking any more."""
SEARCH_S = 0.16
"""How far the braking may be from the coordinate method's strike."""
SLOWEST_M_S = 0.1
"""Somebody who does not get on has no speed to take a share of."""


def braked(walk: LocalWalk, rough: Sequence[GaitEvent]) -> list[GaitEvent | None]:
    """Each of the strikes at the time at which the heel lands; None for an off, and where no braking is near.

    ``walk``: of all joints; ``rough``: events of the coordinate method on the same clock, uncorrected.
    """
    rest = _standing_foot(walk.velocity)
    speed = midpoint(walk.velocity, "hip")[:, 0] - rest
    usual = float(np.mean(speed))
    if not usual >= SLOWEST_M_S:
        return [None] * len(rough)
    rate_hz = 1.0 / float(np.median(np.diff(walk.time_s)))
    # Who stops, or turns, is slower there; who stands still has no speed to take a share of.
    level = SHARE * np.maximum(gaussian_filter1d(speed, SMOOTHING_S * rate_hz, mode="nearest"), LEAST_SHARE * usual)
    landings = {
        side: crossings(walk.time_s, joint(walk.velocity, f"{side}_heel")[:, 0] - rest - level, falling=True)
        for side in SIDES
    }
    found: list[GaitEvent | None] = []
    for event in rough:
        near = min(landings[event.side], key=lambda one: abs(one - event.time_s), default=np.inf)
        strike = event.type == "foot_strike" and abs(near - event.time_s) <= SEARCH_S
        found.append(replace(event, time_s=near + EARLY_S) if strike else None)
    return found


def _standing_foot(velocity: FloatArray) -> float:
    """Forward speed of the ground: about 0, or that of the belt; NaN where an ankle is missing."""
    ankles = [joint(velocity, f"{side}_ankle")[:, 0] for side in SIDES]
    slower = np.minimum(*ankles)
    return float(np.median(slower))
