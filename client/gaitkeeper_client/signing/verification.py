"""Is what is shown as signed signed? Bytes, chain, keys and the audit log are asked, each time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaitkeeper_client.signing.clinicians import Clinician, clinicians
from gaitkeeper_client.signing.kept import KeptReport, canonical_bytes, load
from gaitkeeper_client.signing.log import Witnessed, witnessed
from gaitkeeper_client.signing.statements import SignedStatement, signed_statements_of
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.signatures import STATEMENT_CONTEXT, Consortium, verify

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.store import Vault


@dataclass(frozen=True, slots=True)
class Trusted:
    """Whose signatures count: the clinicians by key id, and what the audit log saw of them and of their statements."""

    clinicians: Mapping[str, Clinician]
    log: Witnessed


def trusted(home: SiteHome) -> Trusted:
    """The keys of a site, to verify many reports with. Raises ``clinician-damaged``, ``audit-broken``."""
    return Trusted({one.key.key_id: one for one in clinicians(home)}, witnessed(home))


def verified(home: SiteHome, vault: Vault, report_id: str, keys: Trusted | None = None) -> KeptReport:
    """A kept report every statement about which was signed by a clinician of this site, over these very bytes.

    ``keys``: of :func:`trusted`, where the caller has many reports. Raises ``signature-*`` or
    ``report-statement-wrong`` naming the first that was not; ``report-unknown``.
    """
    report = load(vault, report_id)
    keys = keys or trusted(home)
    if (last := keys.log.kept.get(report_id, 0)) > len(report.statements):
        detail = "the audit log saw it kept, and it is not there"
        raise GaitkeeperError("report-statement-wrong", report=report_id, number=last, detail=detail)
    if not report.statements:
        return report
    digest, previous = hashlib.sha256(canonical_bytes(vault, report_id)).hexdigest(), ""
    for number, signed in enumerate(signed_statements_of(vault, report.pseudonym, report_id), start=1):
        _check_place(signed, report_id, digest, number, previous)
        _check_key(signed, report_id, keys)
        _check_log(signed, report_id, keys.log)
        previous = signed.statement.sha256
    return report


def _check_place(signed: SignedStatement, report: str, digest: str, number: int, previous: str) -> None:
    """That the statement is about these bytes, and comes after the one before."""
    found = signed.statement
    if found.report != report or found.report_sha256 != digest:
        raise GaitkeeperError("report-statement-wrong", report=report, number=number, detail="it is about other bytes")
    if (found.number, found.previous_sha256) != (number, previous):
        detail = "a statement before it is missing or was exchanged"
        raise GaitkeeperError("report-statement-wrong", report=report, number=number, detail=detail)


def _check_key(signed: SignedStatement, report: str, keys: Trusted) -> None:
    """That a clinician signed it, as who it says, while they were one."""
    found, what = signed.statement, f"statement {signed.statement.number} about report {report}"
    clinician = keys.clinicians.get(found.key_id)
    if clinician is None or clinician.name != found.clinician or found.key_id not in keys.log.keys:
        raise GaitkeeperError("signature-not-trusted", what=what, valid=0, needed=1)
    verify(signed.content, signed.signatures, STATEMENT_CONTEXT, Consortium((clinician.key,)), what=what)
    if clinician.withdrawn_at is not None and found.signed_at > clinician.withdrawn_at:
        detail = f"{clinician.name} could not sign any more"
        raise GaitkeeperError("report-statement-wrong", report=report, number=found.number, detail=detail)


def _check_log(signed: SignedStatement, report: str, log: Witnessed) -> None:
    """That the audit log was told of this statement, and before its clinician was withdrawn."""
    found = signed.statement
    line = log.line_of(report, found.number, found.sha256)
    detail = ""
    if line == 0:
        detail = "the audit log was never told of it"
    elif line > log.withdrawn.get(found.key_id, line):
        detail = f"{found.clinician} was withdrawn before the audit log was told of it, whatever time it names"
    if detail:
        raise GaitkeeperError("report-statement-wrong", report=report, number=found.number, detail=detail)
