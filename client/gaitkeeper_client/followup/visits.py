"""A patient's kept reports as visits: the walks of one day, each parameter with its error.

Several walks of one visit are repeated measurements. How far they differ from each other tells more of the error than
the strides of one walk do, so where there are any, the larger of the two is taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

from gaitkeeper_client.gait.analysis import Analysis, Parameter
from gaitkeeper_client.language.texts import say, worded
from gaitkeeper_client.signing.kept import KeptReport

Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Estimate:
    """A parameter at one visit.

    ``sd``: standard error of the value, of strides and repeated walks, without the day-to-day error; None where one
    value alone tells nothing of it. ``walks``: that gave a value; ``repeated``: ``sd`` rests on repeated walks.
    """

    value: float
    sd: float | None
    walks: int
    repeated: bool = False

    @property
    def ci95(self) -> tuple[float, float] | None:
        """95 % interval of the value on that day."""
        return None if self.sd is None else (self.value - Z95 * self.sd, self.value + Z95 * self.sd)


@dataclass(frozen=True, slots=True)
class Visit:
    """The walks of one day (UTC). ``method``: see :func:`method_of`; changes are judged within one only."""

    day: date
    reports: tuple[KeptReport, ...]
    estimates: Mapping[str, Estimate]
    method: str

    @property
    def moment(self) -> datetime:
        """When the first walk of the day was."""
        return self.reports[0].walked_at

    @property
    def dated(self) -> bool:
        """Whether somebody said when the patient walked; else the day is that of the analysis."""
        return all(report.recorded_at is not None for report in self.reports)

    @property
    def draft(self) -> bool:
        """Whether a report of the visit is not signed."""
        return any(report.state == "draft" for report in self.reports)

    def withheld(self, name: str) -> str:
        """Why a parameter is not given at this visit, in words; empty where it is."""
        if name in self.estimates:
            return ""
        for report in self.reports:
            parameter = report.analysis.parameters.get(name)
            if parameter is not None and parameter.refused is not None:
                return parameter.refused.message
        return say("visits.not_measured")


def visits_of(reports: Sequence[KeptReport]) -> tuple[Visit, ...]:
    """Measured walks by day, oldest first. Of several reports of one recording the newest counts; none whose
    measurements a clinician overruled."""
    newest: dict[str, KeptReport] = {}
    for report in sorted(reports, key=lambda one: one.created_at):
        if report.analysis.status == "analysed":
            newest[report.source_sha256 or report.id] = report
    days: dict[date, list[KeptReport]] = {}
    standing = (report for report in newest.values() if report.overruled is None)
    for report in sorted(standing, key=lambda one: one.walked_at):
        days.setdefault(report.walked_at.date(), []).append(report)
    spreads = _walk_variances([[one.analysis for one in group] for group in days.values()])
    return tuple(_visit(day, group, spreads) for day, group in days.items())


def method_of(analysis: Analysis) -> str:
    """How a walk was made and measured, as far as its values depend on it: points in space, or in the picture by what;
    with which walking aid, where somebody said so."""
    aid = analysis.source.get("aid")
    return f"{_measured(analysis)}, {worded(str(aid).casefold())}" if aid else _measured(analysis)


def _measured(analysis: Analysis) -> str:
    if analysis.quality.get("view") == "laboratory":
        return say("visits.laboratory")
    if analysis.recording is None or analysis.recording.trajectories.dimensions == 3:
        return worded(str(analysis.source.get("kind", "unknown")))
    estimator = worded(str(analysis.source.get("estimator") or analysis.source.get("kind", "video")))
    view = analysis.quality.get("view")
    return f"{estimator}, {worded(str(view)) if view else say('visits.unknown_view')}"


def standard_error(parameter: Parameter) -> float | None:
    """Standard error from the 95 % interval; taken as normal, which is on the safe side for few strides."""
    if parameter.ci95 is None:
        return None
    return (parameter.ci95[1] - parameter.ci95[0]) / (2.0 * Z95)


def _visit(day: date, group: Sequence[KeptReport], spreads: Mapping[str, float]) -> Visit:
    analyses = [report.analysis for report in group]
    names = dict.fromkeys(name for analysis in analyses for name in analysis.parameters)
    estimates = {name: found for name in names if (found := _estimate(name, analyses, spreads.get(name))) is not None}
    methods = dict.fromkeys(method_of(analysis) for analysis in analyses)
    return Visit(day, tuple(group), estimates, " and ".join(methods))


def _known(name: str, analyses: Sequence[Analysis]) -> list[Parameter]:
    found = (analysis.parameters.get(name) for analysis in analyses)
    return [one for one in found if one is not None and one.value is not None and math.isfinite(one.value)]


def _estimate(name: str, analyses: Sequence[Analysis], walk_variance: float | None) -> Estimate | None:
    known = _known(name, analyses)
    if not known:
        return None
    value = float(np.mean([one.value for one in known]))
    errors = [error for one in known if (error := standard_error(one)) is not None]
    strides = sum(error**2 for error in errors) / len(errors) / len(known) if errors else None
    repeats = None if walk_variance is None else walk_variance / len(known)
    both = [variance for variance in (strides, repeats) if variance is not None]
    if not both:
        return Estimate(value, None, len(known))
    return Estimate(value, math.sqrt(max(both)), len(known), repeats is not None and repeats >= max(both))


def _walk_variances(days: Sequence[Sequence[Analysis]]) -> dict[str, float]:
    """Variance between walks of one day, pooled over the days that have several, by parameter."""
    names = {name for day in days for analysis in day for name in analysis.parameters}
    found = {}
    for name in names:
        groups = [[float(one.value or 0.0) for one in _known(name, day)] for day in days]
        several = [np.asarray(group) for group in groups if len(group) > 1]
        if several:
            freedom = sum(group.size - 1 for group in several)
            found[name] = float(sum(((group - group.mean()) ** 2).sum() for group in several)) / freedom
    return found
