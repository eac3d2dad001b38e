"""Deciding on a report: a clinician agrees with findings, amends or overrules them, and signs what was decided."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gaitkeeper_client.language.texts import say
from gaitkeeper_client.signing.items import MODEL
from gaitkeeper_client.signing.kept import KeptReport, load
from gaitkeeper_client.signing.log import DECIDED, DECIDING
from gaitkeeper_client.signing.statements import Decision, SignedStatement, Statement, put_statement
from gaitkeeper_client.signing.verification import verified
from gaitkeeper_client.vault.events import record
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.signatures import STATEMENT_CONTEXT, sign

if TYPE_CHECKING:
    from gaitkeeper_client.signing.clinicians import Signer
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.store import Vault

_MOST_TEXT = 2000


def agree_with_the_rest(report: KeptReport) -> tuple[Decision, ...]:
    """Agreement with every item that nobody decided on. Raises ``report-signed`` where there is none."""
    if not report.undecided:
        raise GaitkeeperError("report-signed", report=report.id, clinician=report.statements[-1].clinician)
    return tuple(Decision(item.id, "agreed") for item in report.undecided)


def decide(
    home: SiteHome,
    vault: Vault,
    report_id: str,
    signer: Signer,
    decisions: Sequence[Decision],
    *,
    after: str | None = None,
    now: datetime | None = None,
) -> KeptReport:
    """Sign ``decisions`` on a report, durably, with an entry in the audit log; gives the report as it stands then.

    What was said before is verified first. ``after``: SHA-256 of the last statement that the signer saw, empty for
    none; None where nobody waited between reading and signing. Raises ``decision-stale``, ``decision-bad``,
    ``report-unknown``, ``signature-*``, ``document-exists`` where another clinician was faster.
    """
    report = verified(home, vault, report_id)
    last = report.statements[-1] if report.statements else None
    if after is not None and last is not None and last.sha256 != after:
        raise GaitkeeperError("decision-stale", report=report.id, clinician=last.clinician)
    _check(report, decisions)
    signed_at = (now or datetime.now(UTC)).astimezone(UTC)
    statement = _statement(report, signer, decisions, signed_at)
    content = statement.canonical()
    signatures = sign(content, STATEMENT_CONTEXT, signer.key, clock=lambda: signed_at)
    # The log first: what it was not told of before, nobody said, whatever time a statement names.
    digest = hashlib.sha256(content).hexdigest()
    record(home, DECIDING, patient=report.pseudonym, report=report.id, statement=statement.number, sha256=digest)
    put_statement(vault, report.pseudonym, SignedStatement(statement, content, signatures))
    record(
        home,
        DECIDED,
        patient=report.pseudonym,
        report=report.id,
        statement=statement.number,
        clinician=statement.clinician,
        key=statement.key_id,
        overruled=sum(decision.verdict == "overruled" for decision in decisions),
        amended=sum(decision.verdict == "amended" for decision in decisions),
    )
    decided = load(vault, report_id)
    _correct_label(vault, decided)
    return decided


def _statement(report: KeptReport, signer: Signer, decisions: Sequence[Decision], signed_at: datetime) -> Statement:
    """What is signed: the decisions, bound to the report and to the last statement about it."""
    return Statement(
        report=report.id,
        report_sha256=report.sha256,
        number=len(report.statements) + 1,
        previous_sha256=report.statements[-1].sha256 if report.statements else "",
        clinician=signer.clinician.name,
        role=signer.clinician.role,
        key_id=signer.key.verifying.key_id,
        signed_at=signed_at.isoformat(timespec="seconds"),
        decisions=tuple(decisions),
    )


def _check(report: KeptReport, decisions: Sequence[Decision]) -> None:
    known = {item.id for item in report.items}
    for decision in decisions:
        detail = ""
        if decision.item not in known:
            detail = say("details.no_finding", item=decision.item, known=", ".join(sorted(known)))
        elif decision.verdict != "agreed" and not decision.reason.strip():
            detail = say("details.reason_needed")
        elif decision.verdict == "amended" and not decision.text.strip():
            detail = say("details.amendment_needed")
        elif decision.label is not None and (decision.item, decision.verdict) != (MODEL, "overruled"):
            detail = say("details.label_alone", item=MODEL)
        elif max(map(len, (decision.text, decision.reason, decision.label or ""))) > _MOST_TEXT:
            detail = say("details.text_too_long", most=_MOST_TEXT)
        if detail:
            raise GaitkeeperError("decision-bad", report=report.id, detail=detail)
    if not decisions:
        raise GaitkeeperError("decision-bad", report=report.id, detail=say("details.nothing_decided"))
    if len({decision.item for decision in decisions}) != len(decisions):
        raise GaitkeeperError("decision-bad", report=report.id, detail=say("details.decided_twice"))


def _correct_label(vault: Vault, report: KeptReport) -> None:
    """Keep the label that a clinician set against the model's, or take it back where the clinician now agrees. Training
    takes it only with the patient's own consent to that; the purpose is asked there. The last decision on the model
    counts, so that the next decision on a report makes good what a kill left undone."""
    decision = report.decisions.get(MODEL)
    if decision is None:
        return
    label = decision.label if decision.verdict == "overruled" else None
    if label != vault.named(report.pseudonym).facts.clinician_label:
        vault.set_clinician_label(report.pseudonym, label)
