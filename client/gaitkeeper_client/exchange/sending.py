"""A site's kept reports on their way out: made from the vault, every signature verified, each look in the audit log."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from gaitkeeper_client.exchange.delivery import Delivery, deliver
from gaitkeeper_client.exchange.fhir import FhirDocument, fhir_document
from gaitkeeper_client.exchange.kept import facts_of
from gaitkeeper_client.exchange.outbox import Outbox
from gaitkeeper_client.exchange.server import fhir_server
from gaitkeeper_client.signing.statements import KIND as STATEMENT
from gaitkeeper_client.signing.verification import verified
from gaitkeeper_client.vault.documents import find_document, heads_of
from gaitkeeper_client.vault.events import record
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.single import hold

if TYPE_CHECKING:
    from gaitkeeper_client.signing.kept import KeptReport
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.store import Vault

ON_ITS_WAY_S = 120.0
"""So long, at most, lies between making a report's document and noting that it was delivered."""


def verified_report(home: SiteHome, vault: Vault, report_id: str, purpose: str) -> KeptReport:
    """A kept report that may leave: signatures verified, the patient's consent for care there, the look recorded.

    Raises ``report-unknown``, ``report-statement-wrong``, ``signature-*``, ``consent-missing``.
    """
    report = verified(home, vault, report_id)
    allowed = vault.named(report.pseudonym).allows("care")
    record(home, "vault-read", purpose=purpose, patient=report.pseudonym, report=report.id, allowed=allowed)
    if not allowed:
        raise GaitkeeperError("consent-missing", pseudonym=report.pseudonym, purpose="care")
    return report


def kept_document(
    home: SiteHome, vault: Vault, report_id: str, *, pdf: bool = False, purpose: str = "fhir"
) -> FhirDocument:
    """A kept report as FHIR, in its present state; ``pdf``: with the page that people read. ``purpose``: for the log.

    Raises as :func:`verified_report`.
    """
    report = verified_report(home, vault, report_id, purpose)
    page = pdf_of(report) if pdf else None
    return fhir_document(report.analysis, report.findings, facts_of(report, home.config().name, pdf=page))


def pdf_of(report: KeptReport) -> bytes:
    """The PDF of a report whose statements the caller has verified."""
    from gaitkeeper_client.insight.pdf_report import render_report_pdf
    from gaitkeeper_client.signing.standing import standing_of

    return render_report_pdf(report.analysis, report.findings, patient=report.patient, standing=standing_of(report))


def queue(home: SiteHome, reports: Iterable[str]) -> int:
    """Put reports into the outbox, durably; gives how many. Raises ``fhir-no-server``, ``outbox-*``."""
    fhir_server(home)
    outbox, count = Outbox.of(home), 0
    for report in reports:
        outbox.queue(report, time.time())
        count += 1
    return count


def outdated(outbox: Outbox, vault: Vault) -> tuple[str, ...]:
    """Delivered reports about which a clinician signed something since: the receiver still shows what was overruled."""
    delivered = {post.report: post.ended_at or 0.0 for post in outbox.posts() if post.state == "delivered"}
    spoken: dict[str, float] = {}
    for patient in vault.patients() if delivered else ():
        for head in heads_of(vault, patient.pseudonym):
            if head.kind == STATEMENT and head.subject in delivered:
                at = datetime.fromisoformat(head.created_at).timestamp()
                spoken[head.subject] = max(at, spoken.get(head.subject, at))
    # What was signed while it was on its way counts as later: to send twice leaves one report.
    return tuple(report for report, at in spoken.items() if at > delivered[report] - ON_ITS_WAY_S)


def send_due(home: SiteHome, vault: Vault) -> Delivery:
    """Post what is due, one process at a time: also what was delivered before a clinician last spoke about it.

    Raises ``fhir-no-server``, ``exchange-running``, ``outbox-*``; what the network does is in the result.
    """
    server, outbox = fhir_server(home), Outbox.of(home)
    with hold(outbox.path.with_suffix(".lock"), home.path, "exchange-running"):
        for report in outdated(outbox, vault):
            outbox.queue(report, time.time())
        done = deliver(
            outbox,
            server,
            lambda report: kept_document(home, vault, report, purpose="fhir-send"),
            still_kept=lambda report: find_document(vault, report) is not None,
        )
    for report in done.delivered:
        record(home, "report-sent", report=report, server=server.url)
    for report in done.retracted:
        record(home, "report-retracted", report=report, server=server.url)
    for report in done.refused:
        record(home, "report-not-sent", report=report, server=server.url)
    return done
