"""The part of the REST API that hands out what recordings became."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel

from gaitkeeper_client.console.access import Served, known_query, needs
from gaitkeeper_client.console.api import problems
from gaitkeeper_client.console.results import KINDS, REPORT_ID, document_of, open_report
from gaitkeeper_client.console.rights import Principal

ReportId = Annotated[str, Path(pattern=REPORT_ID, description="The id that the job's status names.")]
Reader = Annotated[Principal, Depends(needs("results"))]
Kind = Literal[
    "pdf",
    "html",
    "csv",
    "json",
    "dicom",
    "csv-tables",
    "parquet",
    "c3d",
    "trc",
    "mot",
    "motion-csv",
    "motion-bids",
]
_FILES = get_args(Kind)


class ReportStatus(BaseModel):
    """A kept report. ``state``: draft until a clinician decided on every finding, then signed, or amended after that.
    ``undecided``: how many findings wait; ``walked_at``, ``created_at``: UTC, ISO 8601; ``model``: the release that
    spoke. The results themselves are in ``/reports/{report_id}/json``."""

    id: str
    pseudonym: str
    state: Literal["draft", "signed", "amended"]
    status: Literal["analysed", "refused"]
    undecided: int
    walked_at: str
    created_at: str
    model: str | None


def create_router() -> APIRouter:
    """Status of reports, and reports as files."""
    told = problems(401, 403, 404, 409, 422, 429, 503)
    router = APIRouter(prefix="/api/v1/reports/{report_id}", responses=told, dependencies=[Depends(known_query)])
    router.add_api_route("", report_status, methods=["GET"])
    router.add_api_route(
        "/fhir", report_fhir, methods=["GET"], response_class=Response, responses=_file("application/fhir+json")
    )
    types = dict.fromkeys(KINDS[kind][1].partition(";")[0] for kind in _FILES)
    router.add_api_route("/{kind}", report_file, methods=["GET"], response_class=Response, responses=_file(*types))
    return router


def _file(*types: str) -> dict[int | str, dict[str, Any]]:
    content = {name: {"schema": {"type": "string", "format": "binary"}} for name in types}
    return {200: {"description": "The file", "content": content}}


def report_status(console: Served, who: Reader, report_id: ReportId) -> ReportStatus:
    """How a report stands; every signature is verified."""
    report, _ = open_report(console, report_id)
    console.record("report-read", who.name, patient=report.pseudonym, report=report.id)
    return ReportStatus(
        id=report.id,
        pseudonym=report.pseudonym,
        state=report.state,
        status=report.analysis.status,
        undecided=len(report.undecided),
        walked_at=report.walked_at.isoformat(),
        created_at=report.created_at,
        model=report.model_version,
    )


def report_fhir(console: Served, who: Annotated[Principal, Depends(needs("fhir"))], report_id: ReportId) -> Response:
    """The report as a FHIR R4 bundle; preliminary until it is signed."""
    return as_file(console, who, report_id, "fhir")


def report_file(console: Served, who: Reader, report_id: ReportId, kind: Kind) -> Response:
    """The report as a file: ``json`` holds the results (docs/analysis-schema.md), ``csv`` the parameters,
    ``csv-tables`` and ``parquet`` parameters, cycles and curves, ``c3d`` to ``motion-bids`` the walk itself."""
    return as_file(console, who, report_id, kind)


def as_file(console: Served, who: Principal, report_id: str, kind: str) -> Response:
    """A file to be kept, never a page of this console: it runs nothing even where somebody opens it here."""
    made = document_of(console, report_id, kind, who.name)
    headers = {
        "content-disposition": f'attachment; filename="{made.name}"',
        "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    }
    return Response(made.data, media_type=made.media_type, headers=headers)
