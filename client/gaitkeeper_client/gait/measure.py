"""From values of single strides to a parameter: withheld by rule, or a mean with its interval and its cautions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaitkeeper_client.gait.analysis import Parameter, Reason
from gaitkeeper_client.gait.cautions import caution
from gaitkeeper_client.gait.definitions import DEFINITIONS, Definition
from gaitkeeper_client.gait.feet import foot_is_seen
from gaitkeeper_client.gait.refusals import refused
from gaitkeeper_client.gait.statistics import (
    Interval,
    around_side_means,
    cv_with_ci95,
    difference_with_ci95,
    mean_of_sides,
    sd_with_ci95,
    widened,
)
from gaitkeeper_client.gait.walk import Walk
from gaitkeeper_client.language.texts import say, worded
from gaitkeeper_shared.skeleton import SIDES


@dataclass(frozen=True, slots=True)
class BySide:
    """Values of strides, steps or cycles, those of each foot apart; what could not be measured is left out."""

    left: tuple[float, ...]
    right: tuple[float, ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, float]]) -> BySide:
        """From (side, value) pairs."""
        known = [(side, value) for side, value in pairs if math.isfinite(value)]
        left, right = (tuple(value for side, value in known if side == which) for which in ("left", "right"))
        return cls(left, right)

    @property
    def sides(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Left and right."""
        return self.left, self.right

    def __len__(self) -> int:
        return len(self.left) + len(self.right)

    def side(self, which: str) -> BySide:
        """The values of one side alone."""
        return BySide(self.left, ()) if which == "left" else BySide((), self.right)


@dataclass(frozen=True, slots=True)
class Error:
    """What an interval over strides has to hold beside their scatter.

    ``least_sd``: scatter that measuring alone makes. ``shared_sd``: error that all strides share. ``overlapping``: the
    values are of whole strides.
    """

    least_sd: float = 0.0
    shared_sd: float = 0.0
    overlapping: bool = False


EXACT = Error()
TELLS_NOTHING = 6.0
"""Times the limit from which an interval is marked as wide: beyond, and farther from the value than that is from zero,
nothing is known. Two strides alone that differ by a sixth are so far apart."""


def mean(name: str, walks: Sequence[Walk], values: BySide, error: Error = EXACT, of: str = "strides") -> Parameter:
    """The mean, each side's strides around their own mean. ``of``: what the values are of, for a refusal."""
    row = DEFINITIONS[name]
    if why := withheld(row, walks):
        return why
    if len(values) < row.fewest:
        return _too_few(row, len(values), of)
    value, interval = mean_of_sides(values.sides, error.least_sd, error.overlapping)
    return finished(row, walks, value, widened(value, interval, error.shared_sd), len(values))


def coefficient_of_variation(name: str, walks: Sequence[Walk], values: BySide, of: str = "strides") -> Parameter:
    """Standard deviation over mean in %, each side around its own mean.

    An event that is late on one side only must not look like variability.
    """
    return _spread(name, walks, values, cv_with_ci95, of)


def standard_deviation(name: str, walks: Sequence[Walk], values: BySide, of: str = "strides") -> Parameter:
    """Standard deviation, each side around its own mean."""
    return _spread(name, walks, values, sd_with_ci95, of)


def _spread(
    name: str,
    walks: Sequence[Walk],
    values: BySide,
    statistic: Callable[[Sequence[float]], tuple[float, Interval]],
    of: str,
) -> Parameter:
    row = DEFINITIONS[name]
    if why := withheld(row, walks):
        return why
    pooled = around_side_means(values.sides)
    if len(pooled) < row.fewest:
        # A foot's only stride is no deviation from any mean, and not counted: say so, for others count it.
        return _too_few(row, len(pooled), f"{of}_beside_others" if len(pooled) < len(values) else of)
    if statistic is cv_with_ci95 and sum(pooled) <= 0.0:
        return refused(row.unit, "mean-not-positive", len(pooled), what=row.title)
    value, interval = statistic(pooled)
    return finished(row, walks, value, interval, len(pooled))


def compared(
    name: str, walks: Sequence[Walk], values: BySide, of: Callable[[float, float], float], error: Error = EXACT
) -> Parameter:
    """Left against right: a smooth function of the two means, which must be positive, with its interval."""
    row = DEFINITIONS[name]
    if why := withheld(row, walks):
        return why
    fewest = min(len(side) for side in values.sides)
    if fewest < 1:
        return refused(row.unit, "too-few-strides", len(values), n=fewest, of=say("why.strides_of_a_leg"), needed=1)
    if not all(sum(side) > 0.0 for side in values.sides):
        return refused(row.unit, "mean-not-positive", len(values), what=row.title)
    value, interval = difference_with_ci95(values.left, values.right, of, error.least_sd)
    return finished(row, walks, value, widened(value, interval, error.shared_sd), len(values))


def withheld(row: Definition, walks: Sequence[Walk]) -> Parameter | None:
    """The refusal of a parameter that these walks cannot give, whatever their strides hold; else None."""
    if row.needs == "times":
        return None
    if walks and not any(walk.has_points for walk in walks):
        return refused(row.unit, "positions-needed")
    if row.needs == "space" and any(walk.space is None for walk in walks):
        return refused(row.unit, "space-needed", what=row.title)
    views = sorted({walk.view.name for walk in walks if not _fit(walk, row)})
    if views:
        return refused(row.unit, "view-unfit", what=row.title, view=", ".join(worded(view) for view in views))
    if row.foot and not any(foot_is_seen(walk.bout.points, side) for walk in walks for side in _feet_of(row)):
        return refused(row.unit, "feet-missing", what=row.title)
    if row.length and any(walk.metres is None for walk in walks):
        return refused(row.unit, "scale-unknown")
    return None


def _feet_of(row: Definition) -> list[str]:
    return [side for side in SIDES if row.name.endswith(side)]


def _fit(walk: Walk, row: Definition) -> bool:
    """Whether the view gives the parameter.

    Set square, a foot that is farther from the walker's middle than thought stands before or behind along the way: by
    as much one foot's steps look longer and the other's shorter, which only their mean is free of.
    """
    return walk.view.sagittal and not (walk.view.set_square and row.limb and row.of_steps)


def finished(
    row: Definition,
    walks: Sequence[Walk],
    value: float,
    interval: Interval | None,
    n: int,
    notes: Sequence[Reason] = (),
) -> Parameter:
    """The parameter with its cautions; withheld where its interval says that nothing is known."""
    if interval is None:
        return refused(row.unit, "no-interval", n, what=row.title, n=n)
    said = list(notes)
    if not row.signed and value >= 0.0:
        interval = (max(0.0, interval[0]), interval[1])
    reach = max(interval[1] - value, value - interval[0])
    unit = {"1": "", "deg": say("why.degrees")}.get(row.unit, row.unit)
    low, high = (f"{limit:.3g} {unit}".rstrip() for limit in interval)
    if reach > max(abs(value), TELLS_NOTHING * row.wide):
        return refused(row.unit, "too-uncertain", n, what=row.title, low=low, high=high, n=n)
    if reach > row.wide:
        said.append(caution("wide-interval", low=low, high=high))
    if (side := _hidden(row, walks)) is not None:
        said.append(caution("far-limb", side=say(f"sides.{side}")))
    if row.needs == "side" and (oblique := [walk.view.azimuth_deg for walk in walks if walk.view.set_square]):
        said.append(caution("set-square", azimuth=max(oblique)))
    return Parameter(row.unit, value, interval, n, notes=tuple(said))


def noted(parameter: Parameter, *notes: Reason) -> Parameter:
    """The parameter with more cautions; a refusal stays as it is."""
    return parameter if parameter.value is None else replace(parameter, notes=parameter.notes + notes)


def _hidden(row: Definition, walks: Sequence[Walk]) -> str | None:
    """The side that is behind in every walk, where the parameter is of that side or compares both."""
    if not row.limb or row.needs == "times":
        return None
    far = {walk.far_side for walk in walks}
    if len(far) != 1 or (side := far.pop()) is None:
        return None
    named = row.name.rsplit("_", 1)[-1]
    return side if named == side or named not in ("left", "right") else None


def _too_few(row: Definition, n: int, of: str) -> Parameter:
    return refused(row.unit, "too-few-strides", n, n=n, of=say(f"why.{of}"), needed=row.fewest)


def smooth_noise_m(walks: Sequence[Walk]) -> float:
    """The largest noise of smoothed coordinates among the walks, in metres; 0 where it is not known."""
    scaled = [walk.smooth_noise * walk.metres for walk in walks if walk.metres is not None]
    return float(np.nanmax(scaled)) if scaled else 0.0
