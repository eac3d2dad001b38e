"""The report in short: what stands out, in sentences that the report has further below. Nothing new is said here.

What a clinician amended or overruled comes first, and the finding itself is not repeated as if it held.
"""

from __future__ import annotations

from collections.abc import Set

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.insight.context import PatientContext
from gaitkeeper_client.insight.departures import departures, judged, told_unjudged
from gaitkeeper_client.insight.findings import Findings
from gaitkeeper_client.insight.findings_view import verdict
from gaitkeeper_client.insight.parameter_view import surely_beyond
from gaitkeeper_client.insight.standing import DRAFT, Decided, Standing
from gaitkeeper_client.language.texts import say

MOST_DEPARTURES = 3
_VERDICTS = {"amended": "standing.amended_finding", "overruled": "standing.overruled"}


def in_short(
    analysis: Analysis, findings: Findings | None, patient: PatientContext, aid: str, standing: Standing = DRAFT
) -> tuple[str, ...]:
    """Sentences for whoever reads no further; none for a walk that was not measured."""
    if analysis.status != "analysed":
        return ()
    changed = [one for one in standing.decided if one.verdict in _VERDICTS]
    said, gone = [_changed(one) for one in changed], {one.finding for one in changed}
    # The first finding of a report is the measurements as a whole.
    if not (standing.decided and standing.decided[0].verdict == "overruled"):
        said += [*_beyond(analysis, patient, aid), *_departed(analysis, gone)]
    if findings is not None and findings.status != "no_model" and (told := verdict(findings)) not in gone:
        said.append(say("short.model", verdict=told))
    return tuple(said)


def _changed(one: Decided) -> str:
    told = say("short.changed", verdict=say(_VERDICTS[one.verdict]), finding=one.finding)
    return f"{told} {say('standing.instead', text=one.text)}" if one.text else told


def _beyond(analysis: Analysis, patient: PatientContext, aid: str) -> list[str]:
    found = surely_beyond(analysis.parameters, patient, aid)
    if found is None:
        return [say("short.no_norm")]
    told = [say(f"short.{where}", names="; ".join(names)) for where, names in found.items() if names]
    return told or [say("short.none_beyond")]


def _departed(analysis: Analysis, gone: Set[str]) -> list[str]:
    every = departures(analysis)
    # Points that lie beside the joints move a whole curve: what changes over the cycle is surer.
    sure_first = sorted(every, key=lambda one: one.mostly_offset)
    found = [one.told for one in sure_first if one.sentence not in gone]
    unknown = told_unjudged(analysis)
    if not found:
        none = [say("short.no_departure")] if judged(analysis) and not every else []
        return [*none, *unknown]
    more = len(found) - MOST_DEPARTURES
    return [*found[:MOST_DEPARTURES], *([say("short.more", count=more)] if more > 0 else []), *unknown]
