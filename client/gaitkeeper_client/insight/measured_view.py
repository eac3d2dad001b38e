"""An explanation by measurements in sentences and a table."""

from __future__ import annotations

from dataclasses import dataclass

from gaitkeeper_client.insight.findings import MeasureContribution, MeasuredExplanation
from gaitkeeper_client.insight.wording import measure_wording, number

LARGEST_RESIDUAL = 0.1
"""An explanation that misses more of the change of log-odds is not to be relied on."""
LEAST_SEEN = 0.9
SENTENCES = 3
LEAST_SHARE = 0.03
_COMPARED = {
    "walk": "the reference walk under this patient's gait cycles",
    "scale": "the middle of the model's own scale",
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
    completeness = (
        f"Completeness: what the measurements add makes up all but {item.residual:.1%} of the difference between this "
        f"walk (log-odds {number(item.log_odds, 2)}) and {_COMPARED[item.reference]} "
        f"({number(item.reference_log_odds, 2)})."
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
    adds = f"it adds {number(one.contribution, 2)} to the log-odds, {one.share:.0%} of all contributions"
    if one.value is None:
        return f"{title} ({one.name}) is not known; {adds}."
    value = number(one.value * factor, decimals)
    where = "as" if value == compared else "above" if one.value > one.reference else "below"
    against = "the reference walk" if item.reference == "walk" else "the middle of the model's scale"
    return f"{title} ({one.name}) is {value} {unit}, {where} {against} ({compared} {unit}): {adds}."


def _row(one: MeasureContribution) -> MeasureRow:
    title, unit, factor, decimals = measure_wording(one.name, one.unit)
    notes = []
    if one.value is None:
        notes.append("Not known in this walk; the model was given the middle of its scale.")
    elif one.limited:
        notes.append("At an end of the model's scale: the walk's own value may lie beyond.")
    if one.seen < LEAST_SEEN:
        notes.append(f"A channel that it is measured from is known in {one.seen:.0%} of the samples only.")
    ends = () if one.ci95 is None else tuple(number(end * factor, decimals) for end in one.ci95)
    sign = "+" if one.contribution > 0.0 else ""
    return MeasureRow(
        title=title,
        name=one.name,
        value="not known" if one.value is None else number(one.value * factor, decimals),
        unit="" if one.value is None else unit,
        interval=" to ".join(ends) or "–",
        reference=number(one.reference * factor, decimals),
        contribution=sign + number(one.contribution, 2),
        notes=tuple(notes),
    )


def _method(item: MeasuredExplanation) -> str:
    how = (
        "Method: weight times difference, which is exact for this model."
        if item.linear
        else "Method: integrated gradients (Sundararajan 2017, arXiv:1703.01365) of the log-odds over the measurements."
    )
    return f"{how} It shows what the model used, not what causes the gait."
