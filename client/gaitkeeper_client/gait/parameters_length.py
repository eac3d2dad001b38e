"""Parameters that are lengths, or ratios of lengths: steps, strides, speed, width and clearance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from scipy.signal import find_peaks

from gaitkeeper_client.gait.analysis import Cycle, Parameter
from gaitkeeper_client.gait.cautions import caution
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.measure import (
    BySide,
    Error,
    coefficient_of_variation,
    compared,
    mean,
    noted,
    smooth_noise_m,
    standard_deviation,
    withheld,
)
from gaitkeeper_client.gait.refusals import refused
from gaitkeeper_client.gait.walk import Step, Walk, flat, foot_at, metres_of, pelvis_at, placed
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint
from gaitkeeper_shared.skeleton import SIDES

GRAVITY_M_S2 = 9.81
USUAL_LEG_M = 0.82
"""Thigh and shank of an adult of 1.70 m (0.245 and 0.246 of the height: Winter 2009, doi:10.1002/9780470549148)."""
MID_SWING = (0.2, 0.85)
"""Share of the swing in which the toe passes its lowest point between its two heights."""
LARGEST_TOE_NOISE_M = 0.003
"""The clearance is 10 to 20 mm: more noise makes the lowest point a lowest outlier."""


def length_parameters(walks: Sequence[Walk], steps: Sequence[Step]) -> dict[str, Parameter]:
    """All parameters that are lengths or made of lengths."""
    lengths = BySide.of((step.end.side, step_length(step)) for step in steps)
    in_metres = BySide.of((step.end.side, step_length(step) * metres_of(step.walk)) for step in steps)
    all_in_metres = BySide.of(pair for walk in walks for pair in _with_halves(walk, steps))
    error = _of_length(walks, in_metres)
    widths = BySide.of((side, width) for walk in walks for side, width in step_widths(walk))
    return {
        "step_length": mean("step_length", walks, all_in_metres, error, "steps"),
        "stride_length": _travel("stride_length", walks, _stride_length_m),
        "walking_speed": _travel("walking_speed", walks, _speed_m_s),
        "step_length_ratio": compared("step_length_ratio", walks, lengths, lambda left, right: left / right),
        "stride_length_cv": _stride_length_cv(walks),
        "step_width": mean("step_width", walks, widths, error, "steps"),
        "step_width_sd": standard_deviation("step_width_sd", walks, widths, "steps"),
        "dimensionless_speed": _dimensionless(walks),
        **{
            f"step_length_{side}": mean(f"step_length_{side}", walks, in_metres.side(side), error, "steps")
            for side in SIDES
        },
        **{f"toe_clearance_{side}": _clearance(walks, side) for side in SIDES},
    }


def _of_length(walks: Sequence[Walk], values: BySide, overlapping: bool = False, noise: float | None = None) -> Error:
    """Of a distance between two points, with the error of its scale. ``noise``: where it is not a distance."""
    between = smooth_noise_m(walks) * math.sqrt(2.0) if noise is None else noise
    usual = float(np.mean(np.abs(values.left + values.right))) if len(values) else 0.0
    return Error(between, usual * max((walk.shared.scale for walk in walks), default=0.0), overlapping)


def step_length(step: Step) -> float:
    """Way from the standing foot's heel to the striking foot's, or from ankle to ankle, in the points' unit."""
    walk, end = step.walk, step.end
    if walk.bout.constant_place and walk.bout.feet:
        return placed(walk, end.side, end.time_s) - foot_at(walk, step.start.side, end.time_s)
    return placed(walk, end.side, end.time_s) - placed(walk, step.start.side, step.start.time_s)


def _with_halves(walk: Walk, steps: Sequence[Step]) -> list[tuple[str, float]]:
    """(side, metres) of a walk's steps; of two around a foot that was lost, half of the way from foot to foot for each.

    Good for the mean of both sides, which else would be that of the walk's other steps; it says nothing of one side.
    """
    own = [step for step in steps if step.walk is walk]
    lengths = [step_length(step) for step in own]
    for at, (here, after) in enumerate(pairwise(own)):
        if here.end is after.start and not walk.bout.constant_place and all(map(math.isnan, lengths[at : at + 2])):
            way = placed(walk, after.end.side, after.end.time_s) - placed(walk, here.start.side, here.start.time_s)
            lengths[at] = lengths[at + 1] = 0.5 * way
    return [(step.end.side, length * metres_of(walk)) for step, length in zip(own, lengths, strict=True)]


def stride_length(walk: Walk, cycle: Cycle) -> float:
    """Way of one heel over a cycle, in the points' unit."""
    return placed(walk, cycle.side, cycle.end_s) - placed(walk, cycle.side, cycle.start_s)


def speed(walk: Walk, cycle: Cycle) -> float:
    """Way of the pelvis over a cycle over its duration, in the points' unit a second."""
    return (pelvis_at(walk, cycle.end_s) - pelvis_at(walk, cycle.start_s)) / cycle.duration_s


def _stride_length_m(walk: Walk, cycle: Cycle) -> float:
    return stride_length(walk, cycle) * metres_of(walk)


def _speed_m_s(walk: Walk, cycle: Cycle) -> float:
    return speed(walk, cycle) * metres_of(walk)


def _travel(name: str, walks: Sequence[Walk], of_cycle: Callable[[Walk, Cycle], float]) -> Parameter:
    moving, why = _moving(name, walks)
    if why is not None:
        return why
    values = BySide.of((cycle.side, of_cycle(walk, cycle)) for walk in moving for cycle in walk.cycles)
    return mean(name, moving, values, _of_length(moving, values, overlapping=True))


def _moving(name: str, walks: Sequence[Walk]) -> tuple[list[Walk], Parameter | None]:
    """The walks that get somewhere, or the refusal where none does."""
    row = DEFINITIONS[name]
    if walks and any(walk.has_points for walk in walks) and all(walk.bout.constant_place for walk in walks):
        return [], refused(row.unit, "constant-place")
    return [walk for walk in walks if not walk.bout.constant_place], None


def _stride_length_cv(walks: Sequence[Walk]) -> Parameter:
    moving, why = _moving("stride_length_cv", walks)
    if why is not None:
        return why
    # In leg lengths: a walk that comes nearer has longer strides in pixels, and as much longer a leg.
    values = BySide.of((c.side, stride_length(walk, c) / walk.bout.leg) for walk in moving for c in walk.cycles)
    return coefficient_of_variation("stride_length_cv", moving, values)


def _dimensionless(walks: Sequence[Walk]) -> Parameter:
    moving, why = _moving("dimensionless_speed", walks)
    if why is not None:
        return why
    values = BySide.of(
        (cycle.side, speed(walk, cycle) / walk.bout.leg * math.sqrt(_leg_m(walk) / GRAVITY_M_S2))
        for walk in moving
        for cycle in walk.cycles
    )
    found = mean("dimensionless_speed", moving, values, _of_length(moving, values, overlapping=True, noise=0.0))
    return noted(found, caution("usual-leg")) if any(walk.metres is None for walk in moving) else found


def _leg_m(walk: Walk) -> float:
    return USUAL_LEG_M if walk.metres is None else walk.bout.leg * walk.metres


def step_widths(walk: Walk) -> list[tuple[str, float]]:
    """(side, metres) of every step between two of the other foot's placements: distance from their line.

    Positive where a foot stands on its own side of that line. Empty for points of an image.
    """
    if walk.space is None:
        return []
    prints = [(event.side, _print(walk, event.side, event.time_s)) for event in walk.events if event.type == _STRIKE]
    widths: list[tuple[str, float]] = []
    for before, here, after in zip(prints, prints[1:], prints[2:], strict=False):
        if before[0] != after[0] or here[0] == before[0]:
            continue
        line = np.array([1.0, 0.0]) if walk.bout.constant_place else after[1] - before[1]
        offset = here[1] - before[1]
        with np.errstate(invalid="ignore", divide="ignore"):
            to_left = (line[0] * offset[1] - line[1] * offset[0]) / np.linalg.norm(line)
        widths.append((here[0], float(to_left if here[0] == "left" else -to_left)))
    return widths


_STRIKE = "foot_strike"


def _print(walk: Walk, side: str, strike_s: float) -> FloatArray:
    """(2,) metres forward and to the left of a foot while it lies flat; NaN where it was not seen so."""
    inside = flat(walk, strike_s)
    if walk.space is None or not inside.any():
        return np.full(2, np.nan)
    place: FloatArray = np.median(joint(walk.space, walk.bout.foot(side))[inside, :2], axis=0)
    return place


def _clearance(walks: Sequence[Walk], side: str) -> Parameter:
    name = f"toe_clearance_{side}"
    row = DEFINITIONS[name]
    if why := withheld(row, walks):
        return why
    noise = max((walk.noise * metres_of(walk) for walk in walks if math.isfinite(walk.noise)), default=0.0)
    if noise > LARGEST_TOE_NOISE_M:
        detail = say("why.noise_of_toes", noise=1000.0 * noise)
        return refused(row.unit, "too-noisy", what=row.title, detail=detail)
    values = BySide.of(
        (side, toe_clearance(walk, cycle) * metres_of(walk))
        for walk in walks
        for cycle in walk.cycles
        if cycle.side == side
    )
    return mean(name, walks, values, _of_length(walks, values), f"swings_{side}")


def toe_clearance(walk: Walk, cycle: Cycle) -> float:
    """Lowest toe between its two heights in swing over the toe of the foot that stands, in the points' unit.

    NaN where the toe has no lowest point there (it is dragged, or lifted in one sweep), or was not seen.
    """
    if cycle.foot_off_s is None:
        return math.nan
    height = joint(walk.bout.points, f"{cycle.side}_toe")[:, 1]
    standing = flat(walk, cycle.start_s)
    low, high = (cycle.foot_off_s + share * (cycle.end_s - cycle.foot_off_s) for share in MID_SWING)
    swing = height[(walk.bout.time_s >= low) & (walk.bout.time_s <= high)]
    if not standing.any() or swing.size < 3 or not np.isfinite(swing).all():
        return math.nan
    lowest, _ = find_peaks(-swing)
    if not lowest.size:
        return math.nan
    return float(swing[lowest].min()) - float(np.median(height[standing]))
