"""Did a parameter change between two visits, by more than its error? And is it going somewhere over several?

The minimal detectable change is what two visits of an unchanged patient differ by in 5 % of the cases at most:
1.96 times the root of the errors of both visits (strides, repeated walks) and twice the published day-to-day variance.
After Weir 2005, J. Strength Cond. Res. 19:231, whose MDC is 1.96 x sqrt(2) x SEM; the strides' own errors are added, so
that a poor recording can detect less. With many parameters some will seem to change; :attr:`Change.firm` says which
changes hold with Holm's correction over all that were judged (Holm 1979, Scand. J. Statist. 6:65).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gaitkeeper_client.followup.rules import ChangeRule, change_rules
from gaitkeeper_client.followup.visits import Z95, Visit
from gaitkeeper_client.insight.context import PatientContext
from gaitkeeper_client.insight.norms import norm_range

FALSE_ALARMS = 0.05
DAYS_PER_MONTH = 30.4375
FEWEST_VISITS = 3

Verdict = Literal["improved", "worse", "changed", "within_error", "not_judged"]
Why = Literal["", "missing", "one_value", "no_error", "method"]


@dataclass(frozen=True, slots=True)
class Change:
    """A parameter from one visit to a later one.

    ``difference``: later less earlier, None where one is missing. ``mdc``: the least difference that is more than error
    at 95 %. ``day_sd``: the published part of the error. ``repeated``: this patient's repeated walks are in it.
    ``why``: of a change that is not judged. ``firm``: holds with all the parameters that were judged counted.
    """

    name: str
    earlier: float | None
    later: float | None
    difference: float | None
    mdc: float | None
    verdict: Verdict
    why: Why = ""
    day_sd: float | None = None
    repeated: bool = False
    p_value: float | None = None
    firm: bool = False


@dataclass(frozen=True, slots=True)
class Trend:
    """Slope of a parameter over visits, per month, with its 95 % interval; ``verdict`` as of a change."""

    name: str
    per_month: float
    ci95: tuple[float, float]
    visits: int
    verdict: Verdict


def changes(
    earlier: Visit, later: Visit, patient: PatientContext, names: Sequence[str] | None = None
) -> tuple[Change, ...]:
    """Every parameter that there is a rule for, from one visit to another; those judged with Holm's correction."""
    rules = change_rules()
    found = [_change(rules[name], earlier, later, patient) for name in (names or rules)]
    judged = sorted((one for one in found if one.p_value is not None), key=lambda one: one.p_value or 0.0)
    firm: set[str] = set()
    for rank, one in enumerate(judged):
        if (one.p_value or 0.0) > FALSE_ALARMS / (len(judged) - rank):
            break
        firm.add(one.name)
    return tuple(dataclasses.replace(one, firm=one.name in firm) for one in found)


def _change(rule: ChangeRule, earlier: Visit, later: Visit, patient: PatientContext) -> Change:
    before, after = earlier.estimates.get(rule.name), later.estimates.get(rule.name)
    if before is None or after is None:
        values = tuple(None if one is None else one.value for one in (before, after))
        return Change(rule.name, values[0], values[1], None, None, "not_judged", "missing")
    difference = after.value - before.value
    plain = Change(rule.name, before.value, after.value, difference, None, "not_judged")
    if earlier.method != later.method:
        return dataclasses.replace(plain, why="method")
    day_sd = _day_sd(rule, (earlier, later))
    if day_sd is None:
        return dataclasses.replace(plain, why="no_error")
    if before.sd is None or after.sd is None:
        return dataclasses.replace(plain, why="one_value")
    error = math.sqrt(before.sd**2 + after.sd**2 + 2.0 * day_sd**2)
    mdc = Z95 * error
    verdict: Verdict = "within_error" if abs(difference) <= mdc else direction(rule, before.value, after.value, patient)
    p_value = two_sided(difference, error)
    return dataclasses.replace(
        plain,
        mdc=mdc,
        verdict=verdict,
        day_sd=day_sd,
        repeated=before.repeated or after.repeated,
        p_value=p_value,
    )


def two_sided(difference: float, error: float) -> float:
    """How probable a difference at least as large is where nothing changed; normal errors."""
    return math.erfc(abs(difference) / error / math.sqrt(2.0)) if error > 0.0 else float(difference == 0.0)


def _day_sd(rule: ChangeRule, visits: Sequence[Visit]) -> float | None:
    """The published error at the mean of the visits: it may grow with value or speed."""
    values = [visit.estimates[rule.name].value for visit in visits if rule.name in visit.estimates]
    speeds = [visit.estimates["walking_speed"].value for visit in visits if "walking_speed" in visit.estimates]
    return rule.day_sd(float(np.mean(values)), float(np.mean(speeds)) if speeds else None)


def direction(rule: ChangeRule, before: float, after: float, patient: PatientContext) -> Verdict:
    """Whether a change that is more than error is to the better."""
    if rule.better in ("higher", "lower"):
        return "improved" if (after > before) == (rule.better == "higher") else "worse"
    if rule.better == "equal" and rule.target is not None:
        away = abs(before - rule.target), abs(after - rule.target)
    elif rule.better == "norm":
        away = tuple(_outside(rule.name, value, patient) for value in (before, after))  # type: ignore[assignment]
    else:
        return "changed"
    if away[0] == away[1]:
        return "changed"
    return "improved" if away[1] < away[0] else "worse"


def _outside(name: str, value: float, patient: PatientContext) -> float:
    """How far a value lies outside the norm of the patient's age and sex; 0 inside, or without a norm."""
    norm = norm_range(name, sex=patient.sex, age=patient.age)
    if norm is None:
        return 0.0
    below = 0.0 if norm.low is None else max(norm.low - value, 0.0)
    return max(below, 0.0 if norm.high is None else max(value - norm.high, 0.0))


def trend(name: str, visits: Sequence[Visit], patient: PatientContext) -> Trend | None:
    """The slope over visits measured in one way, weighted by each visit's error; None below three of them, or where a
    change of this parameter is not judged."""
    rule = change_rules().get(name)
    method = visits[-1].method if visits else ""
    known = [visit for visit in visits if visit.method == method and name in visit.estimates]
    if rule is None or len(known) < FEWEST_VISITS:
        return None
    day_sd = _day_sd(rule, known)
    months = np.array([(visit.moment - known[0].moment).total_seconds() / 86400.0 for visit in known]) / DAYS_PER_MONTH
    if day_sd is None or float(np.ptp(months)) == 0.0:
        return None
    values = np.array([visit.estimates[name].value for visit in known])
    sds = [visit.estimates[name].sd for visit in known]
    if any(sd is None for sd in sds):
        return None
    weights = 1.0 / np.array([float(sd or 0.0) ** 2 + day_sd**2 for sd in sds])
    middle = float((weights * months).sum() / weights.sum())
    spread = float((weights * (months - middle) ** 2).sum())
    slope = float((weights * (months - middle) * values).sum()) / spread
    level = float((weights * values).sum() / weights.sum())
    residual = float((weights * (values - level - slope * (months - middle)) ** 2).sum()) / (len(known) - 2)
    half = Z95 * math.sqrt(max(1.0, residual) / spread)
    verdict: Verdict = "within_error"
    if abs(slope) > half:
        start = level + slope * (0.0 - middle)
        verdict = direction(rule, start, start + slope * float(months[-1]), patient)
    return Trend(name, slope, (slope - half, slope + half), len(known), verdict)


def by_name(found: Sequence[Change]) -> Mapping[str, Change]:
    """Changes by parameter."""
    return {one.name: one for one in found}
