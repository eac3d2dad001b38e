"""What ``analyze`` may write beside its results for the clinic's other systems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.exchange.facts import ReportFacts
    from gaitkeeper_client.gait.analysis import Analysis
    from gaitkeeper_client.insight.context import PatientContext

FhirFile = Annotated[
    Path | None,
    typer.Option("--fhir", metavar="FILE", help="Also write an HL7 FHIR R4 bundle (docs/exchange.md); a draft."),
]
DicomFile = Annotated[
    Path | None,
    typer.Option("--dicom", metavar="FILE", help="Also write the report's PDF as a DICOM object; a draft."),
]
TablesFormat = Annotated[
    str | None,
    typer.Option(
        "--tables", metavar="FORMAT", help="Also write parameters, cycles and curves as tables: csv or parquet."
    ),
]


def check_tables(form: str | None) -> None:
    """Raises ``tables-format-unknown``, before the work begins."""
    from gaitkeeper_client.exchange.tables import FORMATS

    if form is not None and form not in FORMATS:
        raise GaitkeeperError("tables-format-unknown", name=form, known=", ".join(FORMATS))


def write_beside(
    analysis: Analysis,
    folder: Path,
    walker: PatientContext,
    *,
    fhir: Path | None,
    dicom: Path | None,
    tables: str | None,
) -> tuple[Path, ...]:
    """Write what was asked for; gives the paths. Raises ``exchange-unwritable``, ``disk-full``."""
    written: list[Path] = []
    if fhir is not None:
        from gaitkeeper_client.exchange.fhir import fhir_document
        from gaitkeeper_client.exchange.files import write_file

        write_file(fhir, fhir_document(analysis, None, _facts(analysis)).data)
        written.append(fhir)
    if dicom is not None:
        from gaitkeeper_client.exchange.dicom import dicom_pdf
        from gaitkeeper_client.exchange.files import write_file
        from gaitkeeper_client.insight.pdf_report import render_report_pdf

        write_file(dicom, dicom_pdf(render_report_pdf(analysis, patient=walker), _facts(analysis)))
        written.append(dicom)
    if tables is not None:
        from gaitkeeper_client.exchange.tables import FORMATS, write_tables

        written += write_tables(analysis, folder, next(form for form in FORMATS if form == tables))
    return tuple(written)


def _facts(analysis: Analysis) -> ReportFacts:
    """Of a walk that nobody keeps: no patient, and a name that the same file always has."""
    from datetime import UTC, datetime
    from uuid import NAMESPACE_URL, uuid4, uuid5

    from gaitkeeper_client.exchange.codes import BASE
    from gaitkeeper_client.exchange.facts import ReportFacts

    source = analysis.source.get("sha256")
    name = uuid5(NAMESPACE_URL, f"{BASE}/{source}") if source else uuid4()
    return ReportFacts(f"file-{name}", None, datetime.now(UTC))
