"""The mobility score: 0 to 100, from speed, cadence, symmetry, variability and the deviation from the norm's curves.

Monotone in each component, by its definition in ``score.toml``. It has an interval, from those of its components, and
is not given where one of them is withheld or has none: no number is better than a number with a hole in it.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from gaitkeeper_client.followup.rules import ErrorSource, change_rules
from gaitkeeper_client.followup.visits import Z95, Estimate, standard_error
from gaitkeeper_client.gait.analysis import Analysis

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Component:
    """One part of the score: its share is 0 at ``worst``, 1 at ``best``, linear between and flat beyond."""

    parameter: str
    weight: float
    worst: float
    best: float
    source: ErrorSource
    pace: bool = False

    def share(self, value: float) -> float:
        """Between 0 and 1; never falls when the value moves towards ``best``."""
        return min(max((value - self.worst) / (self.best - self.worst), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class MobilityScore:
    """``value`` and ``ci95`` from 0 to 100; both None where ``missing`` names parameters that are not given.

    ``shares``: of each component, 0 to 1. ``day_sd``: what the published day-to-day errors of the components make of
    the score, for judging a change.
    """

    value: float | None
    ci95: Interval | None
    shares: Mapping[str, float]
    missing: tuple[str, ...] = ()
    day_sd: float = 0.0

    @property
    def sd(self) -> float | None:
        """Standard error of the value on its day."""
        return None if self.ci95 is None else (self.ci95[1] - self.ci95[0]) / (2.0 * Z95)


@cache
def components() -> tuple[Component, ...]:
    """The definition of the score."""
    table = tomllib.loads((resources.files("gaitkeeper_client.followup") / "score.toml").read_text("utf-8"))
    sources = {name: ErrorSource(**row) for name, row in table["sources"].items()}
    return tuple(Component(**{**row, "source": sources[row["source"]]}) for row in table["component"])


def score_of_analysis(analysis: Analysis) -> MobilityScore:
    """The score of one walk."""
    return mobility_score(
        {
            name: Estimate(parameter.value, standard_error(parameter), 1)
            for name, parameter in analysis.parameters.items()
            if parameter.value is not None
        }
    )


def mobility_score(estimates: Mapping[str, Estimate]) -> MobilityScore:
    """The score of a walk or a visit, never from what is withheld."""
    missing = tuple(
        one.parameter for one in components() if one.parameter not in estimates or estimates[one.parameter].ci95 is None
    )
    shares = {
        one.parameter: one.share(estimates[one.parameter].value) for one in components() if one.parameter in estimates
    }
    if missing:
        return MobilityScore(None, None, shares, missing)
    value = 100.0 * sum(one.weight * shares[one.parameter] for one in components())
    own = {one.parameter: Z95 * float(estimates[one.parameter].sd or 0.0) for one in components()}
    below, above = _reach(estimates, own)
    day = {one.parameter: _day_sd(one.parameter, estimates) for one in components()}
    return MobilityScore(
        value=value,
        ci95=(max(value - below, 0.0), min(value + above, 100.0)),
        shares=shares,
        day_sd=max(_reach(estimates, day)),
    )


def _reach(estimates: Mapping[str, Estimate], half: Mapping[str, float]) -> tuple[float, float]:
    """How far the score moves down and up when each component moves by ``half`` its interval: pace added up, the others
    as independent. The flat ends of a share are walked to, not extrapolated over."""
    below, above = [0.0], [0.0]
    for one in components():
        value, share = estimates[one.parameter].value, one.share(estimates[one.parameter].value)
        ends = sorted((one.share(value - half[one.parameter]), one.share(value + half[one.parameter])))
        down, up = 100.0 * one.weight * (share - ends[0]), 100.0 * one.weight * (ends[1] - share)
        if one.pace:
            below[0] += down
            above[0] += up
        else:
            below.append(down)
            above.append(up)
    return math.hypot(*below), math.hypot(*above)


def _day_sd(name: str, estimates: Mapping[str, Estimate]) -> float:
    rule, speed = change_rules()[name], estimates.get("walking_speed")
    return rule.day_sd(estimates[name].value, None if speed is None else speed.value) or 0.0
