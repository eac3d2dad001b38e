"""The charts of the page over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from gaitkeeper_client.followup.course import Course
from gaitkeeper_client.followup.rules import change_rules
from gaitkeeper_client.followup.visits import Z95, Visit
from gaitkeeper_client.insight.charts.course import Point, course_chart
from gaitkeeper_client.insight.wording import PARAMETERS, UNITS, number
from gaitkeeper_client.language.texts import Texts


def score_chart(course: Course, words: Texts) -> Markup | None:
    """The mobility score over the visits that have one; None without any."""
    points = [
        Point(_days(course.visits, visit), score.value, score.ci95, visit.draft, visit.day.isoformat())
        for visit, score in zip(course.visits, course.scores, strict=True)
        if score.value is not None
    ]
    if not points:
        return None
    title = words("followup.score")
    about = words("followup.chart_about", title=title, count=len(points), value=number(points[-1].value, 0), unit="")
    return course_chart(title, about, points, 0, limits=(0.0, 100.0))


def parameter_charts(course: Course, words: Texts) -> tuple[tuple[str, Markup], ...]:
    """By title, the chart of every parameter that each page shows and that was measured at least twice."""
    charts = []
    for name, rule in change_rules().items():
        known = [visit for visit in course.visits if name in visit.estimates]
        if not rule.shown or len(known) < 2:
            continue
        title, decimals = PARAMETERS[name]
        unit = _unit(name, known)
        points = [_point(course.visits, visit, name) for visit in known]
        about = words(
            "followup.chart_about",
            title=title,
            count=len(points),
            value=number(points[-1].value, decimals),
            unit=unit,
        )
        heading = f"{title} ({unit})" if unit else title
        charts.append((heading, course_chart(title, about, points, decimals, band=_band(name, known))))
    return tuple(charts)


def _point(visits: Sequence[Visit], visit: Visit, name: str) -> Point:
    one = visit.estimates[name]
    return Point(_days(visits, visit), one.value, one.ci95, visit.draft, visit.day.isoformat())


def _days(visits: Sequence[Visit], visit: Visit) -> float:
    return float((visit.day - visits[0].day).days)


def _unit(name: str, known: Sequence[Visit]) -> str:
    unit = known[0].reports[0].analysis.parameters[name].unit
    return UNITS.get(unit, unit)


def _band(name: str, known: Sequence[Visit]) -> tuple[float, float] | None:
    """Within error of the first visit, for a visit as well measured as the first."""
    first = known[0].estimates[name]
    speed = known[0].estimates.get("walking_speed")
    day_sd = change_rules()[name].day_sd(first.value, None if speed is None else speed.value)
    if day_sd is None or first.sd is None:
        return None
    reach = Z95 * math.sqrt(2.0) * math.hypot(first.sd, day_sd)
    return first.value - reach, first.value + reach
