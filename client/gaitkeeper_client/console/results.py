"""A kept report in the forms that leave the vault: for pages, programs, records of the clinic and spreadsheets.

Every signature is verified each time: what is shown as signed is signed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from gaitkeeper_client.console.context import Console
from gaitkeeper_client.exchange.fhir import fhir_document
from gaitkeeper_client.exchange.kept import facts_of
from gaitkeeper_client.exchange.motion import motion_bytes
from gaitkeeper_client.exchange.tables import TableFormat, table_bytes, tables_archive, tables_of
from gaitkeeper_client.insight.report import render_report
from gaitkeeper_client.insight.standing import Standing
from gaitkeeper_client.signing.kept import KeptReport
from gaitkeeper_client.signing.standing import verified_standing
from gaitkeeper_shared.errors import GaitkeeperError

_Make = Callable[[Console, KeptReport, Standing], bytes]
REPORT_ID = r"^r-[0-9a-f]{16}$"


@dataclass(frozen=True, slots=True)
class Document:
    """A report as a file. ``name``: holds the report's id and whether it is a draft, nothing of the patient."""

    name: str
    media_type: str
    data: bytes


def open_report(console: Console, report_id: str) -> tuple[KeptReport, Standing]:
    """A report, verified. Raises ``report-unknown``, ``consent-missing`` where care was withdrawn since,
    ``report-statement-wrong``, ``signature-*``."""
    with console.vault() as vault:
        report, standing = verified_standing(console.home, vault, report_id)
        if not vault.named(report.pseudonym).allows("care"):
            raise GaitkeeperError("consent-missing", pseudonym=report.pseudonym, purpose="care")
    return report, standing


def document_of(console: Console, report_id: str, kind: str, by: str) -> Document:
    """A report as a file of a ``kind`` of :data:`KINDS`, with an entry in the audit log. Raises as
    :func:`open_report`, and ``console-not-found`` for another kind."""
    if kind not in KINDS:
        raise GaitkeeperError("console-not-found")
    report, standing = open_report(console, report_id)
    suffix, media_type, make = KINDS[kind]
    data = make(console, report, standing)
    console.record("report-exported", by, patient=report.pseudonym, report=report.id, kind=kind, state=report.state)
    mark = ".draft" if report.state == "draft" else ""
    return Document(f"{report.id}{mark}{suffix}", media_type, data)


def _html(console: Console, report: KeptReport, standing: Standing) -> bytes:
    return render_report(report.analysis, report.findings, patient=report.patient, standing=standing).encode("utf-8")


def _json(console: Console, report: KeptReport, standing: Standing) -> bytes:
    table = report.analysis.to_json() | {"report": standing.to_json()}
    if report.findings is not None:
        table["findings"] = report.findings.to_json()
    return (json.dumps(table, indent=2, allow_nan=False) + "\n").encode("utf-8")


def _fhir(console: Console, report: KeptReport, standing: Standing) -> bytes:
    return fhir_document(report.analysis, report.findings, facts_of(report, console.name)).data


def _parameters(console: Console, report: KeptReport, standing: Standing) -> bytes:
    return table_bytes(tables_of(report.analysis, facts_of(report, console.name))[0], "csv")


def _tables(form: TableFormat) -> _Make:
    """What makes every table of the report, in one archive."""
    return lambda console, report, _standing: tables_archive(report.analysis, form, facts_of(report, console.name))


def _dicom(console: Console, report: KeptReport, standing: Standing) -> bytes:
    from gaitkeeper_client.exchange.dicom import dicom_pdf

    return dicom_pdf(_pdf(console, report, standing), facts_of(report, console.name))


def _motion(form: str) -> _Make:
    """What makes the walk in a laboratory's format."""
    return lambda _console, report, _standing: motion_bytes(report, form)


def _pdf(console: Console, report: KeptReport, standing: Standing) -> bytes:
    from gaitkeeper_client.insight.pdf_report import render_report_pdf

    return render_report_pdf(report.analysis, report.findings, patient=report.patient, standing=standing)


KINDS: Mapping[str, tuple[str, str, _Make]] = {
    "pdf": (".pdf", "application/pdf", _pdf),
    "html": (".html", "text/html; charset=utf-8", _html),
    "fhir": (".fhir.json", "application/fhir+json", _fhir),
    "dicom": (".dcm", "application/dicom", _dicom),
    "csv": (".csv", "text/csv; charset=utf-8", _parameters),
    "json": (".json", "application/json", _json),
    "csv-tables": (".csv.zip", "application/zip", _tables("csv")),
    "parquet": (".parquet.zip", "application/zip", _tables("parquet")),
    "c3d": (".c3d", "application/octet-stream", _motion("c3d")),
    "trc": (".trc", "text/plain; charset=utf-8", _motion("trc")),
    "mot": (".mot", "text/plain; charset=utf-8", _motion("mot")),
    "motion-csv": (".motion.csv", "text/csv; charset=utf-8", _motion("csv")),
    "motion-bids": (".motion-bids.zip", "application/zip", _motion("motion-bids")),
}
"""By the word in an address: the file's suffix, its type, and what makes it."""


def body_of(report: KeptReport, standing: Standing) -> Markup:
    """The report's page without its frame, for a page of the console."""
    return inside(render_report(report.analysis, report.findings, patient=report.patient, standing=standing))


def inside(page: str) -> Markup:
    """The main part of one of our own finished pages; every value in it was escaped when it was made."""
    _, begin, rest = page.partition("<main>")
    body, end, _ = rest.rpartition("</main>")
    if not begin or not end:
        raise RuntimeError("a page of ours has no main part")
    return Markup(body)  # noqa: S704
