"""What a clinician decides on, one by one: all measurements, each departure from the norm, the model's word."""

from __future__ import annotations

from dataclasses import dataclass

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.insight.departures import departures
from gaitkeeper_client.insight.findings import Findings
from gaitkeeper_client.insight.findings_view import verdict
from gaitkeeper_client.language.texts import say

MEASUREMENTS = "measurements"
MODEL = "model"


@dataclass(frozen=True, slots=True)
class Item:
    """One finding of a report. ``id``: unique in the report; ``text``: the finding as the report words it."""

    id: str
    text: str


def items_of(analysis: Analysis, findings: Findings | None) -> tuple[Item, ...]:
    """The findings of a report, in its order. A report of a refused walk has the refusal alone."""
    if analysis.status == "refused":
        reasons = " ".join(reason.message for reason in analysis.reasons)
        return (Item(MEASUREMENTS, say("items.refused", reasons=reasons)),)
    shown = sum(parameter.value is not None for parameter in analysis.parameters.values())
    withheld = len(analysis.parameters) - shown
    told = say("items.measured", cycles=len(analysis.cycles), shown=shown, withheld=withheld)
    items = [Item(MEASUREMENTS, told)]
    items += [Item(one.name, one.sentence) for one in departures(analysis)]
    if findings is not None and findings.status != "no_model":
        items.append(Item(MODEL, verdict(findings)))
    return tuple(items)
