"""The views on risk in words: each says what it rests on."""

from __future__ import annotations

from dataclasses import dataclass

from gaitkeeper_client.followup.course import Course
from gaitkeeper_client.followup.risk import Flag
from gaitkeeper_client.followup.units import unit_and_decimals
from gaitkeeper_client.insight.wording import number
from gaitkeeper_client.language.texts import Texts


@dataclass(frozen=True, slots=True)
class FlagView:
    """One view. ``state`` is its name, for its colour."""

    title: str
    state: str
    words: str
    rests_on: str
    course: str


def flag_views(course: Course, words: Texts) -> tuple[FlagView, ...]:
    """Every view on risk, raised ones first."""
    order = {"raised": 0, "unclear": 1, "clear": 2, "unknown": 3}
    found = sorted(course.flags, key=lambda flag: order[flag.state])
    return tuple(_flag(flag, course, words) for flag in found)


def _flag(flag: Flag, course: Course, words: Texts) -> FlagView:
    told = "" if flag.rising is None else words("followup.rising" if flag.rising else "followup.not_rising")
    title, state = words(f"followup.{flag.name}"), words(f"followup.{flag.state}")
    return FlagView(title, flag.state, state, _rests_on(flag, course, words), told)


def _rests_on(flag: Flag, course: Course, words: Texts) -> str:
    estimate = flag.estimate
    if estimate is None or estimate.ci95 is None:
        why = flag.withheld or words("followup.one_value")
        return words("followup.rests_on_nothing", why=why)
    unit, decimals = unit_and_decimals(flag.limit.parameter, course)
    limit = number(flag.limit.limit, decimals)
    if flag.limit.centre is not None:
        limit = f"{number(flag.limit.centre, decimals)} ± {limit}"
    return words(
        "followup.rests_on",
        what=words(f"followup.{flag.name}_rests"),
        value=number(estimate.value, decimals),
        low=number(estimate.ci95[0], decimals),
        high=number(estimate.ci95[1], decimals),
        limit=limit,
        unit=f" {unit}" if unit else "",
        walks=estimate.walks,
        source=flag.limit.source,
    )
