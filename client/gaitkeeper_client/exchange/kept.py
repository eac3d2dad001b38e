"""From a kept report and what clinicians signed about it to the facts that are exchanged."""

from __future__ import annotations

from datetime import UTC, datetime

from gaitkeeper_client.exchange.codes import BASE
from gaitkeeper_client.exchange.facts import Decision, ReportFacts, Signed, Signer, Subject
from gaitkeeper_client.exchange.fhir_walk import proposed
from gaitkeeper_client.signing.items import MODEL
from gaitkeeper_client.signing.kept import KeptReport

PSEUDONYMS = f"{BASE}/identifier/pseudonym"
"""System of a site's pseudonyms, with the site's name after it: two sites may use one pseudonym for two people."""


def facts_of(report: KeptReport, site: str, *, reference: str = "", pdf: bytes | None = None) -> ReportFacts:
    """The facts of a report whose statements the caller has verified.

    ``site``: the site's name. ``reference``: the receiver's own name of the patient, ``Patient/123``.
    """
    context, overruled = report.patient, report.overruled
    subject = Subject(report.pseudonym, f"{PSEUDONYMS}/{site}", reference, context.age, context.sex)
    return ReportFacts(
        id=report.id,
        subject=subject,
        created_at=_utc(report.created_at),
        recorded_at=None if report.recorded_at is None else _utc(report.recorded_at),
        # A report of which a part is still undecided is a draft, whatever was signed of it.
        signed=None if report.state == "draft" else _signed(report),
        amended=report.state == "amended",
        overruled="" if overruled is None else overruled.reason,
        pdf=pdf,
    )


def _signed(report: KeptReport) -> Signed:
    signers = dict.fromkeys(Signer(one.clinician, one.role) for one in report.statements)
    texts = {item.id: item.text for item in report.items}
    word = (proposed(report.findings) if report.findings else None) or ""
    decisions = tuple(
        Decision(
            about=texts.get(item, item),
            verdict=one.verdict,
            text=one.text,
            reason=one.reason,
            of_model=item == MODEL,
            label=(word if one.verdict == "agreed" else one.label or "") if item == MODEL else "",
        )
        for item, one in report.decisions.items()
    )
    return Signed(tuple(signers), _utc(report.statements[-1].signed_at), decisions)


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
