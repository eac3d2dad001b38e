"""Parameters of joints, arms, trunk and feet: ranges of angles over the gait cycle.

Signs are those of ``gaitkeeper_shared.kinematics`` and ``docs/parameters.md``: none depends on the way the walk goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from gaitkeeper_client.gait.analysis import Cycle, Parameter
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.measure import BySide, Error, compared, finished, mean, withheld
from gaitkeeper_client.gait.refusals import refused
from gaitkeeper_client.gait.walk import IMAGE_NOISE, IN_IMAGES, Walk, flat, over_cycle
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import ANGLES, joint, midpoint
from gaitkeeper_shared.skeleton import SIDES

Series = Callable[[Walk], FloatArray]
"""(T,) degrees of a walk."""

LARGEST_DEG = {"ankle_range": 90.0, "knee_range": 160.0, "hip_range": 160.0, "foot_progression": 90.0}
"""No person's joint reaches farther, and a foot that points farther off points backwards: a larger value is a fault of
the points or of their names, not a finding."""
LOST_DEG = 20.0
"""A stride whose knee range is so far from the median stride's had its points lost. Knees of simulated walkers stay
within 6 of it, those of the ataxic included; hips do not, whose range follows the step."""
NEAR_ARM_DEG, FAR_ARM_DEG = 1.5, 12.0
"""Error of an arm's swing in a side view: the trunk hides the arm behind, which the network then guesses. Ten rendered
walkers through MediaPipe: 1.5 and 12.4 (root mean square), up to 19."""
WRISTS, SHOULDERS = say("why.wrists"), say("why.shoulders")


def body_parameters(walks: Sequence[Walk]) -> dict[str, Parameter]:
    """All parameters that are angles."""
    out = {f"{_short(angle)}_range_{side}": _joint_range(walks, angle, side) for angle in ANGLES for side in SIDES}
    arms = {side: _curves(walks, partial(arm_angle, side=side), (side,)) for side in SIDES}
    swings = {side: range_of_mean(arms[side]) for side in SIDES}
    for side in SIDES:
        name = f"arm_swing_{side}"
        values = BySide.of((side, value) for value in swings[side])
        out[name] = _angle(name, walks, values, 1, WRISTS, _arm_error(walks, side))
    out["arm_swing_asymmetry"] = _asymmetry(walks, BySide(tuple(swings["left"]), tuple(swings["right"])))
    lean = _curves(walks, trunk_lean, SIDES)
    leans = BySide.of(("left", float(c.mean())) for c in lean)
    out["trunk_lean"] = _angle("trunk_lean", walks, leans, 2, SHOULDERS, _trunk_error(walks))
    for name, series in _TRUNK.items():
        out[name] = _trunk_range(name, walks, series)
    for side in SIDES:
        name = f"foot_progression_{side}"
        values = BySide.of((side, foot_progression(walk, c)) for walk in walks for c in walk.cycles if c.side == side)
        out[name] = _angle(name, walks, values, 2, "heels and toes")
    return {name: _humanly(name, parameter) for name, parameter in out.items()}


def _humanly(name: str, parameter: Parameter) -> Parameter:
    limit = LARGEST_DEG.get(name.removesuffix("_left").removesuffix("_right"))
    if limit is None or parameter.value is None or abs(parameter.value) <= limit:
        return parameter
    row = DEFINITIONS[name]
    return refused(row.unit, "beyond-human", parameter.n, what=row.title, value=parameter.value, limit=limit)


def _short(angle: str) -> str:
    return angle.split("_")[0]


def _joint_range(walks: Sequence[Walk], angle: str, side: str) -> Parameter:
    """The mean of the strides' ranges; of images less what noise beyond a good network's adds to it.

    The range of the mean curve would be free of noise, but too small where strides differ: by up to 8 degrees of exact
    points of ataxic walkers.
    """
    curves = [
        np.asarray(cycle.curves[f"{angle}_{side}"], dtype=np.float64)
        for walk in walks
        for cycle in walk.cycles
        if cycle.side == side and f"{angle}_{side}" in cycle.curves
    ]
    known = [curve for curve in curves if np.isfinite(curve).all()]
    name, seen = f"{_short(angle)}_range_{side}", say("why.leg", side=say(f"sides.{side}"))
    own = [float(np.ptp(curve)) for curve in known]
    shared = max(
        (walk.shared.far_range_deg if walk.far_side == side else walk.shared.range_deg for walk in walks), default=0.0
    )
    if all(walk.space is not None for walk in walks):
        return _angle(name, walks, BySide.of((side, value) for value in own), 4, seen, shared)
    if angle == "knee_flexion":
        known = [curve for curve, value in zip(known, own, strict=True) if abs(value - np.median(own)) <= LOST_DEG]
        own = [float(np.ptp(curve)) for curve in known]
    common = range_of_mean(known)
    added = 2.0 * _excess_noise(walks, 4)
    freed = BySide.of((side, max(value - added, 0.0)) for value in own)
    return _reaching(_angle(name, walks, freed, 4, seen, shared), name, walks, own, common)


def _reaching(
    found: Parameter, name: str, walks: Sequence[Walk], own: Sequence[float], common: Sequence[float]
) -> Parameter:
    """The value with an interval that reaches at least to the strides' own ranges and to that of their mean curve."""
    if found.value is None or found.ci95 is None:
        return found
    limits = (float(np.mean(common)), float(np.mean(own)))
    interval = (min(found.ci95[0], *limits), max(found.ci95[1], *limits))
    return finished(DEFINITIONS[name], walks, found.value, interval, found.n)


def _trunk_range(name: str, walks: Sequence[Walk], series: Series) -> Parameter:
    """Over the left foot's cycles; over the right foot's where there are more of them."""
    sides = {side: _curves(walks, series, (side,)) for side in SIDES}
    side = max(SIDES, key=lambda which: len(sides[which]))
    values = BySide.of((side, value) for value in range_of_mean(sides[side]))
    return _angle(name, walks, values, 2, SHOULDERS, _trunk_error(walks))


def _trunk_error(walks: Sequence[Walk]) -> float:
    """Of the trunk's lean and sway, in degrees, that all strides of a camera's points share.

    Through MediaPipe ten rendered walkers leaned 1.7 less and swayed 1.7 more than they did (root mean square).
    """
    return max((IN_IMAGES.range_deg for walk in walks if walk.space is None), default=0.0)


def _arm_error(walks: Sequence[Walk], side: str) -> float:
    """Of an arm's swing, in degrees, that all strides of a camera's points share."""
    seen = [walk for walk in walks if walk.space is None]
    return max((FAR_ARM_DEG if walk.far_side == side else NEAR_ARM_DEG for walk in seen), default=0.0)


def range_of_mean(curves: Sequence[FloatArray]) -> list[float]:
    """Per stride, its value where the mean of the curves is largest less its value where that is smallest.

    Their mean is the range of the mean curve. The mean of each stride's own range is larger, and the more so the
    noisier the points are: an extreme picks the noise that points its way. Of sharp peaks the range of the mean curve
    is too small, because events that are a few percent early or late blur it.
    """
    if not curves:
        return []
    mean_curve = np.mean(curves, axis=0)
    top, bottom = int(np.argmax(mean_curve)), int(np.argmin(mean_curve))
    return [float(curve[top] - curve[bottom]) for curve in curves]


def _angle(
    name: str, walks: Sequence[Walk], values: BySide, points: int, seen: str, shared_deg: float = 0.0
) -> Parameter:
    """The mean angle. ``points``: how many noisy points it is made of; ``seen``: what has to be seen, in words."""
    row = DEFINITIONS[name]
    if why := withheld(row, walks):
        return why
    if not len(values) and any(walk.cycles for walk in walks):
        return refused(row.unit, "points-missing", what=row.title, points=seen)
    return mean(name, walks, values, Error(_angle_noise(walks, points), shared_deg))


def _angle_noise(walks: Sequence[Walk], points: int) -> float:
    """Degrees that the keypoints' noise makes of a range over a segment of half a leg's length."""
    shares = [walk.smooth_noise / (0.5 * walk.bout.leg) for walk in walks if walk.bout.leg > 0.0]
    return math.degrees(math.sqrt(points) * max(shares, default=0.0))


def _excess_noise(walks: Sequence[Walk], points: int) -> float:
    """Degrees of the keypoints' noise beyond that of a network that steadies its points (:data:`IMAGE_NOISE`).

    The largest of a few samples at an angle's flat peak is about one standard deviation above it; so is the smallest
    below. What a steady network adds is no more than what it takes off by seeing a bent knee less bent than it is; one
    whose readings take turns is as steady.
    """
    shares = [
        (walk.smooth_noise - walk.kept_noise(IMAGE_NOISE * walk.bout.leg)) / (0.5 * walk.bout.leg)
        for walk in walks
        if walk.bout.leg > 0.0 and not walk.takes_turns
    ]
    return math.degrees(math.sqrt(points) * max(0.0, max(shares, default=0.0)))


def _curves(walks: Sequence[Walk], series: Series, sides: Sequence[str]) -> list[FloatArray]:
    """The series over every cycle of these sides that it is known for as a whole, (101,) each."""
    found = []
    for walk in walks:
        values = series(walk)
        found += [over_cycle(walk, cycle, values) for cycle in walk.cycles if cycle.side in sides]
    return [curve for curve in found if np.isfinite(curve).all()]


def _trunk(walk: Walk) -> FloatArray:
    """(T, 2) forward/up from mid-hip to mid-shoulder."""
    return midpoint(walk.bout.points, "shoulder") - midpoint(walk.bout.points, "hip")


def _degrees(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    angle: FloatArray = np.degrees(np.arctan2(numerator, denominator))
    return angle


def trunk_lean(walk: Walk) -> FloatArray:
    """(T,) forward lean in degrees."""
    line = _trunk(walk)
    return _degrees(line[:, 0], line[:, 1])


def arm_angle(walk: Walk, side: str) -> FloatArray:
    """(T,) angle of the line shoulder to wrist against the trunk, positive with the hand forward."""
    line = joint(walk.bout.points, f"{side}_wrist") - joint(walk.bout.points, f"{side}_shoulder")
    angle = _degrees(line[:, 0], -line[:, 1]) + trunk_lean(walk)
    wrapped: FloatArray = (angle + 180.0) % 360.0 - 180.0
    return wrapped


def trunk_lean_left(walk: Walk) -> FloatArray:
    """(T,) lean to the walker's left in degrees; NaN for points of an image."""
    if walk.space is None:
        return np.full(walk.bout.time_s.size, np.nan)
    line = midpoint(walk.space, "shoulder") - midpoint(walk.space, "hip")
    return _degrees(line[:, 1], line[:, 2])


def trunk_turn(walk: Walk) -> FloatArray:
    """(T,) turn of the shoulder line about the vertical, positive to the walker's left; NaN for points of an image."""
    if walk.space is None:
        return np.full(walk.bout.time_s.size, np.nan)
    line = joint(walk.space, "left_shoulder") - joint(walk.space, "right_shoulder")
    return _degrees(-line[:, 0], line[:, 1])


def foot_progression(walk: Walk, cycle: Cycle) -> float:
    """Degrees that the foot's heel-to-toe line points outwards of the line of travel while it lies flat."""
    inside = flat(walk, cycle.start_s)
    if walk.space is None or not inside.any():
        return math.nan
    foot = joint(walk.space, f"{cycle.side}_toe") - joint(walk.space, f"{cycle.side}_heel")
    forward, to_left = (float(np.median(foot[inside, axis])) for axis in (0, 1))
    outwards = to_left if cycle.side == "left" else -to_left
    return math.degrees(math.atan2(outwards, forward))


_TRUNK: dict[str, Series] = {
    "trunk_sway_sagittal": trunk_lean,
    "trunk_sway_frontal": trunk_lean_left,
    "trunk_rotation": trunk_turn,
}


def _asymmetry(walks: Sequence[Walk], arms: BySide) -> Parameter:
    row = DEFINITIONS["arm_swing_asymmetry"]
    if why := withheld(row, walks):
        return why
    if not len(arms) and any(walk.cycles for walk in walks):
        return refused(row.unit, "points-missing", what=row.title, points=WRISTS)

    def over_larger(left: float, right: float) -> float:
        return 100.0 * (left - right) / max(left, right)

    larger = max((float(np.mean(side)) for side in arms.sides if side), default=1.0)
    shared = math.hypot(*(_arm_error(walks, side) for side in SIDES)) / max(larger, 1e-9)
    return compared("arm_swing_asymmetry", walks, arms, over_larger, Error(_angle_noise(walks, 1), 100.0 * shared))
