"""A report as an HL7 FHIR R4 bundle.

The bundle is a ``transaction`` whose entries replace by identifier: to post it twice, or again after the signature,
leaves one report. Resources and elements are those of R4 (4.0.1); they are checked with the models of R4B (4.3.0),
which changed none of the resources that are used here (https://hl7.org/fhir/r4b/diff.html). ``preliminary`` until a
clinician signed; ``interpretation`` and ``conclusion`` say only what was signed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, UUID, uuid5

from gaitkeeper_client.exchange import codes
from gaitkeeper_client.exchange.elements import Json, coding, identifier, instant
from gaitkeeper_client.exchange.facts import ReportFacts, Subject
from gaitkeeper_client.exchange.fhir_report import diagnostic_report, provenance
from gaitkeeper_client.exchange.fhir_walk import model_observation, panel
from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.insight.findings import Findings, ModelCard
from gaitkeeper_client.language.texts import DEFAULT, say, texts
from gaitkeeper_shared import __version__
from gaitkeeper_shared.errors import GaitkeeperError

MEDIA_TYPE = "application/fhir+json"
_OURS = uuid5(NAMESPACE_URL, codes.BASE)


@dataclass(frozen=True, slots=True)
class FhirDocument:
    """A checked bundle. ``identifier``: of the report, under which a receiver replaces an older state of it."""

    identifier: str
    state: str
    data: bytes


def fhir_document(analysis: Analysis, findings: Findings | None, facts: ReportFacts) -> FhirDocument:
    """The bundle of one report, checked against the FHIR models. Raises ``fhir-invalid`` (a defect of ours)."""
    bundle: Json = {
        "resourceType": "Bundle",
        "type": "transaction",
        "timestamp": instant(facts.created_at),
        "entry": list(_entries(analysis, findings, facts)),
    }
    bundle = _printable(bundle)
    check(bundle)
    text = json.dumps(bundle, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return FhirDocument(facts.id, facts.state, text.encode("utf-8"))


def _printable(value: Any) -> Any:
    """Without the control characters that FHIR forbids in a string."""
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, str):
        return "".join(letter for letter in value if letter >= " " or letter in "\t\r\n")
    return value


def check(bundle: Mapping[str, object]) -> None:
    """Hold a bundle against the models: unknown or missing elements, wrong types. Raises ``fhir-invalid``."""
    from fhir.resources.R4B.bundle import Bundle
    from pydantic import ValidationError

    try:
        Bundle.model_validate(bundle)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise GaitkeeperError("fhir-invalid", detail=f"{where}: {first['msg']}") from error


def full_url(report: str, part: str) -> str:
    """How entries of the bundle refer to one another; always the same for the same report and part."""
    return f"urn:uuid:{_uuid(report, part)}"


def _uuid(report: str, part: str) -> UUID:
    return uuid5(_OURS, f"{report}/{part}")


def _entries(analysis: Analysis, findings: Findings | None, facts: ReportFacts) -> Iterator[Json]:
    subject = _subject(facts.subject)
    software, walk, report = (full_url(facts.id, part) for part in ("software", "walk", "report"))
    yield replaced(software, software_device())
    yield replaced(walk, panel(analysis, facts, subject, software))
    results = [walk]
    card = findings.model if findings is not None else None
    if findings is not None and card is not None:
        device, proposal = full_url(facts.id, "model"), full_url(facts.id, "proposal")
        yield replaced(device, model_device(card))
        yield replaced(proposal, model_observation(findings, card, facts, subject, device, walk))
        results.append(proposal)
    yield replaced(report, diagnostic_report(analysis, findings, facts, subject, results))
    own = str(_uuid(facts.id, f"provenance/{facts.state}"))
    record = provenance(facts, [report, *results], software)
    # Provenance has no identifier to replace by, so its own name is fixed: one for each state of the report.
    yield {
        "fullUrl": f"urn:uuid:{own}",
        "resource": {**record, "id": own},
        "request": {"method": "PUT", "url": f"Provenance/{own}"},
    }


def replaced(url: str, resource: Json) -> Json:
    """An entry that creates the resource, or replaces the one that has its identifier."""
    name = resource["identifier"][0]
    where = quote(f"{name['system']}|{name['value']}", safe="")
    kind = resource["resourceType"]
    return {
        "fullUrl": url,
        "resource": resource,
        "request": {"method": "PUT", "url": f"{kind}?identifier={where}"},
    }


def _subject(subject: Subject | None) -> Json | None:
    if subject is None:
        return None
    name = {"identifier": identifier(subject.system, subject.identifier)}
    known = {"reference": subject.reference} if subject.reference else {}
    return {**known, "type": "Patient", **name}


def software_device() -> Json:
    """This software, in its version."""
    return {
        "resourceType": "Device",
        "identifier": [identifier(codes.SOFTWARE, __version__)],
        "status": "active",
        "deviceName": [{"name": "Gaitkeeper", "type": "user-friendly-name"}],
        "type": {"text": say("exchange.software")},
        "version": [{"type": {"text": say("exchange.software_version")}, "value": __version__}],
    }


def model_device(card: ModelCard) -> Json:
    """The released model, by the hash of its weights."""
    name = say("exchange.model_name", version=card.version, kind=card.kind)
    return {
        "resourceType": "Device",
        "identifier": [identifier(codes.RELEASES, card.sha256 or f"{card.study_hash}/{card.version}")],
        "status": "active",
        "deviceName": [{"name": name, "type": "model-name"}],
        "type": {"text": say("exchange.trained")},
        "version": [
            {"type": {"text": say("exchange.release")}, "value": card.version},
            {"type": {"text": say("exchange.study")}, "value": card.study_hash},
        ],
    }


def code_system() -> bytes:
    """The CodeSystem of our parameters, for a server that checks codes; JSON."""
    from fhir.resources.R4B.codesystem import CodeSystem

    from gaitkeeper_client.gait.definitions import DEFINITIONS

    english = texts(DEFAULT)
    concepts = [
        {
            "code": codes.parameter_codes(row.name)[0].code,
            "display": codes.parameter_codes(row.name)[0].display,
            "definition": f"{english(f'definition.{row.name}')} ({row.source})",
            "property": [{"code": "ucum", "valueString": codes.unit_of(row.unit).ucum}]
            + [{"code": "translation", "valueCoding": coding(one)} for one in codes.parameter_codes(row.name)[1:]],
        }
        for row in DEFINITIONS.values()
    ]
    concepts += [
        {"code": code, "display": text}
        for code, text in (codes.MODEL_PROPOSAL, codes.MODEL_SCORE, codes.MODEL_SEVERITY)
    ]
    resource: Json = {
        "resourceType": "CodeSystem",
        "url": codes.PARAMETERS,
        "version": __version__,
        "name": "GaitkeeperParameters",
        "title": "Gait parameters of Gaitkeeper",
        "status": "active",
        "caseSensitive": True,
        "content": "complete",
        "property": [
            {"code": "ucum", "description": "The unit, in UCUM", "type": "string"},
            {"code": "translation", "description": "The same quantity in an official system", "type": "Coding"},
        ],
        "concept": concepts,
    }
    CodeSystem.model_validate(resource)
    return (json.dumps(resource, indent=1, ensure_ascii=False) + "\n").encode("utf-8")
