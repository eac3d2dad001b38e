"""An explanation by measurements in sentences and a table."""

from __future__ import annotations

from dataclasses import dataclass

from gaitkeeper_client.insight.findings import MeasureContribution, MeasuredExplanation
from gaitkeeper_client.insight.wording import measure_wording, number, span
from gaitkeeper_client.language.texts import say

LARGEST_RESIDUAL = 0.1
"""An explanation that misses more of the change of log-odds is not to be relied on."""
LEAST_SEEN = 0.9
SENTENCES = 3
LEAST_SHARE = 0.03
_COMPARED = {
    "walk": say("measured.reference_walk"),
    "scale": say("measured.reference_scale"),
}


@dataclass(frozen=True, slots=True)
class MeasureRow:
    """One measurement: its title and the model's own name for it, texts for the cells, and what asks for care."""

    title: str
    name: str
    value: str
    unit: str
    interval: str
    reference: str
    contribution: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeasuredView:
    """One label explained by measurements; ``start`` and ``end`` are the log-odds before and with all of them."""

    label: str
    sentences: tuple[str, ...]
    reference: str
    rows: tuple[MeasureRow, ...]
    start: str
    end: str
    checks: tuple[tuple[str, bool], ...]
    method: str


def measured_view(item: MeasuredExplanation) -> MeasuredView:
    """What the report shows of an explanation by measurements."""
    told = [one for one in item.contributions if one.contribution > 0.0 and one.share >= LEAST_SHARE]
    completeness = say(
        "measured.completeness",
        residual=item.residual,
        log_odds=number(item.log_odds, 2),
        compared=_COMPARED[item.reference],
        reference_log_odds=number(item.reference_log_odds, 2),
    )
    return MeasuredView(
        label=item.label,
        sentences=tuple(_sentence(one, item) for one in told[:SENTENCES]),
        reference=_COMPARED[item.reference],
        rows=tuple(_row(one) for one in item.contributions),
        start=number(item.reference_log_odds, 2),
        end=number(item.log_odds, 2),
        checks=((completeness, item.residual <= LARGEST_RESIDUAL),),
        method=_method(item),
    )


def _sentence(one: MeasureContribution, item: MeasuredExplanation) -> str:
    title, unit, factor, decimals = measure_wording(one.name, one.unit)
    compared = number(one.reference * factor, decimals)
    adds = say("measured.adds", contribution=number(one.contribution, 2), share=one.share)
    if one.value is None:
        return say("measured.sentence_unknown", title=title, name=one.name, adds=adds)
    value = number(one.value * factor, decimals)
    where = say("norms.as" if value == compared else "norms.above" if one.value > one.reference else "norms.below")
    against = say("measured.walk") if item.reference == "walk" else say("measured.scale")
    return say(
        "measured.sentence",
        title=title,
        name=one.name,
        value=value,
        unit=unit,
        where=where,
        against=against,
        compared=compared,
        adds=adds,
    )


def _row(one: MeasureContribution) -> MeasureRow:
    title, unit, factor, decimals = measure_wording(one.name, one.unit)
    notes = []
    if one.value is None:
        notes.append(say("measured.not_known_note"))
    elif one.limited:
        notes.append(say("measured.limited"))
    if one.seen < LEAST_SEEN:
        notes.append(say("measured.seen", seen=one.seen))
    ends = () if one.ci95 is None else tuple(number(end * factor, decimals) for end in one.ci95)
    sign = "+" if one.contribution > 0.0 else ""
    return MeasureRow(
        title=title,
        name=one.name,
        value=say("measured.not_known") if one.value is None else number(one.value * factor, decimals),
        unit="" if one.value is None else unit,
        interval=span(*ends) if ends else "–",
        reference=number(one.reference * factor, decimals),
        contribution=sign + number(one.contribution, 2),
        notes=tuple(notes),
    )


def _method(item: MeasuredExplanation) -> str:
    how = say("measured.method_linear") if item.linear else say("measured.method_gradients")
    return say("measured.method", how=how)
