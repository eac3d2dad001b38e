"""The model's findings in plain sentences and charts. A sentence says no more than the numbers that it is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gaitkeeper_client.gait.analysis import Cycle
from gaitkeeper_client.insight.certificate_view import CertificateView, certificate_view
from gaitkeeper_client.insight.charts.bars import probability_chart
from gaitkeeper_client.insight.charts.heatmap import heatmap_charts
from gaitkeeper_client.insight.cycle_figures import foot_off_percent
from gaitkeeper_client.insight.findings import PHASE_BINS, Explanation, Findings, Highlight, LabelProbability
from gaitkeeper_client.insight.measured_view import LARGEST_RESIDUAL, MeasuredView, measured_view
from gaitkeeper_client.insight.severity import severity_words
from gaitkeeper_client.insight.wording import channel_name, moment, number, place
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.skeleton import SIDES

NEARLY_ALL = 90.0
"""Percent of the cycle from which a stretch is no stretch any more."""
LEAST_AGREEMENT = 0.3
"""Rank correlation of the contributions with the rescaled map below which the two tell different stories."""


@dataclass(frozen=True, slots=True)
class ExplanationView:
    """One label's explanation: sentences, charts, checks in words, and the numbers as a table. ``curves``: which curves
    lie over the heatmap; empty where none was kept."""

    label: str
    sentences: tuple[str, ...]
    charts: tuple[Markup, ...]
    curves: str
    checks: tuple[tuple[str, bool], ...]
    columns: tuple[str, ...]
    table: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class FindingsView:
    """The section on the model. ``verdict`` is its one sentence; ``present``: whether a model spoke at all."""

    present: bool
    verdict: str
    reasons: tuple[str, ...] = ()
    bars: Markup | None = None
    explanations: tuple[ExplanationView, ...] = ()
    measured: tuple[MeasuredView, ...] = ()
    unexplained: str = ""
    range_note: str = ""
    limits: tuple[str, ...] = ()
    model: tuple[tuple[str, str], ...] = ()
    certificate: CertificateView | None = None


def findings_view(findings: Findings | None, cycles: Sequence[Cycle]) -> FindingsView:
    """What the section on the model shows."""
    if findings is None:
        return FindingsView(False, say("findings.not_asked"))
    if findings.status == "no_model":
        return FindingsView(False, say("findings.no_model"))
    foot_off = {side: foot_off_percent(cycles, side) for side in SIDES}
    return FindingsView(
        present=True,
        verdict=verdict(findings),
        reasons=tuple(reason.message for reason in findings.reasons),
        bars=probability_chart(findings.probabilities, findings.leading) if findings.probabilities else None,
        explanations=tuple(_explanation(item, foot_off) for item in findings.explanations),
        measured=tuple(measured_view(item) for item in findings.measured),
        unexplained=findings.unexplained.message if findings.unexplained else "",
        range_note=say(f"findings.range_{findings.spread}"),
        limits=findings.limits,
        model=_model(findings),
        certificate=certificate_view(findings),
    )


def verdict(findings: Findings) -> str:
    """What a model that was asked says, in one sentence."""
    if findings.status == "withheld":
        return say("findings.withheld")
    if findings.status == "undecided":
        return say("findings.undecided")
    if findings.severity is not None:
        found = findings.severity
        span = (
            "" if found.lowest is None else say("findings.severity_range", lowest=found.lowest, highest=found.highest)
        )
        return say("findings.severity", found=severity_words(found), span=span)
    top = findings.probabilities[0]
    return say("findings.proposes", label=top.label, probability=top.probability, certainty=_certainty(findings))


def _certainty(findings: Findings) -> str:
    if findings.agreement is None:
        return say("findings.certainty_one")
    if findings.spread == "strides":
        return say("findings.certainty_strides", agreement=findings.agreement)
    return say("findings.certainty_windows", agreement=findings.agreement, windows=findings.windows)


def range_text(findings: Findings, item: LabelProbability) -> str:
    """The range of one label's probability, in words."""
    if item.lowest is None or item.highest is None:
        return say("findings.no_range")
    name = "findings.over_strides" if findings.spread == "strides" else "findings.over_windows"
    return say(name, lowest=item.lowest, highest=item.highest)


def _model(findings: Findings) -> tuple[tuple[str, str], ...]:
    card = findings.model
    if card is None:
        return ()
    facts = [
        (say("findings.model_version"), card.version),
        (
            say("findings.kind"),
            say(
                "findings.kind_of",
                kind=card.kind,
                window_s=card.window_s,
                rate_hz=card.rate_hz,
                channels=len(card.channels),
            ),
        ),
        (say("findings.labels"), ", ".join(card.labels)),
        (say("findings.study_sha256"), card.study_hash),
    ]
    if card.study is not None:
        facts.insert(3, (say("findings.study"), card.study.title or card.study.name))
    if card.personal_people:
        facts.append((say("findings.head"), say("findings.own_head", personal_people=card.personal_people)))
    optional = (
        (say("findings.weights_sha256"), card.sha256),
        (say("findings.released"), moment(card.created_at)),
        (say("findings.notes"), card.notes),
    )
    return tuple(facts + [(title, text) for title, text in optional if text])


def _explanation(item: Explanation, foot_off: dict[str, float | None]) -> ExplanationView:
    step = 100 // PHASE_BINS
    return ExplanationView(
        label=item.label,
        sentences=tuple(_sentence(highlight, foot_off) for highlight in item.highlights),
        charts=heatmap_charts(item, foot_off),
        curves=_curves(item),
        checks=_checks(item),
        columns=tuple(f"{column * step}–{(column + 1) * step}" for column in range(PHASE_BINS)),
        table=tuple(
            (place(row.side, row.joint), tuple(number(value, 3) for value in row.contribution)) for row in item.rows
        ),
    )


def _curves(item: Explanation) -> str:
    """Which curve each joint's row shows, both sides in one where they show the same."""
    shown: dict[str, dict[str, str]] = {}
    for row in item.rows:
        if row.curve is not None:
            shown.setdefault(row.joint, {})[row.side] = channel_name(row.curve.channel)
    told = []
    for joint, names in shown.items():
        same = len(set(names.values())) == 1
        places = [("", next(iter(names.values())))] if same else list(names.items())
        told += [say("findings.curve_of", joint=place(side, joint), name=name) for side, name in places]
    return say("findings.curves", names="; ".join(told)) if told else ""


def _sentence(item: Highlight, foot_off: dict[str, float | None]) -> str:
    name = channel_name(item.channel)
    amount = _amount(abs(item.deviation), item.unit)
    direction = say("findings.less" if item.deviation < 0 else "findings.more")
    where = place(item.side, item.joint)
    return say(
        "findings.sentence",
        where=where.capitalize(),
        stretch=_stretch(item),
        phase=_phase(item, foot_off.get(item.side or "left")),
        share=item.share,
        interval=_interval(item),
        name=name,
        amount=amount,
        direction=direction,
    )


def _stretch(item: Highlight) -> str:
    """From where to where; one that goes over the foot strike says so, as 90 to 20 % reads like a slip."""
    if _length(item) >= NEARLY_ALL:
        return say("findings.nearly_all")
    over = item.to_percent % 100 < item.from_percent and item.to_percent % 100 > 0
    name = "findings.over_strike" if over else "findings.stretch"
    return say(name, from_percent=item.from_percent, to_percent=item.to_percent)


def _phase(item: Highlight, foot_off: float | None) -> str:
    """The phase that all of a stretch lies in; where it lies in both, both."""
    length = _length(item)
    if foot_off is None or length >= NEARLY_ALL:
        return ""
    inside = {(item.from_percent + step) % 100 >= foot_off for step in range(round(length))}
    return say(
        "findings.in_both" if len(inside) > 1 else "findings.in_swing" if True in inside else "findings.in_stance"
    )


def _length(item: Highlight) -> float:
    """Percent of the cycle that a stretch takes."""
    return (item.to_percent - item.from_percent) % 100 or 100.0


def _interval(item: Highlight) -> str:
    """The contribution with its interval; nothing where too few cycles were seen to tell one."""
    if item.ci95 is None:
        return ""
    low, high = (number(end, 2) for end in item.ci95)
    return say("findings.interval", contribution=number(item.contribution, 2), low=low, high=high)


def _amount(value: float, unit: str) -> str:
    if unit == "deg":
        return say("findings.degrees", value=value)
    return say("findings.leg_lengths_s" if unit == "leg/s" else "findings.leg_lengths", value=value)


def _checks(item: Explanation) -> tuple[tuple[str, bool], ...]:
    """Each check in words, and whether it was passed."""
    checks = [
        (
            say(
                "findings.completeness",
                residual=item.residual,
                log_odds=number(item.log_odds, 2),
                reference_log_odds=number(item.reference_log_odds, 2),
            ),
            item.residual <= LARGEST_RESIDUAL,
        ),
        (
            say("findings.coverage", mapped=item.mapped, cycles=item.cycles),
            item.mapped >= 0.5,
        ),
    ]
    if item.deletion is not None:
        check = item.deletion
        checks.append(
            (
                say(
                    "findings.deletion",
                    marked_drop=number(check.marked_drop, 2),
                    random_drop=number(check.random_drop, 2),
                ),
                check.marked_drop > max(check.random_drop, 0.0),
            )
        )
    if item.rescaled is not None:
        found = item.rescaled
        cell = place(found.side, found.joint)
        checks.append(
            (
                say(
                    "findings.rescaling",
                    agreement=found.agreement,
                    cell=cell,
                    from_percent=found.from_percent,
                    to_percent=found.to_percent,
                ),
                found.agreement >= LEAST_AGREEMENT,
            )
        )
    return tuple(checks)
