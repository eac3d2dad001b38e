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
from gaitkeeper_client.insight.wording import CHANNELS, number
from gaitkeeper_shared.models.channels import CHANNEL_BY_NAME
from gaitkeeper_shared.skeleton import SIDES

_RANGES = {
    "windows": "Bar: mean over the windows of this walk. Line: lowest and highest window.",
    "strides": (
        "Bar: the model's score. Line: 95 % interval over drawings of this walk's own strides (in blocks, with "
        "replacement): how much other strides of the same walk could have changed it. It says nothing of another day."
    ),
    "none": "Bar: the model's score for the one window of this walk. There is no interval.",
}

LEAST_AGREEMENT = 0.3
"""Rank correlation of the contributions with the rescaled map below which the two tell different stories."""


@dataclass(frozen=True, slots=True)
class ExplanationView:
    """One label's explanation: sentences, charts, checks in words, and the numbers as a table."""

    label: str
    sentences: tuple[str, ...]
    charts: tuple[Markup, ...]
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
        return FindingsView(False, "No model was asked: this analysis ran outside a site.")
    if findings.status == "no_model":
        return FindingsView(False, "No model is deployed at this site yet. The measurements above stand on their own.")
    foot_off = {side: foot_off_percent(cycles, side) for side in SIDES}
    return FindingsView(
        present=True,
        verdict=verdict(findings),
        reasons=tuple(reason.message for reason in findings.reasons),
        bars=probability_chart(findings.probabilities, findings.leading) if findings.probabilities else None,
        explanations=tuple(_explanation(item, foot_off) for item in findings.explanations),
        measured=tuple(measured_view(item) for item in findings.measured),
        unexplained=findings.unexplained.message if findings.unexplained else "",
        range_note=_RANGES[findings.spread],
        limits=findings.limits,
        model=_model(findings),
        certificate=certificate_view(findings),
    )


def verdict(findings: Findings) -> str:
    """What a model that was asked says, in one sentence."""
    if findings.status == "withheld":
        return "The model's answer is withheld."
    if findings.status == "undecided":
        return "The model does not know."
    if findings.severity is not None:
        found = findings.severity
        span = "" if found.lowest is None else f" (range {found.lowest:.1f} to {found.highest:.1f})"
        return f"The model estimates a severity of {severity_words(found)}{span}."
    top = findings.probabilities[0]
    return f"The model proposes “{top.label}” with a score of {top.probability:.0%}; {_certainty(findings)}."


def _certainty(findings: Findings) -> str:
    if findings.agreement is None:
        return "from one window, so that nothing tells how much it would vary"
    if findings.spread == "strides":
        return f"with the walk's strides drawn anew, the same label leads in {findings.agreement:.0%}"
    return f"{findings.agreement:.0%} of {findings.windows} windows agree"


def range_text(findings: Findings, item: LabelProbability) -> str:
    """The range of one label's probability, in words."""
    if item.lowest is None or item.highest is None:
        return "no range: one window"
    name = "95% interval" if findings.spread == "strides" else "windows"
    return f"{name} {item.lowest:.0%} to {item.highest:.0%}"


def _model(findings: Findings) -> tuple[tuple[str, str], ...]:
    card = findings.model
    if card is None:
        return ()
    facts = [
        ("Model version", card.version),
        ("Kind", f"{card.kind}, windows of {card.window_s:g} s at {card.rate_hz:g} Hz, {len(card.channels)} channels"),
        ("Labels", ", ".join(card.labels)),
        ("Study (SHA-256)", card.study_hash),
    ]
    if card.study is not None:
        facts.insert(3, ("Study", card.study.title or card.study.name))
    if card.personal_people:
        facts.append(("Head", f"this site's own, fitted to {card.personal_people} of its patients; it never left"))
    optional = (("Weights (SHA-256)", card.sha256), ("Released", card.created_at), ("Release notes", card.notes))
    return tuple(facts + [(title, text) for title, text in optional if text])


def _explanation(item: Explanation, foot_off: dict[str, float | None]) -> ExplanationView:
    step = 100 // PHASE_BINS
    return ExplanationView(
        label=item.label,
        sentences=tuple(_sentence(highlight, foot_off) for highlight in item.highlights),
        charts=heatmap_charts(item, foot_off),
        checks=_checks(item),
        columns=tuple(f"{column * step}–{(column + 1) * step}" for column in range(PHASE_BINS)),
        table=tuple(
            (f"{row.side} {row.joint}".strip(), tuple(number(value, 3) for value in row.contribution))
            for row in item.rows
        ),
    )


def _sentence(item: Highlight, foot_off: dict[str, float | None]) -> str:
    off = foot_off.get(item.side or "left")
    middle = (item.from_percent + ((item.to_percent - item.from_percent) % 100 or 100) / 2) % 100
    phase = "" if off is None else (", in swing" if middle > off else ", in stance")
    channel = CHANNEL_BY_NAME[item.channel]
    name = CHANNELS.get(item.channel.removesuffix(f"_{channel.side}"), item.channel)
    amount = _amount(abs(item.deviation), item.unit)
    direction = "less" if item.deviation < 0 else "more"
    where = f"{item.side} {item.joint}".strip()
    return (
        f"{where.capitalize()}, {item.from_percent:.0f} to {item.to_percent:.0f} % of the cycle{phase}: "
        f"{item.share:.0%} of all contributions{_interval(item)}. "
        f"There the {name} is on average {amount} {direction} than in the reference walk."
    )


def _interval(item: Highlight) -> str:
    """The contribution with its interval; nothing where too few cycles were seen to tell one."""
    if item.ci95 is None:
        return ""
    low, high = (number(end, 2) for end in item.ci95)
    return f" (log-odds {number(item.contribution, 2)}, 95 % interval over cycles {low} to {high})"


def _amount(value: float, unit: str) -> str:
    if unit == "deg":
        return f"{value:.0f} degrees"
    return f"{value:.2f} leg lengths{' per second' if unit == 'leg/s' else ''}"


def _checks(item: Explanation) -> tuple[tuple[str, bool], ...]:
    """Each check in words, and whether it was passed."""
    checks = [
        (
            f"Completeness: contributions add up to all but {item.residual:.1%} of the difference between this walk "
            f"(log-odds {number(item.log_odds, 2)}) and the reference walk ({number(item.reference_log_odds, 2)}).",
            item.residual <= LARGEST_RESIDUAL,
        ),
        (
            f"Coverage: {item.mapped:.0%} of the samples lie in one of {item.cycles} complete gait cycles.",
            item.mapped >= 0.5,
        ),
    ]
    if item.deletion is not None:
        check = item.deletion
        checks.append(
            (
                f"Deletion: replacing the tenth that is marked most by the reference walk lowers the log-odds by "
                f"{number(check.marked_drop, 2)}; a random tenth, by {number(check.random_drop, 2)}.",
                check.marked_drop > max(check.random_drop, 0.0),
            )
        )
    if item.rescaled is not None:
        found = item.rescaled
        cell = f"{found.side} {found.joint}".strip()
        checks.append(
            (
                f"Temporal saliency rescaling: the size of the contributions ranks as the rescaled map with a "
                f"correlation of {found.agreement:.2f}; most of its relevance lies at the {cell}, "
                f"{found.from_percent:.0f} to {found.to_percent:.0f} %.",
                found.agreement >= LEAST_AGREEMENT,
            )
        )
    return tuple(checks)
