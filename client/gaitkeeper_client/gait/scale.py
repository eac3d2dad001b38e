"""How many metres a unit of the tracks is.

A patient's height gives the scale of an image: the joints' distances along trunk, thigh and shank are fixed shares of
it (Drillis & Contini; Winter, Biomechanics and Motor Control of Human Movement, 2009, doi:10.1002/9780470549148). Sums
of segments are used rather than head-to-heel, so that a stooped patient is not taken for a short one. The scale is the
one at the walker's distance from the camera: a walk that comes nearer by a tenth is wrong by a tenth at one end.
"""

from __future__ import annotations

import numpy as np

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint, midpoint
from gaitkeeper_shared.skeleton import SIDES

SHARE_OF_HEIGHT = 0.779
"""Shoulder to hip (0.288), hip to knee (0.245) and knee to ankle (0.246), of the height (Winter 2009, figure 4.1)."""

LEG_SHARE = 0.491
"""Hip to knee to ankle alone, where no shoulders are seen: a stooped trunk does not count, and a long leg does."""


def body_length(points: FloatArray) -> float:
    """Median sum of trunk, thigh and shank over the walk, in the points' unit."""
    trunk = np.linalg.norm(midpoint(points, "shoulder") - midpoint(points, "hip"), axis=1)
    legs = [
        np.linalg.norm(joint(points, f"{side}_hip") - joint(points, f"{side}_knee"), axis=1)
        + np.linalg.norm(joint(points, f"{side}_knee") - joint(points, f"{side}_ankle"), axis=1)
        for side in SIDES
    ]
    return _median(trunk) + _median(np.concatenate(legs))


def _median(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def metres_per_unit(bout: Bout, unit: str, height_m: float | None, body_share: float = 1.0) -> float | None:
    """Scale of one walk; None where it is not known. ``body_share``: the segments as they are seen, over the true."""
    if unit == "m":
        return 1.0
    if height_m is None:
        return None
    length, share = body_length(bout.points), SHARE_OF_HEIGHT
    if not np.isfinite(length):
        length, share = bout.leg, LEG_SHARE
    return share * body_share * height_m / length if np.isfinite(length) and length > 0 else None
