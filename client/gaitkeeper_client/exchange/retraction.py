"""After an erasure: what a FHIR server holds of the patient is replaced by a note that it was entered in error.

The note has the report's identifier and a status, no patient, no value, no time of the walk. A server may keep older
versions in its history; only whoever runs it can delete those (:mod:`.traces` says what to look for).
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gaitkeeper_client.exchange import codes
from gaitkeeper_client.exchange.elements import Json, concept, identifier, instant, narrative
from gaitkeeper_client.exchange.fhir import FhirDocument, check, full_url, replaced
from gaitkeeper_client.exchange.fhir_walk import CATEGORY
from gaitkeeper_client.exchange.outbox import Outbox
from gaitkeeper_client.language.texts import say, texts
from gaitkeeper_client.signing.kept import KIND, load
from gaitkeeper_client.vault.documents import heads_of
from gaitkeeper_client.vault.events import record
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.store import Vault

WALK, PROPOSAL = "walk", "proposal"


def retract_reports(home: SiteHome, vault: Vault, patient: str) -> tuple[str, ...]:
    """Queue the retraction of every report of a patient that a server may hold, durably; gives which those are.

    To be called before the patient is erased: afterwards nobody knows whose reports they were. They are sent once the
    vault has the reports no more, so that this may be done twice, or for nothing. Raises ``vault-no-such-patient``,
    ``outbox-*``.
    """
    pseudonym = vault.named(patient).pseudonym
    names = [head.name for head in heads_of(vault, pseudonym) if head.kind == KIND]
    queued = Outbox.of(home).retract({name: _parts(vault, name) for name in names}, time.time()) if names else ()
    for report in queued:
        record(home, "report-retracting", patient=pseudonym, report=report)
    return queued


def _parts(vault: Vault, report: str) -> str:
    """Which observations the report had; all there may be where it cannot be read."""
    try:
        findings = load(vault, report).findings
    except GaitkeeperError:
        return f"{WALK},{PROPOSAL}"
    return f"{WALK},{PROPOSAL}" if findings is not None and findings.model is not None else WALK


def retraction(report: str, parts: str, at: datetime | None = None) -> FhirDocument:
    """The bundle that takes a report back. ``parts``: of :func:`_parts`. Raises ``fhir-invalid`` (a defect of ours)."""
    said = {"language": texts().language, "status": "entered-in-error", "text": narrative(say("exchange.erased"), ())}
    issued = instant(at or datetime.now(UTC))
    resources: list[tuple[str, Json]] = [
        (
            "report",
            {
                "resourceType": "DiagnosticReport",
                "identifier": [identifier(codes.REPORTS, report)],
                **said,
                "code": concept(codes.official(*codes.REPORT), text=say("exchange.findings")),
                "issued": issued,
            },
        )
    ]
    names = {WALK: codes.official(*codes.PANEL), PROPOSAL: codes.Code(codes.PARAMETERS, *codes.MODEL_PROPOSAL)}
    for part in filter(None, parts.split(",")):
        observation: Json = {
            "resourceType": "Observation",
            "identifier": [identifier(codes.REPORTS, f"{report}/{part}")],
            **said,
            "category": [concept(CATEGORY)],
            "code": concept(names[part], text=say(f"exchange.{part}")),
            "issued": issued,
        }
        resources.append((part, observation))
    entries = [replaced(full_url(report, part), resource) for part, resource in resources]
    bundle: Json = {"resourceType": "Bundle", "type": "transaction", "timestamp": issued, "entry": entries}
    check(bundle)
    return FhirDocument(report, "entered-in-error", (json.dumps(bundle, indent=1) + "\n").encode("utf-8"))
