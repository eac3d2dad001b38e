"""What left a site about a patient, as its audit log tells: for IT, to delete it where it went after an erasure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaitkeeper_shared.trust.audit import AuditEntry, AuditLog

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome

_FILES = {"fhir": "FHIR", "dicom": "DICOM", "tables": "tables", "motion": "the walk", "report-file": "a page or a PDF"}
"""Purposes of a look into the vault that wrote a file."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Something that left. ``at``: UTC, ISO 8601. ``what``: in words; ``where``: a server's address, or who took it.

    ``report``: empty where it was about several, or about none that was kept.
    """

    at: str
    what: str
    where: str
    report: str


def traces(home: SiteHome, pseudonym: str) -> tuple[Trace, ...]:
    """What left about a patient, oldest first; it is known after the erasure, too. Raises ``audit-broken``."""
    reports: set[str] = set()
    found = []
    for entry in AuditLog(home.audit_log).entries():
        named, report = entry.facts.get("patient"), str(entry.facts.get("report", ""))
        if entry.event == "report-kept" and named == pseudonym:
            reports.add(report)
        if named == pseudonym or report in reports:
            trace = _trace(entry, report)
            found += [trace] if trace is not None else []
    return tuple(found)


def _trace(entry: AuditEntry, report: str) -> Trace | None:
    facts, who = entry.facts, str(entry.facts.get("by", "the command line"))
    match entry.event:
        case "report-sent":
            return Trace(entry.at, "report to a FHIR server", str(facts.get("server", "")), report)
        case "report-retracted":
            return Trace(entry.at, "taken back at the FHIR server", str(facts.get("server", "")), report)
        case "report-exported":
            return Trace(entry.at, f"file ({facts.get('kind', '')})", who, report)
        case "vault-read" if (form := _FILES.get(str(facts.get("purpose", "")))) is not None:
            return Trace(entry.at, f"file ({form})", who, report)
        case "analysed" if "by" not in facts:
            return Trace(entry.at, "result folder of 'site analyze'", who, report)
        case _:
            return None
