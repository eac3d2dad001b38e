"""Parameters that follow from the times of foot strikes and foot offs alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaitkeeper_client.gait.analysis import Cycle, Parameter
from gaitkeeper_client.gait.cautions import RELIABLE_STRIDES, caution
from gaitkeeper_client.gait.cycles import strides_around_gaps
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.measure import (
    BySide,
    Error,
    coefficient_of_variation,
    compared,
    finished,
    mean,
    noted,
    standard_deviation,
)
from gaitkeeper_client.gait.refusals import refused
from gaitkeeper_client.gait.statistics import resampled_ci95, widened
from gaitkeeper_client.gait.walk import Step, Walk
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.skeleton import SIDES


def time_parameters(walks: Sequence[Walk], cycles: Sequence[Cycle], steps: Sequence[Step]) -> dict[str, Parameter]:
    """All parameters whose definition needs times only."""
    strides = BySide.of((cycle.side, cycle.duration_s) for cycle in cycles)
    step_times = BySide.of((step.end.side, step.seconds) for step in steps)
    stances = BySide.of((c.side, c.foot_off_s - c.start_s) for c in cycles if c.foot_off_s is not None)
    swings = BySide.of((c.side, c.end_s - c.foot_off_s) for c in cycles if c.foot_off_s is not None)
    stance = BySide.of((c.side, stance_percent(c)) for c in cycles)
    swing = BySide.of((c.side, 100.0 - stance_percent(c)) for c in cycles)
    double = BySide.of((c.side, double_support_percent(c)) for c in cycles)
    timing = _Timing.of(walks, strides)
    stride, percent, foot = timing.strides(), timing.phase_percent(), timing.step_of_a_foot()
    return {
        "cadence": _cadence(walks, _with_gaps(walks, cycles, timing.stride), stride),
        "stride_time": mean("stride_time", walks, strides, stride),
        # What is late on one foot makes one step longer and the next as much shorter.
        "step_time": mean("step_time", walks, step_times, Error(timing.between), "steps"),
        "stance_percent": mean("stance_percent", walks, stance, percent),
        "swing_percent": mean("swing_percent", walks, swing, percent),
        "double_support_percent": mean("double_support_percent", walks, double, timing.double_support_percent()),
        "symmetry_index": _symmetry(walks, stances, timing.difference_percent(stances)),
        "swing_asymmetry": compared(
            "swing_asymmetry", walks, swings, signed_difference, timing.difference_percent(swings)
        ),
        "step_time_ratio": compared(
            "step_time_ratio", walks, step_times, lambda left, right: left / right, timing.ratio_of_steps()
        ),
        **{
            f"step_time_{side}": mean(f"step_time_{side}", walks, step_times.side(side), foot, "steps")
            for side in SIDES
        },
        **{
            f"stance_percent_{side}": mean(f"stance_percent_{side}", walks, stance.side(side), percent)
            for side in SIDES
        },
        **_variability(walks, strides, step_times, stances, swings, timing.between),
    }


@dataclass(frozen=True, slots=True)
class _Timing:
    """Errors of times, in seconds: ``between`` two events by sampling alone; shared by all strides of a recording.

    ``stride``: the usual stride time, that percentages are of.
    """

    between: float
    strike: float
    off: float
    stride: float

    @classmethod
    def of(cls, walks: Sequence[Walk], strides: BySide) -> _Timing:
        """The largest of each among the walks."""
        usual = float(np.median(strides.left + strides.right)) if len(strides) else 1.0
        between = math.sqrt(2.0) * max((walk.event_sd_s for walk in walks), default=0.0)
        strike = max((walk.shared.strike_s for walk in walks), default=0.0)
        off = max((walk.shared.off_s for walk in walks), default=0.0)
        return cls(between, strike, off, usual)

    def strides(self) -> Error:
        """Of a stride time: the error of a foot's strikes is at both ends."""
        return Error(self.between, 0.0, overlapping=True)

    def phase_percent(self) -> Error:
        """Of stance or swing, from a strike to an off or back."""
        return Error(100.0 * self.between / self.stride, 100.0 * math.hypot(self.strike, self.off) / self.stride)

    def double_support_percent(self) -> Error:
        """Of two phases between two feet each.

        A method that is late with one foot's strikes or offs is as late with the other's: what a stance is too long,
        each of the two phases is.
        """
        one = self.phase_percent()
        return Error(math.sqrt(2.0) * one.least_sd, 2.0 * one.shared_sd)

    def step_of_a_foot(self) -> Error:
        """From one foot's strike to the other's."""
        return Error(self.between, math.sqrt(2.0) * self.strike)

    def ratio_of_steps(self) -> Error:
        """One step gains what the other loses: two differences over half a stride."""
        return Error(self.between, 2.0 * math.sqrt(2.0) * self.strike / (0.5 * self.stride))

    def difference_percent(self, phases: BySide) -> Error:
        """Of left and right stances or swings, over their mean."""
        usual = float(np.mean(phases.left + phases.right)) if len(phases) else 1.0
        return Error(self.between, 100.0 * math.sqrt(2.0) * math.hypot(self.strike, self.off) / usual)


def _variability(
    walks: Sequence[Walk], strides: BySide, step_times: BySide, stances: BySide, swings: BySide, between: float
) -> dict[str, Parameter]:
    """``between``: standard deviation that sampling alone gives to a time between two events."""

    def cv(name: str, values: BySide, of: str = "strides") -> Parameter:
        typical = float(np.median(values.left + values.right)) if len(values) else 1.0
        return _timed(coefficient_of_variation(name, walks, values, of), 100.0 * between / typical)

    typical_stride = float(np.median(strides.left + strides.right)) if len(strides) else 1.0
    return {
        "phase_coordination_index": _timed(_coordination(walks, swings), 200.0 * between / typical_stride),
        "stride_time_sd": _timed(standard_deviation("stride_time_sd", walks, strides), between),
        "stride_time_cv": cv("stride_time_cv", strides),
        "step_time_cv": cv("step_time_cv", step_times, "steps"),
        "stance_time_cv": cv("stance_time_cv", stances),
        "swing_time_cv": cv("swing_time_cv", swings),
    }


def _timed(found: Parameter, by_sampling: float) -> Parameter:
    """With a caution where sampling alone gives half of the value or more."""
    if found.value is None or by_sampling < _LARGE_TIMING_SHARE * found.value:
        return found
    return noted(found, caution("timing-noise", share=min(100.0, 100.0 * by_sampling / max(found.value, 1e-9))))


_LARGE_TIMING_SHARE = 0.5


def stance_percent(cycle: Cycle) -> float:
    """End of stance in percent of the cycle; NaN where the foot off was not found."""
    if cycle.foot_off_s is None:
        return float("nan")
    return 100.0 * (cycle.foot_off_s - cycle.start_s) / cycle.duration_s


def double_support_percent(cycle: Cycle) -> float:
    """Both double supports of the cycle, summed, in percent of it; NaN where an event was not found."""
    if cycle.foot_off_s is None or cycle.opposite_foot_off_s is None or cycle.opposite_foot_strike_s is None:
        return float("nan")
    first, second = cycle.opposite_foot_off_s - cycle.start_s, cycle.foot_off_s - cycle.opposite_foot_strike_s
    return 100.0 * (first + second) / cycle.duration_s


def signed_difference(left: float, right: float) -> float:
    """Left less right over their mean, in %."""
    return 100.0 * (left - right) / (0.5 * (left + right))


def _with_gaps(walks: Sequence[Walk], cycles: Sequence[Cycle], typical_s: float) -> BySide:
    """Stride times, those around strikes that were missed included: left out, they would leave others to speak."""
    around = [stride for walk in walks if walk.has_points for stride in strides_around_gaps(walk.events, typical_s)]
    return BySide.of([*((cycle.side, cycle.duration_s) for cycle in cycles), *around])


def _cadence(walks: Sequence[Walk], strides: BySide, error: Error) -> Parameter:
    # Over strides, not steps: a strike that is late on one side only, or missed, leaves them as they are.
    seconds = mean("stride_time", walks, strides, error)
    row = DEFINITIONS["cadence"]
    if seconds.value is None:
        return replace(seconds, unit=row.unit)
    interval = None
    if seconds.ci95 is not None and seconds.ci95[0] > 0.0:
        interval = (120.0 / seconds.ci95[1], 120.0 / seconds.ci95[0])
    return finished(row, walks, 120.0 / seconds.value, interval, seconds.n)


def _symmetry(walks: Sequence[Walk], stances: BySide, error: Error) -> Parameter:
    """The distance without sign is not smooth at equality: its interval comes from resampled strides."""
    row = DEFINITIONS["symmetry_index"]
    left, right = (np.array(side) for side in stances.sides)
    fewest = min(left.size, right.size)
    if fewest < 1:
        return refused(row.unit, "too-few-strides", len(stances), n=fewest, of=say("why.strides_of_a_leg"), needed=1)

    def index(lefts: FloatArray, rights: FloatArray) -> FloatArray:
        means = lefts.mean(axis=-1), rights.mean(axis=-1)
        return np.asarray(200.0 * np.abs(means[0] - means[1]) / (means[0] + means[1]))

    value = float(index(left, right))
    if fewest < 2:
        return finished(row, walks, value, None, len(stances))
    interval = widened(value, resampled_ci95((left, right), index, value), error.shared_sd)
    return finished(row, walks, value, interval, len(stances))


def _coordination(walks: Sequence[Walk], swings: BySide) -> Parameter:
    row = DEFINITIONS["phase_coordination_index"]
    side = "left" if np.mean(swings.left or (0.0,)) >= np.mean(swings.right or (0.0,)) else "right"
    phases = np.array(
        [
            360.0 * (cycle.opposite_foot_strike_s - cycle.start_s) / cycle.duration_s
            for walk in walks
            for cycle in walk.cycles
            if cycle.side == side and cycle.opposite_foot_strike_s is not None
        ]
    )
    if phases.size < row.fewest:
        return refused(
            row.unit,
            "too-few-strides",
            phases.size,
            n=phases.size,
            of=say("why.strides_of_foot", side=say(f"sides.{side}")),
            needed=row.fewest,
        )

    def index(chosen: FloatArray) -> FloatArray:
        accuracy = 100.0 * np.abs(chosen - 180.0).mean(axis=-1) / 180.0
        return np.asarray(100.0 * chosen.std(axis=-1, ddof=1) / chosen.mean(axis=-1) + accuracy)

    value = float(index(phases))
    interval = resampled_ci95((phases,), index, value)
    found = finished(row, walks, value, interval, phases.size)
    if phases.size < RELIABLE_STRIDES:
        return noted(found, caution("few-strides-for-coordination", n=phases.size))
    return found
