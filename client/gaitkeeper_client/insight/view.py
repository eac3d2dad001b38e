"""What the report's template shows: plain texts and finished charts, made from an analysis and the model's findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from gaitkeeper_client.gait.analysis import Analysis, Parameter
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.insight.charts.curves import curve_chart
from gaitkeeper_client.insight.charts.walk import stick_figures, timeline_chart
from gaitkeeper_client.insight.cycle_figures import SideRow, dimensionless_speed, key_frames, side_curves, side_table
from gaitkeeper_client.insight.deviations import Deviation, deviations
from gaitkeeper_client.insight.findings import Findings
from gaitkeeper_client.insight.findings_view import FindingsView, findings_view
from gaitkeeper_client.insight.norms import NormRange, curve_source, norm_curve, norm_range, speed_band
from gaitkeeper_client.insight.wording import ANGLES, PARAMETERS, fact, number, title_of
from gaitkeeper_shared import __version__


@dataclass(frozen=True, slots=True)
class PatientContext:
    """What the report may know of the patient: the pseudonym, and age and sex for the choice of norms. No name."""

    pseudonym: str
    age: float | None = None
    sex: str = ""
    height_m: float | None = None


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """A line of the parameter table; ``refused`` is empty for a value, ``mark`` for one inside its norm."""

    title: str
    definition: str
    value: str
    unit: str
    interval: str
    n: str
    norm: str
    mark: str
    refused: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A named fact."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class AngleView:
    """One joint's chart."""

    title: str
    chart: Markup


@dataclass(frozen=True, slots=True)
class ReportView:
    """Everything that the template prints."""

    patient: PatientContext
    created: str
    version: str
    analysed: bool
    reasons: tuple[tuple[str, str], ...]
    headline: tuple[Fact, ...]
    quality: tuple[Fact, ...]
    cautions: tuple[str, ...]
    parameters: tuple[ParameterRow, ...]
    norm_sources: tuple[str, ...]
    sides: tuple[SideRow, ...]
    angles: tuple[AngleView, ...]
    deviations: tuple[str, ...]
    curve_norm: str
    timeline: Markup | None
    figures: Markup | None
    findings: FindingsView
    provenance: tuple[Fact, ...]


def report_view(
    analysis: Analysis, findings: Findings | None, patient: PatientContext, now: datetime | None = None
) -> ReportView:
    """Gather what the report shows. Never raises for a refused analysis: then its reasons are the report."""
    rows, sources = _parameters(analysis, patient)
    speed = dimensionless_speed(analysis)
    band = speed_band(speed)
    angles, departures = _angles(analysis, band)
    frames = key_frames(analysis.recording.trajectories, analysis.cycles) if analysis.recording else ()
    created = (now or datetime.now(UTC)).astimezone(UTC)
    return ReportView(
        patient=patient,
        created=created.strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        analysed=analysis.status == "analysed",
        reasons=tuple((reason.code, reason.message) for reason in analysis.reasons),
        headline=_headline(rows),
        quality=_facts(analysis.quality, _hidden(analysis.quality)),
        cautions=_cautions(analysis),
        parameters=rows,
        norm_sources=sources,
        sides=side_table(analysis.cycles),
        angles=angles,
        deviations=departures,
        curve_norm=_curve_norm(band, speed),
        timeline=_timeline(analysis),
        figures=stick_figures(frames) if frames else None,
        findings=findings_view(findings, analysis.cycles),
        provenance=_facts(analysis.source, set()) + _method(analysis),
    )


def _curve_norm(band: str, speed: float | None) -> str:
    """Whose curves the norm is, and why these."""
    source, people, note = curve_source()
    name = band.replace("_", " ")
    if speed is None:
        why = f"“{name}” speed, because this walk's speed is not known: slow walking alone changes these curves"
    else:
        why = f"“{name}” speed, matched to this walk (dimensionless speed {speed:.2f})"
    return f"{source.text}, doi:{source.doi}, at {why}; {people}. {note}"


def _parameters(analysis: Analysis, patient: PatientContext) -> tuple[tuple[ParameterRow, ...], tuple[str, ...]]:
    names = [name for name in PARAMETERS if name in analysis.parameters]
    names += [name for name in analysis.parameters if name not in PARAMETERS]
    rows, sources = [], []
    for name in names:
        norm = norm_range(name, sex=patient.sex, age=patient.age)
        rows.append(_row(name, analysis.parameters[name], norm))
        if norm is not None:
            cited = f"{norm.source.text}{f', doi:{norm.source.doi}' if norm.source.doi else ''}"
            if cited not in sources:
                sources.append(cited)
    return tuple(rows), tuple(sources)


def _row(name: str, parameter: Parameter, norm: NormRange | None) -> ParameterRow:
    title, decimals = PARAMETERS.get(name, (title_of(name), 2))
    definition = DEFINITIONS[name].definition if name in DEFINITIONS else ""
    value = parameter.value if parameter.refused is None else None
    interval = ""
    if value is not None and parameter.ci95 is not None:
        low, high = parameter.ci95
        interval = f"{number(low, decimals)} to {number(high, decimals)}"
    return ParameterRow(
        title=title,
        definition=definition,
        value=number(value, decimals),
        unit=parameter.unit,
        interval=interval or "–",
        n=str(parameter.n) if parameter.n else "–",
        norm=_norm_text(norm, decimals),
        mark=_mark(parameter, norm) if value is not None else "",
        refused=parameter.refused.message if parameter.refused is not None else "",
    )


def _norm_text(norm: NormRange | None, decimals: int) -> str:
    if norm is None:
        return "–"
    if norm.low is None:
        return f"up to {number(norm.high, decimals)}"
    if norm.high is None:
        return f"from {number(norm.low, decimals)}"
    places = decimals if norm.high < 10 else 0
    return f"{number(norm.low, places)} to {number(norm.high, places)}"


def _mark(parameter: Parameter, norm: NormRange | None) -> str:
    """``below`` or ``above`` only where the whole interval lies outside the norm; else it is not known to."""
    if norm is None or parameter.value is None:
        return ""
    low, high = parameter.ci95 or (parameter.value, parameter.value)
    if norm.low is not None and parameter.value < norm.low:
        return "below" if high < norm.low else "perhaps below"
    if norm.high is not None and parameter.value > norm.high:
        return "above" if low > norm.high else "perhaps above"
    return ""


def _headline(rows: tuple[ParameterRow, ...]) -> tuple[Fact, ...]:
    wanted = ("Walking speed", "Cadence", "Stance asymmetry", "Double support")
    chosen = [row for title in wanted for row in rows if row.title == title]
    return tuple(Fact(row.title, "withheld" if row.refused else f"{row.value} {row.unit}") for row in chosen)


def _facts(values: Mapping[str, Any], hidden: set[str]) -> tuple[Fact, ...]:
    return tuple(Fact(title_of(key), fact(key, value)) for key, value in values.items() if key not in hidden)


def _hidden(quality: Mapping[str, Any]) -> set[str]:
    """What is for programs, or means nothing for laboratory points."""
    hidden = {"straight_walks", "metres_per_unit", "event_method"}
    return hidden | {"view_azimuth_deg", "direction"} if quality.get("view") == "laboratory" else hidden


def _cautions(analysis: Analysis) -> tuple[str, ...]:
    """What in the quality asks for care when reading on; the limits are those of the sentences themselves."""
    quality, notes = analysis.quality, []
    cycles = len(analysis.cycles)
    if analysis.status == "analysed" and cycles < 6:
        notes.append(f"Only {cycles} gait cycles were seen: intervals are wide, and a single odd step weighs much.")
    if _above(quality, "filled_share", 0.1):
        notes.append(f"{quality['filled_share']:.0%} of the values were filled in across gaps.")
    if _above(quality, "swapped_share", 0.02):
        notes.append("The tracker mixed up left and right in places; this was repaired. Look at the stick figures.")
    tracked = quality.get("tracked_share")
    if isinstance(tracked, float) and tracked < 0.9:
        notes.append(
            f"The person was tracked in {tracked:.0%} of the samples only; they may have been in view no longer."
        )
    azimuth = quality.get("view_azimuth_deg")
    if isinstance(azimuth, float) and abs(azimuth) > 20:
        notes.append(f"The camera stood {abs(azimuth):.0f} degrees off the side view: joint angles come out too small.")
    if analysis.recording is not None and analysis.recording.trajectories.dimensions == 2:
        notes.append(
            "Angles are measured in the picture's plane from points found in video. Against a marker laboratory expect "
            "constant offsets of several degrees, most of all at ankle and hip; shapes and ranges are more reliable."
        )
    return tuple(notes)


def _above(quality: Mapping[str, Any], key: str, limit: float) -> bool:
    value = quality.get(key)
    return isinstance(value, float) and value > limit


def _angles(analysis: Analysis, band: str) -> tuple[tuple[AngleView, ...], tuple[str, ...]]:
    views = []
    found: list[tuple[Deviation, float | None]] = []
    for angle, (title, directions) in ANGLES.items():
        sides = side_curves(analysis.cycles, angle)
        if not sides:
            continue
        norm = norm_curve(angle, band)
        views.append(AngleView(title, curve_chart(title, directions, sides, norm)))
        if norm is not None:
            for side, curve in sides.items():
                found += [(item, curve.foot_off) for item in deviations(angle, side, curve, norm)[:2]]
    found.sort(key=lambda pair: -abs(pair[0].spreads))
    sentences = []
    for item, foot_off in found[:8]:
        phase = "" if foot_off is None else (", in swing" if item.at_percent > foot_off else ", in stance")
        where = "below" if item.degrees < 0 else "above"
        sentences.append(
            f"{item.angle.replace('_', ' ').capitalize()}, {item.side}{phase}: "
            f"{abs(item.degrees):.0f} degrees {where} the norm's mean at {item.at_percent} % of the cycle "
            f"({abs(item.spreads):.1f} standard deviations; outside the norm from {item.from_percent} to "
            f"{item.to_percent} %)."
        )
    return tuple(views), tuple(sentences)


def _timeline(analysis: Analysis) -> Markup | None:
    if not analysis.events:
        return None
    end = max(event.time_s for event in analysis.events) + 0.3
    duration = analysis.quality.get("duration_s")
    return timeline_chart(analysis.events, max(end, duration) if isinstance(duration, float) else end)


def _method(analysis: Analysis) -> tuple[Fact, ...]:
    method = analysis.quality.get("event_method")
    facts = [Fact("Gaitkeeper", __version__)]
    return tuple(facts + ([Fact("Events", str(method))] if method else []))
