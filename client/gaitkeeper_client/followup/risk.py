"""Views on risk: asymmetric loading, step time asymmetry, variability, pace. A flag says what it rests on.

A limit is passed only where the whole interval of the visit lies beyond it, a rise is one only where the trend's or the
change's interval says so: a flag is not raised by an error. No flag is a diagnosis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gaitkeeper_client.followup.change import Change, Trend
from gaitkeeper_client.followup.visits import Estimate, Visit

FlagState = Literal["raised", "clear", "unclear", "unknown"]


@dataclass(frozen=True, slots=True)
class Limit:
    """A value beyond which a flag is raised. ``centre``: of a quantity that may be off to both sides, else None."""

    parameter: str
    limit: float
    source: str
    centre: float | None = None


LIMITS: Mapping[str, Limit] = {
    "loading": Limit(
        "symmetry_index",
        5.0,
        "Patterson et al. 2010, doi:10.1016/j.gaitpost.2009.10.014: stance time ratio of healthy adults up to 1.05 "
        "(from memory)",
    ),
    "step_time": Limit(
        "step_time_ratio",
        0.10,
        "a convention: a tenth, about twice the standard error of repeated measurements",
        centre=1.0,
    ),
    "variability": Limit(
        "stride_time_cv",
        3.0,
        "Hausdorff 2005, doi:10.1186/1743-0003-2-19: a few percent in healthy adults; 3 % is our reading of that "
        "(introduction read)",
    ),
    "pace": Limit(
        "walking_speed",
        0.8,
        "Perry et al. 1995, doi:10.1161/01.STR.26.6.982: after a stroke, slower walkers are limited outdoors (not read "
        "itself; the limit as the abstract of Schmid et al. 2007 has it, doi:10.1161/STROKEAHA.106.475921)",
    ),
}
_LOW_IS_BAD = frozenset({"pace"})


@dataclass(frozen=True, slots=True)
class Flag:
    """One view on risk at the latest visit.

    ``state``: ``raised`` (the interval lies beyond the limit), ``clear`` (it lies inside), ``unclear`` (it reaches over
    the limit), ``unknown`` (the parameter is withheld: ``withheld`` says why). ``rising``: whether it got worse by more
    than its error since the first visit or over the trend; None where that cannot be told. ``limit``: with its source.
    """

    name: str
    state: FlagState
    limit: Limit
    estimate: Estimate | None
    rising: bool | None
    change: Change | None
    trend: Trend | None
    withheld: str = ""


def flags(visits: Sequence[Visit], since_first: Mapping[str, Change], trends: Mapping[str, Trend]) -> tuple[Flag, ...]:
    """Every view on risk, at the latest visit."""
    if not visits:
        return ()
    latest, found = visits[-1], []
    for name, limit in LIMITS.items():
        estimate = latest.estimates.get(limit.parameter)
        change, trend = since_first.get(limit.parameter), trends.get(limit.parameter)
        found.append(
            Flag(
                name=name,
                state=_state(name, limit, estimate),
                limit=limit,
                estimate=estimate,
                rising=_rising(change, trend),
                change=change if change is not None and change.verdict != "not_judged" else None,
                trend=trend,
                withheld=latest.withheld(limit.parameter),
            )
        )
    return tuple(found)


def _state(name: str, limit: Limit, estimate: Estimate | None) -> FlagState:
    if estimate is None or estimate.ci95 is None:
        return "unknown"
    low, high = estimate.ci95
    if name in _LOW_IS_BAD:
        inside, beyond = low >= limit.limit, high < limit.limit
    elif limit.centre is not None:
        inside = abs(low - limit.centre) <= limit.limit and abs(high - limit.centre) <= limit.limit
        beyond = low > limit.centre + limit.limit or high < limit.centre - limit.limit
    else:
        inside, beyond = high <= limit.limit, low > limit.limit
    if beyond:
        return "raised"
    return "clear" if inside else "unclear"


def _rising(change: Change | None, trend: Trend | None) -> bool | None:
    verdicts = [one.verdict for one in (change, trend) if one is not None and one.verdict != "not_judged"]
    return any(verdict == "worse" for verdict in verdicts) if verdicts else None
