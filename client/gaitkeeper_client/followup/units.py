"""How the numbers of a course are written."""

from __future__ import annotations

from gaitkeeper_client.followup.course import Course
from gaitkeeper_client.insight.wording import PARAMETERS, UNITS


def unit_and_decimals(name: str, course: Course) -> tuple[str, int]:
    """A parameter's unit as people write it, and the decimals that carry information."""
    units = (
        report.analysis.parameters[name].unit
        for visit in course.visits
        for report in visit.reports
        if name in report.analysis.parameters
    )
    unit = next(units, "")
    return UNITS.get(unit, unit), PARAMETERS[name][1] if name in PARAMETERS else 2
