"""What the report's template shows: plain texts and finished charts, made from an analysis and the model's findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.gait.deviation import variable_scores
from gaitkeeper_client.insight.charts.curves import SideCurve, curve_chart
from gaitkeeper_client.insight.charts.profile import profile_chart
from gaitkeeper_client.insight.charts.walk import stick_figures, timeline_chart
from gaitkeeper_client.insight.context import PatientContext
from gaitkeeper_client.insight.cycle_figures import dimensionless_speed, key_frames, side_curves
from gaitkeeper_client.insight.departures import departures, judged, told_unjudged
from gaitkeeper_client.insight.findings import Findings
from gaitkeeper_client.insight.findings_view import FindingsView, findings_view
from gaitkeeper_client.insight.norms import CURVES_FROM, NormCurve, curve_origin, norm_curve, speed_band
from gaitkeeper_client.insight.parameter_view import Headline, ParametersView, headline, parameters_view
from gaitkeeper_client.insight.standing import DRAFT, Standing, StandingView, standing_view
from gaitkeeper_client.insight.summary import in_short
from gaitkeeper_client.insight.wording import ANGLES, PLANES, fact, side_name, title_of
from gaitkeeper_client.language.texts import Texts, say, texts, worded
from gaitkeeper_shared import __version__
from gaitkeeper_shared.skeleton import SIDES

__all__ = ["PatientContext", "ReportView", "report_view"]


@dataclass(frozen=True, slots=True)
class Fact:
    """A named fact."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class AngleView:
    """One joint's chart. ``cycles``: of each side that has a curve in it, how many cycles that is the mean of."""

    title: str
    chart: Markup
    cycles: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ReportView:
    """Everything that the template prints."""

    patient: PatientContext
    created: str
    walked: str
    version: str
    analysed: bool
    reasons: tuple[tuple[str, str], ...]
    recording: str
    headline: tuple[Headline, ...]
    short: tuple[str, ...]
    quality: tuple[Fact, ...]
    cautions: tuple[str, ...]
    parameters: ParametersView
    aid: str
    angles: tuple[AngleView, ...]
    planes: tuple[AngleView, ...]
    legend: Mapping[str, str]
    profile: Markup | None
    deviations: tuple[str, ...]
    undeparted: tuple[str, ...]
    curve_norm: str
    timeline: Markup | None
    figures: Markup | None
    findings: FindingsView
    provenance: tuple[Fact, ...]
    standing: StandingView


def report_view(
    analysis: Analysis,
    findings: Findings | None,
    patient: PatientContext,
    now: datetime | None = None,
    standing: Standing = DRAFT,
    words: Texts | None = None,
) -> ReportView:
    """Gather what the report shows. Never raises for a refused analysis: then its reasons are the report."""
    speed = dimensionless_speed(analysis)
    band = speed_band(speed)
    frames = key_frames(analysis.recording.trajectories, analysis.cycles) if analysis.recording else ()
    cautions = _cautions(analysis)
    angles, planes = _angles(analysis, band), _planes(analysis)
    created = (now or datetime.now(UTC)).astimezone(UTC)
    return ReportView(
        patient=patient,
        created=created.strftime("%Y-%m-%d %H:%M UTC"),
        walked=standing.walked,
        version=__version__,
        analysed=analysis.status == "analysed",
        reasons=tuple((reason.code, reason.message) for reason in analysis.reasons),
        recording=_recording(analysis, len(cautions)),
        headline=headline(analysis.parameters, patient, _aid(analysis)),
        short=in_short(analysis, findings, patient, _aid(analysis), standing),
        quality=_facts(analysis.quality, _hidden(analysis.quality)),
        cautions=cautions,
        parameters=parameters_view(analysis.parameters, patient, _aid(analysis)),
        aid=_aid(analysis),
        angles=angles,
        planes=planes,
        legend={side: _legend(side, angles + planes) for side in SIDES},
        profile=_profile(analysis, band) if speed is not None else None,
        deviations=tuple(one.told for one in departures(analysis)),
        undeparted=_undeparted(analysis),
        curve_norm=_curve_norm(band, speed, patient.age, _aid(analysis)),
        timeline=_timeline(analysis),
        figures=stick_figures(frames) if frames else None,
        findings=findings_view(findings, analysis.cycles),
        provenance=_facts(analysis.source, set()) + _method(analysis),
        standing=standing_view(standing, words or texts()),
    )


def _recording(analysis: Analysis, cautions: int) -> str:
    """The recording and its quality in one line, which stands before any number of the walk. ``cautions``: how many."""
    quality = analysis.quality
    parts = [say("recording.cycles", count=len(analysis.cycles))]
    if isinstance(length := quality.get("duration_s"), float):
        parts.append(say("recording.length", seconds=length))
    if isinstance(view := quality.get("view"), str):
        parts.append(say("recording.view", view=worded(view)))
    if isinstance(tracked := quality.get("tracked_share"), float):
        parts.append(say("recording.tracked", share=tracked))
    if isinstance(known := quality.get("forces_known_share"), float):
        parts.append(say("recording.forces_known", share=known))
    care = say("recording.care", count=cautions) if cautions else say("recording.nothing")
    return say("recording.line", parts=", ".join(parts), care=care)


def _aid(analysis: Analysis) -> str:
    """What the operator noted that the patient walked with."""
    return str(analysis.source.get("aid") or "")


def _curve_norm(band: str, speed: float | None, age: float | None, aid: str) -> str:
    """Whose curves the norm is, why these, and whether they hold."""
    origin = curve_origin()
    name = worded(band)
    why = say("view.speed_unknown", name=name) if speed is None else say("view.speed_matched", name=name, speed=speed)
    text = say(
        "view.curve_norm",
        text=origin.source.text,
        doi=origin.source.doi,
        why=why,
        population=origin.population,
        note=origin.note,
    )
    return f"{text} {_hold(age, aid)}".rstrip()


def _hold(age: float | None, aid: str) -> str:
    """Where the curves' norm is not that of such a walk."""
    if aid:
        return say("view.not_with_aid", aid=worded(aid))
    if age is not None and age < CURVES_FROM:
        return say("view.not_for_child", curves_from=CURVES_FROM)
    return ""


def _undeparted(analysis: Analysis) -> tuple[str, ...]:
    """What is said where no curve leaves the norm, or where nothing tells whether it does."""
    none = (say("report.no_departures"),) if judged(analysis) and not departures(analysis) else ()
    return none + told_unjudged(analysis)


def _profile(analysis: Analysis, band: str) -> Markup | None:
    """The movement analysis profile; None without whole curves."""
    scores = variable_scores(analysis.cycles, band)
    return profile_chart(scores) if scores else None


def _facts(values: Mapping[str, Any], hidden: set[str]) -> tuple[Fact, ...]:
    return tuple(Fact(title_of(key), fact(key, value)) for key, value in values.items() if key not in hidden)


def _hidden(quality: Mapping[str, Any]) -> set[str]:
    """What is for programs, or means nothing for laboratory points."""
    hidden = {"straight_walks", "metres_per_unit", "event_method", "camera_shift"}
    hidden |= {key for key in ("turns",) if not quality.get(key)}
    laboratory = {"view_azimuth_deg", "direction", "camera"}
    return hidden | laboratory if quality.get("view") == "laboratory" else hidden


def _cautions(analysis: Analysis) -> tuple[str, ...]:
    """What in the quality asks for care when reading on; the limits are those of the sentences themselves."""
    quality, notes = analysis.quality, []
    cycles = len(analysis.cycles)
    if analysis.status == "analysed" and cycles < 6:
        notes.append(say("view.few_cycles", cycles=cycles))
    if aid := _aid(analysis):
        notes.append(say("view.aid", aid=worded(aid)))
    notes += _of_what_was_seen(quality)
    if switches := analysis.source.get("identity_switches_s"):
        notes.append(say("view.switched", when=_moments(switches)))
    elif passed := analysis.source.get("encounters_s"):
        notes.append(say("view.passed", when=_moments(passed)))
    if returns := analysis.source.get("returns_s"):
        notes.append(say("view.returned", when=_moments(returns)))
    azimuth = quality.get("view_azimuth_deg")
    if isinstance(azimuth, float) and abs(azimuth) > 20 and _angles_as_seen(analysis):
        notes.append(say("view.oblique", azimuth=abs(azimuth)))
    if analysis.recording is not None and analysis.recording.trajectories.dimensions == 2:
        notes.append(say("view.plane"))
    return tuple(notes)


def _of_what_was_seen(quality: Mapping[str, Any]) -> list[str]:
    notes = []
    if quality.get("feet_seen") is False:
        notes.append(say("view.ankles"))
    if _above(quality, "filled_share", 0.1):
        notes.append(say("view.filled", filled_share=quality["filled_share"]))
    if _above(quality, "swapped_share", 0.02):
        notes.append(say("view.swapped"))
    tracked = quality.get("tracked_share")
    if isinstance(tracked, float) and tracked < 0.9:
        notes.append(say("view.tracked", tracked=tracked))
    known = quality.get("forces_known_share")
    if isinstance(known, float) and known < 0.9:
        notes.append(say("view.forces_known", known=known))
    return notes


def _angles_as_seen(analysis: Analysis) -> bool:
    """Whether there are angles, and they were not set square: those of an oblique view come out too small."""
    notes = (note.code for parameter in analysis.parameters.values() for note in parameter.notes)
    return analysis.status == "analysed" and "set-square" not in notes


def _moments(seconds: Sequence[float]) -> str:
    return ", ".join(f"{time:.1f} s" for time in seconds)


def _above(quality: Mapping[str, Any], key: str, limit: float) -> bool:
    value = quality.get(key)
    return isinstance(value, float) and value > limit


def _angles(analysis: Analysis, band: str) -> tuple[AngleView, ...]:
    views = []
    for angle, (title, directions) in ANGLES.items():
        if sides := side_curves(analysis.cycles, angle):
            views.append(_angle_view(title, directions, sides, norm_curve(angle, band)))
    return tuple(views)


def _planes(analysis: Analysis) -> tuple[AngleView, ...]:
    cycles = [replace(cycle, curves=cycle.planes) for cycle in analysis.cycles]
    return tuple(
        _angle_view(title, directions, sides, None)
        for angle, (title, directions) in PLANES.items()
        if (sides := side_curves(cycles, angle))
    )


def _angle_view(
    title: str, directions: tuple[str, str], sides: Mapping[str, SideCurve], norm: NormCurve | None
) -> AngleView:
    chart = curve_chart(title, directions, sides, norm)
    return AngleView(title, chart, {side: curve.n for side, curve in sides.items()})


def _legend(side: str, charts: Sequence[AngleView]) -> str:
    """What a side's curves are: a curve of one cycle is no mean and has no spread."""
    counts = [chart.cycles[side] for chart in charts if side in chart.cycles]
    if not counts:
        kind = "none"
    elif max(counts) == 1:
        kind = "one"
    else:
        kind = "some_one" if min(counts) == 1 else "mean"
    return say(f"curves.{kind}", side=side_name(side))


def _timeline(analysis: Analysis) -> Markup | None:
    if not analysis.events:
        return None
    end = max(event.time_s for event in analysis.events) + 0.3
    duration = analysis.quality.get("duration_s")
    return timeline_chart(analysis.events, max(end, duration) if isinstance(duration, float) else end)


def _method(analysis: Analysis) -> tuple[Fact, ...]:
    method = analysis.quality.get("event_method")
    facts = [Fact("Gaitkeeper", __version__)]
    return tuple(facts + ([Fact(title_of("event_method"), str(method))] if method else []))
