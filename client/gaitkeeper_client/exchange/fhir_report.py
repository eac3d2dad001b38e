"""DiagnosticReport and Provenance: the report as a whole, and who answers for it."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from gaitkeeper_client.exchange import codes
from gaitkeeper_client.exchange.elements import Json, concept, identifier, instant, narrative
from gaitkeeper_client.exchange.facts import ReportFacts, Signed, Signer
from gaitkeeper_client.exchange.fhir_walk import STATUS, with_time_and_subject
from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.insight.findings import Findings
from gaitkeeper_client.language.texts import say, texts

_ROLES = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_ASSEMBLER = codes.Code(_ROLES, "assembler", "Assembler")
_VERIFIER = codes.Code(_ROLES, "verifier", "Verifier")
_CATEGORY = codes.Code("http://terminology.hl7.org/CodeSystem/v2-0074", "OTH", "Other")


def diagnostic_report(
    analysis: Analysis, findings: Findings | None, facts: ReportFacts, subject: Json | None, results: Sequence[str]
) -> Json:
    """The report. ``conclusion`` only after a signature."""
    title = say("exchange.report" if facts.signed else "exchange.draft")
    resource: Json = {
        "resourceType": "DiagnosticReport",
        "language": texts().language,
        "text": narrative(title, _lines(analysis, facts)),
        "identifier": [identifier(codes.REPORTS, facts.id)],
        "status": STATUS[facts.state],
        "category": [concept(_CATEGORY)],
        "code": concept(codes.official(*codes.REPORT), text=say("exchange.findings")),
        "issued": instant(facts.signed.at if facts.signed else facts.created_at),
        "result": [{"reference": url} for url in results],
    }
    with_time_and_subject(resource, facts, subject)
    if facts.signed is not None:
        resource["resultsInterpreter"] = [_who(one) for one in facts.signed.signers]
        resource.update(_conclusion(facts.signed))
    if facts.pdf is not None:
        resource["presentedForm"] = [
            {
                "contentType": "application/pdf",
                "title": title,
                "data": base64.b64encode(facts.pdf).decode("ascii"),
                "creation": instant(facts.created_at),
            }
        ]
    return resource


def _lines(analysis: Analysis, facts: ReportFacts) -> list[str]:
    if analysis.status == "refused":
        return [say("exchange.refused", message=reason.message) for reason in analysis.reasons]
    measured = sum(one.value is not None for one in analysis.parameters.values())
    lines = [say("exchange.measured", count=measured, cycles=len(analysis.cycles))]
    if facts.signed is not None:
        names = "; ".join(one.display for one in facts.signed.signers)
        lines.append(say("exchange.signed", names=names, when=instant(facts.signed.at)))
    return lines


def _conclusion(signed: Signed) -> Json:
    """What a clinician let stand, and nothing else."""
    labels = [item.label for item in signed.of_model if item.label]
    corrections = [item.sentence for item in signed.decisions if item.verdict != "agreed" and not item.of_model]
    conclusion: Json = {"conclusion": "; ".join([*labels, *corrections])} if labels or corrections else {}
    known = [code for label in labels if (code := codes.interpretation_of(label)) is not None]
    if known:
        conclusion["conclusionCode"] = [concept(code) for code in known]
    return conclusion


def _who(signer: Signer) -> Json:
    """A clinician by name alone: the receiver's own directory knows who that is."""
    return {"type": "Practitioner", "display": signer.display}


def provenance(facts: ReportFacts, targets: Sequence[str], software: str) -> Json:
    """Who made the report and who answers for it."""
    agents = [{"type": concept(_ASSEMBLER), "who": {"reference": software}}]
    if facts.signed is not None:
        agents += [{"type": concept(_VERIFIER), "who": _who(one)} for one in facts.signed.signers]
    return {
        "resourceType": "Provenance",
        "target": [{"reference": url} for url in targets],
        "recorded": instant(facts.signed.at if facts.signed else facts.created_at),
        "agent": agents,
    }
