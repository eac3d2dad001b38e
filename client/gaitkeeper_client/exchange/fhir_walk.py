"""Observations of a walk: the panel of its parameters, and what a model proposes."""

from __future__ import annotations

from gaitkeeper_client.exchange import codes
from gaitkeeper_client.exchange.elements import Json, absent, concept, identifier, instant, interval, quantity
from gaitkeeper_client.exchange.facts import ReportFacts
from gaitkeeper_client.gait.analysis import Analysis, Parameter
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.insight.certificate_view import certificate_view
from gaitkeeper_client.insight.findings import Findings, LabelProbability, ModelCard, SeverityEstimate, Spread
from gaitkeeper_client.insight.norms import norm_range
from gaitkeeper_client.language.texts import say, texts

CATEGORY = codes.Code("http://terminology.hl7.org/CodeSystem/observation-category", "procedure", "Procedure")
STATUS = {"draft": "preliminary", "signed": "final", "amended": "amended"}
"""Of Observation and DiagnosticReport: preliminary until signed."""
_SCORE = codes.Unit("1", "")


def panel(analysis: Analysis, facts: ReportFacts, subject: Json | None, device: str) -> Json:
    """The walk: one component a parameter, withheld ones with their reason."""
    resource = _observation(facts, "walk", subject, device)
    resource["code"] = concept(codes.official(*codes.PANEL), text=say("exchange.walk"))
    if analysis.status == "refused":
        text = " ".join(reason.message for reason in analysis.reasons)
        code = codes.absent_code(analysis.reasons[0].code) if analysis.reasons else "unknown"
        resource["dataAbsentReason"] = absent(code, text)
    else:
        aid = str(analysis.source.get("aid") or "")
        components = [_component(name, one, facts, aid) for name, one in analysis.parameters.items()]
        if components:
            resource["component"] = components
    if notes := _notes(analysis, facts):
        resource["note"] = notes
    return resource


def _observation(facts: ReportFacts, part: str, subject: Json | None, device: str) -> Json:
    resource: Json = {
        "resourceType": "Observation",
        "language": texts().language,
        "identifier": [identifier(codes.REPORTS, f"{facts.id}/{part}")],
        "status": STATUS[facts.state],
        "category": [concept(CATEGORY)],
        "issued": instant(facts.signed.at if facts.signed else facts.created_at),
        "device": {"reference": device},
    }
    return with_time_and_subject(resource, facts, subject)


def with_time_and_subject(resource: Json, facts: ReportFacts, subject: Json | None) -> Json:
    """The resource with whom and when it is about, where that is known."""
    if subject is not None:
        resource["subject"] = subject
    if facts.recorded_at is not None:
        resource["effectiveDateTime"] = instant(facts.recorded_at)
    return resource


def _component(name: str, parameter: Parameter, facts: ReportFacts, aid: str) -> Json:
    component: Json = {"code": concept(*codes.parameter_codes(name), text=_title(name))}
    if facts.overruled and parameter.value is not None:
        # A receiver that charts values reads no notes.
        component["dataAbsentReason"] = absent("error", say("exchange.overruled", reason=facts.overruled))
        return component
    if parameter.refused is not None or parameter.value is None:
        reason = parameter.refused
        code = codes.absent_code(reason.code) if reason else "unknown"
        component["dataAbsentReason"] = absent(code, reason.message if reason else say("exchange.not_measured"))
        return component
    unit = codes.unit_of(parameter.unit)
    component["valueQuantity"] = quantity(parameter.value, unit)
    extensions = [{"url": codes.COUNT, "valueInteger": parameter.n}]
    if parameter.ci95 is not None:
        extensions.insert(0, interval(codes.INTERVAL, *parameter.ci95, unit))
    component["extension"] = extensions
    who = facts.subject
    norm = norm_range(name, sex=who.sex if who else "", age=who.age if who else None, aid=aid)
    if norm is not None:
        ends = {"low": norm.low, "high": norm.high}
        component["referenceRange"] = [
            {key: quantity(value, unit) for key, value in ends.items() if value is not None}
            | {"text": say("exchange.norm", who=norm.who, source=norm.source.text)}
        ]
    return component


def _title(name: str) -> str:
    """What the pages call a parameter."""
    return DEFINITIONS[name].title if name in DEFINITIONS else codes.parameter_codes(name)[0].display


def _notes(analysis: Analysis, facts: ReportFacts) -> list[Json]:
    """What asks for care when reading a value, and what a clinician corrected; a component has no place for it."""
    found = [
        say("exchange.note", name=_title(name), message=note.message)
        for name, parameter in analysis.parameters.items()
        for note in parameter.notes
    ]
    if facts.signed is not None:
        said = (item for item in facts.signed.decisions if item.verdict != "agreed" and not item.of_model)
        found += [item.sentence for item in said]
    return [{"text": text} for text in found]


def model_observation(
    findings: Findings, card: ModelCard, facts: ReportFacts, subject: Json | None, device: str, walk: str
) -> Json:
    """What the model proposes: a score for each label, and the label only where it decided.

    After a signature the label that a clinician let stand is the value, and where SNOMED CT knows it the
    interpretation; what became of the proposal stands in the notes.
    """
    resource = _observation(facts, "proposal", subject, device)
    code = codes.Code(codes.PARAMETERS, *codes.MODEL_PROPOSAL)
    resource["code"] = concept(code, text=say("exchange.proposal"))
    resource["derivedFrom"] = [{"reference": walk}]
    if findings.severity is not None:
        resource["component"] = [_severity(findings.severity, findings.spread)]
    elif findings.probabilities:
        resource["component"] = [_score(item, findings.spread) for item in findings.probabilities]
    notes = [say("exchange.model", version=card.version)]
    if (tested := certificate_view(findings)) is not None:
        notes.append(tested.verdict)
    decided = facts.signed.of_model if facts.signed is not None else ()
    standing = proposed(findings)
    if decided:
        standing = next((item.label for item in decided if item.label), None)
        notes += [item.sentence for item in decided]
        if standing and (known := codes.interpretation_of(standing)) is not None:
            resource["interpretation"] = [concept(known)]
    if standing is not None:
        resource["valueCodeableConcept"] = {"text": standing}
    else:
        resource["dataAbsentReason"] = absent("unknown", _why_nothing(findings, bool(decided)))
    resource["note"] = [{"text": text} for text in notes]
    return resource


def proposed(findings: Findings) -> str | None:
    """The label, or the grade of severity, that the model decided on; None where it did not."""
    if findings.severity is not None:
        return findings.severity.grade if findings.status == "decided" else None
    return findings.leading


def _why_nothing(findings: Findings, decided: bool) -> str:
    if decided:
        return say("exchange.no_label")
    messages = " ".join(reason.message for reason in findings.reasons)
    return messages or say("exchange.no_answer")


def _score(item: LabelProbability, spread: Spread) -> Json:
    code = concept(codes.Code(codes.PARAMETERS, *codes.MODEL_SCORE), text=say("exchange.score", label=item.label))
    component: Json = {"code": code, "valueQuantity": quantity(item.probability, _SCORE)}
    return _with_range(component, item.lowest, item.highest, spread)


def _severity(found: SeverityEstimate, spread: Spread) -> Json:
    words = say("exchange.severity", low=found.scale_low, high=found.scale_high, grade=found.grade)
    component: Json = {
        "code": concept(codes.Code(codes.PARAMETERS, *codes.MODEL_SEVERITY), text=words),
        "valueQuantity": quantity(found.value, _SCORE),
    }
    return _with_range(component, found.lowest, found.highest, spread)


def _with_range(component: Json, lowest: float | None, highest: float | None, spread: Spread) -> Json:
    if lowest is not None and highest is not None:
        # The lowest and highest window are no confidence interval, and must not look like one.
        url = codes.INTERVAL if spread == "strides" else codes.WINDOWS
        component["extension"] = [interval(url, lowest, highest, _SCORE)]
    return component
