"""A site's kept reports on their way out: made from the vault, every signature verified, each look in the audit log."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gaitkeeper_client.exchange.delivery import Delivery, deliver
from gaitkeeper_client.exchange.fhir import FhirDocument, fhir_document
from gaitkeeper_client.exchange.kept import facts_of
from gaitkeeper_client.exchange.outbox import Outbox
from gaitkeeper_client.exchange.server import fhir_server
from gaitkeeper_client.signing.verification import verified
from gaitkeeper_client.vault.events import record
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.single import hold

if TYPE_CHECKING:
    from gaitkeeper_client.signing.kept import KeptReport
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.store import Vault


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


def kept_document(home: SiteHome, vault: Vault, report_id: str, *, pdf: bool = False) -> FhirDocument:
    """A kept report as FHIR, in its present state; ``pdf``: with the page that people read.

    Raises as :func:`verified_report`.
    """
    report = verified_report(home, vault, report_id, "fhir")
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


def send_due(home: SiteHome, vault: Vault) -> Delivery:
    """Post what is due, one process at a time.

    Raises ``fhir-no-server``, ``exchange-running``, ``outbox-*``; what the network does is in the result.
    """
    server, outbox = fhir_server(home), Outbox.of(home)
    with hold(outbox.path.with_suffix(".lock"), home.path, "exchange-running"):
        done = deliver(outbox, server, lambda report: kept_document(home, vault, report))
    for report in done.delivered:
        record(home, "report-sent", report=report, server=server.url)
    for report in done.refused:
        record(home, "report-not-sent", report=report, server=server.url)
    return done
