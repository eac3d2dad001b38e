"""What the page over time shows: plain texts and finished charts, made from a patient's course."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from gaitkeeper_client.followup.change import Change, Trend
from gaitkeeper_client.followup.course import Course
from gaitkeeper_client.followup.rules import change_rules
from gaitkeeper_client.followup.score import components
from gaitkeeper_client.followup.units import unit_and_decimals
from gaitkeeper_client.followup.view_charts import parameter_charts, score_chart
from gaitkeeper_client.followup.view_risk import FlagView, flag_views
from gaitkeeper_client.followup.visits import Visit
from gaitkeeper_client.insight.context import PatientContext
from gaitkeeper_client.insight.wording import PARAMETERS, number, title_of
from gaitkeeper_client.language.texts import Texts
from gaitkeeper_shared import __version__


@dataclass(frozen=True, slots=True)
class VisitView:
    """One visit as a row."""

    day: str
    walks: str
    reports: tuple[str, ...]
    state: str
    method: str


@dataclass(frozen=True, slots=True)
class ChangeCell:
    """One change: a verdict, and what it rests on. ``kind`` is the verdict's name, for its colour."""

    kind: str
    verdict: str
    detail: str
    firm: bool


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One parameter: its values at the first, previous and latest visit, and both changes."""

    title: str
    unit: str
    values: tuple[str, ...]
    cells: tuple[ChangeCell, ...]
    repeated: bool


@dataclass(frozen=True, slots=True)
class ShareView:
    """One component of the score."""

    title: str
    value: str
    share: str


@dataclass(frozen=True, slots=True)
class CourseView:
    """Everything that the page and the PDF print."""

    patient: PatientContext
    created: str
    version: str
    draft: bool
    banner: str
    visits: tuple[VisitView, ...]
    score: str
    score_interval: str
    score_missing: str
    score_cells: tuple[tuple[str, ChangeCell], ...]
    score_chart: Markup | None
    shares: tuple[ShareView, ...]
    columns: tuple[str, ...]
    headings: tuple[str, ...]
    rows: tuple[ChangeRow, ...]
    unjudged: tuple[tuple[str, str], ...]
    charts: tuple[tuple[str, Markup], ...]
    trends: tuple[str, ...]
    flags: tuple[FlagView, ...]
    sources: tuple[str, ...]


def _banner(course: Course, words: Texts) -> str:
    told = words("followup.draft" if course.draft else "followup.signed")
    return f"{told} {words('followup.overruled', count=course.overruled)}" if course.overruled else told


def course_view(course: Course, words: Texts, now: datetime | None = None) -> CourseView:
    """Gather what the page shows."""
    created = (now or datetime.now(UTC)).astimezone(UTC)
    latest = course.scores[-1]
    interval = latest.ci95
    columns, headings = _columns(course.visits, words)
    return CourseView(
        patient=course.patient,
        created=created.strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        draft=course.draft,
        banner=_banner(course, words),
        visits=tuple(_visit(visit, words) for visit in course.visits),
        score="" if latest.value is None else words("followup.score_of", value=number(latest.value, 0)),
        score_interval=""
        if interval is None
        else words("followup.score_interval", low=number(interval[0], 0), high=number(interval[1], 0)),
        score_missing=words("followup.score_not_given", names=", ".join(map(title, latest.missing)))
        if latest.missing
        else "",
        score_cells=_score_cells(course, words),
        score_chart=score_chart(course, words),
        shares=_shares(course),
        columns=columns,
        headings=headings,
        rows=_rows(course, words),
        unjudged=_unjudged(course, words),
        charts=parameter_charts(course, words),
        trends=tuple(_trend(one, words) for one in course.trends),
        flags=flag_views(course, words),
        sources=_sources(words),
    )


def title(name: str) -> str:
    """What a parameter is called."""
    return PARAMETERS[name][0] if name in PARAMETERS else title_of(name)


def _visit(visit: Visit, words: Texts) -> VisitView:
    state = words("followup.draft_state" if visit.draft else "followup.signed_state")
    reports = tuple(report.id for report in visit.reports)
    day = visit.day.isoformat() if visit.dated else words("followup.undated", day=visit.day.isoformat())
    return VisitView(day, str(len(visit.reports)), reports, state, visit.method)


def _columns(visits: Sequence[Visit], words: Texts) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Headings of the values and of the changes: the first and the previous visit may be one."""
    latest = words("followup.latest", day=visits[-1].day.isoformat())
    if len(visits) == 1:
        return (latest,), ()
    first = words("followup.first", day=visits[0].day.isoformat())
    if len(visits) == 2:
        return (first, latest), (words("followup.since_first"),)
    previous = words("followup.previous", day=visits[-2].day.isoformat())
    return (first, previous, latest), (words("followup.since_first"), words("followup.since_previous"))


def _rows(course: Course, words: Texts) -> tuple[ChangeRow, ...]:
    """The parameters that every page shows, and whichever else changed."""
    sets = _change_sets(course)
    rows = []
    for name, rule in change_rules().items():
        found = [one[name] for one in sets if name in one]
        known = [visit.estimates.get(name) for visit in _shown_visits(course)]
        moved = any(change.verdict not in ("not_judged", "within_error") for change in found)
        if not (rule.shown or moved) or not any(known):
            continue
        unit, decimals = unit_and_decimals(name, course)
        values = tuple(number(None if one is None else one.value, decimals) for one in known)
        cells = tuple(_cell(change, unit, decimals, words) for change in found)
        rows.append(ChangeRow(title(name), unit, values, cells, any(change.repeated for change in found)))
    return tuple(rows)


def _shown_visits(course: Course) -> tuple[Visit, ...]:
    if len(course.visits) <= 2:
        return course.visits
    return course.visits[0], course.visits[-2], course.visits[-1]


def _change_sets(course: Course) -> list[Mapping[str, Change]]:
    sets = [course.since_first] if len(course.visits) > 1 else []
    if len(course.visits) > 2:
        sets.append(course.since_previous)
    return [{change.name: change for change in found} for found in sets]


_WHY = {"missing": "missing", "one_value": "one_value", "no_error": "no_error", "method": "method_differs"}


def _cell(change: Change, unit: str, decimals: int, words: Texts) -> ChangeCell:
    verdict = words(f"followup.{change.verdict}")
    if change.verdict == "not_judged":
        return ChangeCell(change.verdict, verdict, words(f"followup.{_WHY[change.why]}"), False)
    sign = "+" if (change.difference or 0.0) > 0.0 else ""
    difference = f"{sign}{number(change.difference, decimals)} {unit}".strip()
    mdc = f"{number(change.mdc, decimals)} {unit}".strip()
    return ChangeCell(
        change.verdict, verdict, words("followup.difference", difference=difference, mdc=mdc), change.firm
    )


def _score_cells(course: Course, words: Texts) -> tuple[tuple[str, ChangeCell], ...]:
    labels = ("followup.since_first", "followup.since_previous")
    pairs = list(zip(labels, course.score_changes, strict=True))[: 1 if len(course.visits) < 3 else 2]
    return tuple((words(label), _cell(change, "", 0, words)) for label, change in pairs if change is not None)


def _shares(course: Course) -> tuple[ShareView, ...]:
    latest, shares = course.visits[-1], course.scores[-1].shares
    views = []
    for one in components():
        estimate = latest.estimates.get(one.parameter)
        unit, decimals = unit_and_decimals(one.parameter, course)
        value = "–" if estimate is None else f"{number(estimate.value, decimals)} {unit}".strip()
        share = f"{shares[one.parameter]:.0%}" if one.parameter in shares else "–"
        views.append(ShareView(f"{title(one.parameter)} ({one.weight:.0%})", value, share))
    return tuple(views)


def _unjudged(course: Course, words: Texts) -> tuple[tuple[str, str], ...]:
    """What was measured at both visits and not judged, by reason."""
    if len(course.visits) < 2:
        return ()
    names: dict[str, list[str]] = {}
    for change in course.since_first:
        if change.verdict == "not_judged" and change.why != "missing":
            names.setdefault(change.why, []).append(title(change.name))
    return tuple((", ".join(found), words(f"followup.{_WHY[why]}")) for why, found in names.items())


def _trend(one: Trend, words: Texts) -> str:
    decimals = PARAMETERS[one.name][1] + 1 if one.name in PARAMETERS else 2
    return words(
        "followup.trend",
        name=title(one.name),
        slope=number(one.per_month, decimals),
        unit="",
        low=number(one.ci95[0], decimals),
        high=number(one.ci95[1], decimals),
        visits=one.visits,
        verdict=words(f"followup.{one.verdict}"),
    ).replace("  ", " ")


def _sources(words: Texts) -> tuple[str, ...]:
    names: dict[tuple[str, str, str], list[str]] = {}
    for name, rule in change_rules().items():
        if rule.source is not None:
            key = (rule.source.text, rule.source.where, rule.source.checked)
            told = words("followup.stands_in", name=title(name), as_for=rule.as_for) if rule.as_for else title(name)
            names.setdefault(key, []).append(told)
    return tuple(
        words("followup.source", names="; ".join(found), text=text, where=where, checked=checked)
        for (text, where, checked), found in names.items()
    )
