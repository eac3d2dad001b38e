"""The legs of a side view, of which the near one hides the far one twice a stride.

Pose networks guess a hidden knee, and guess it behind the near leg, where they last saw something: in mid-swing the
far knee is found up to 6 cm too far back, and its flexion 15 degrees too small (seen on rendered walkers whose truth
is known, and on real video as a far knee that bends 10 degrees less than the near one). Hip and ankle are found well
meanwhile, and bones keep their length: how far the ankle is from the hip tells how far the knee is bent. So the far
leg's hip, knee and ankle are moved, as little as possible (least squares over the whole walk), to where thigh and shank
keep their length and the leg moves as smoothly as legs do; a knee or an ankle that lies on the near leg's line counts
for little.

- The length of thigh and shank is what a seventh of the walk's samples exceed: a knee drawn towards the other leg only
  shortens.
- The hips' height is the mean of the network's and of what the near shoulder carries, from which it is about as far
  throughout a stride; networks let the hips bob more than they do.
- Networks also draw a hip forward with its thigh, and the knee then seems to bend less than it does. Hips move along
  the way by 0.011 leg lengths against the shoulders (markers of people, patients among them; one standard deviation),
  those of networks by 0.025 on rendered and by 0.039 on real video. So they are put back by half of the way; in a view
  that was set square not at all, because there a pelvis that sways and turns also moves along the way.
- First, both legs are steadied where they stand and the other one swings past (:mod:`standing_leg`).
- The near leg is not fitted: a person's thigh and shank look up to a tenth longer or shorter as they swing, and held
  at one length a healthy near knee on real video bent 78 degrees instead of 66.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.clean import stretches
from gaitkeeper_client.gait.leg_chain import fit_over_time
from gaitkeeper_client.gait.standing_leg import steady_standing_legs
from gaitkeeper_client.gait.view import View
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint, midpoint
from gaitkeeper_shared.recording import Side
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES, other_side

HIDING_WIDTH = {"knee": 0.2, "ankle": 0.1}
"""A joint this far from the near leg's line, in leg lengths, is in full sight."""
LEAST_WEIGHT = 0.02
"""Of a joint right on that line, against one in full sight."""
LENGTH_PERCENTILE = 85.0
SHOULDER_SHARE = 0.5
FORWARD_SHARE = 0.5
FEWEST_SAMPLES = 5
_CHAIN = ("hip", "knee", "ankle")


def far_side(bout: Bout, view: View) -> Side | None:
    """The side away from the camera in a side view, or one that is set square; None from elsewhere.

    Who walks to the right shows the right one.
    """
    if not (view.name == "side" or view.set_square) or isinstance(bout.heading, tuple):
        return None
    return "left" if bout.heading > 0 else "right"


def with_whole_legs(bout: Bout, view: View) -> Bout:
    """The walk with hips, standing legs and the far leg's knee and ankle put right; as it is where no leg is far."""
    far = far_side(bout, view)
    if far is None:
        return bout
    points = steady_standing_legs(bout.points, bout.leg, bout.rate_hz)
    _steady_hips(points, other_side(far), 0.0 if view.set_square else FORWARD_SHARE)
    leg = np.stack([joint(points, f"{far}_{part}") for part in _CHAIN], axis=1)
    known = np.asarray(np.isfinite(leg).all(axis=(1, 2)))
    seen = [stretch for stretch in stretches(known) if stretch[1] - stretch[0] >= FEWEST_SAMPLES]
    if not seen:
        return replace(bout, points=points)
    lengths = _length(leg[known, 0], leg[known, 1]), _length(leg[known, 1], leg[known, 2])
    weight = _in_sight(points, far, sum(lengths))
    for start, stop in seen:
        fitted = fit_over_time(leg[start:stop], lengths, weight[start:stop], bout.rate_hz)
        points[start:stop, [JOINT_INDEX[f"{far}_{part}"] for part in _CHAIN]] = fitted
    return replace(bout, points=points)


def _steady_hips(points: FloatArray, near: str, forward_share: float) -> None:
    shoulders = midpoint(points, "shoulder")[:, 0]
    for axis, share, carrier in (
        (0, forward_share, shoulders),
        (1, SHOULDER_SHARE, joint(points, f"{near}_shoulder")[:, 1].copy()),
    ):
        for side in SIDES:
            track = points[:, JOINT_INDEX[f"{side}_hip"], axis]
            away = carrier - track
            known = np.isfinite(away)
            if known.any():
                track[known] += share * (away[known] - np.median(away[known]))


def _in_sight(points: FloatArray, far: str, leg: float) -> FloatArray:
    """(T, 3) of the far leg's hip, knee and ankle: 1 in full sight, less the nearer they are to the near leg."""
    weight = np.ones((points.shape[0], len(_CHAIN)))
    for number, part in enumerate(_CHAIN):
        if part in HIDING_WIDTH:
            share = (_from_near_leg(points, far, part) / (HIDING_WIDTH[part] * leg)) ** 2
            weight[:, number] = np.where(np.isfinite(share), np.clip(share, LEAST_WEIGHT, 1.0), 1.0)
    return weight


def _length(upper: FloatArray, lower: FloatArray) -> float:
    return float(np.percentile(np.linalg.norm(lower - upper, axis=1), LENGTH_PERCENTILE))


def _from_near_leg(points: FloatArray, far: str, part: str) -> FloatArray:
    """(T,) distance of a joint of the far leg from the nearest of the near leg's thigh, shank and foot."""
    near, point = other_side(far), joint(points, f"{far}_{part}")
    bones = (("hip", "knee"), ("knee", "ankle"), ("heel", "toe"))
    apart = [
        _from_segment(point, joint(points, f"{near}_{upper}"), joint(points, f"{near}_{lower}"))
        for upper, lower in bones
    ]
    distance: FloatArray = np.fmin(np.fmin(apart[0], apart[1]), apart[2])
    return distance


def _from_segment(point: FloatArray, start: FloatArray, end: FloatArray) -> FloatArray:
    along = end - start
    squared = np.maximum((along**2).sum(axis=1), 1e-12)
    share = np.clip(((point - start) * along).sum(axis=1) / squared, 0.0, 1.0)
    distance: FloatArray = np.linalg.norm(point - start - share[:, None] * along, axis=1)
    return distance
