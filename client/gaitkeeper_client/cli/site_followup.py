"""``gaitkeeper site`` follow-up: a patient's visits compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gaitkeeper_client.cli.site_vault import AsJson, Home, opened_vault

if TYPE_CHECKING:
    from gaitkeeper_client.followup.course import Course


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper site``."""
    app.command("follow-up")(follow_up)


def follow_up(
    patient: Annotated[str, typer.Argument(metavar="PATIENT", help="Identifier or pseudonym.")],
    home: Home = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Write follow-up.html there; with --pdf, a PDF too.")
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Write follow-up.pdf, too (by default into this folder).")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare a patient's kept walks over time: mobility score, changes beyond their error, trends, views on risk.

    Every signature behind it is verified first; unsigned reports make it a draft. See docs/followup.md for what is
    compared and how.
    """
    from gaitkeeper_client.followup.course import course_in
    from gaitkeeper_client.vault.events import record

    with opened_vault(home) as (place, vault):
        record(place, "vault-read", purpose="follow-up", patient=vault.named(patient).pseudonym)
        course = course_in(place, vault, patient)
    written = _write(course, output, pdf=pdf)
    if as_json:
        typer.echo(json.dumps(_json(course), indent=2))
        return
    _print(course)
    for path in written:
        typer.echo(str(path))


def _write(course: Course, output: Path | None, *, pdf: bool) -> list[Path]:
    from gaitkeeper_client.followup.page import write_course
    from gaitkeeper_client.followup.pdf_page import write_course_pdf

    written = []
    folder = output or Path()
    if output is not None:
        write_course(course, folder / "follow-up.html")
        written.append(folder / "follow-up.html")
    if pdf:
        write_course_pdf(course, folder / "follow-up.pdf")
        written.append(folder / "follow-up.pdf")
    return written


def _print(course: Course) -> None:
    from gaitkeeper_client.followup.view import course_view
    from gaitkeeper_client.language.texts import texts

    view = course_view(course, texts())
    typer.echo(f"{course.patient.pseudonym}: {len(course.visits)} visit(s), latest {course.visits[-1].day}.")
    typer.echo(view.banner)
    typer.echo(f"Mobility score: {view.score} ({view.score_interval})" if view.score else view.score_missing)
    for label, cell in view.score_cells:
        typer.echo(f"  {label}: {cell.verdict}, {cell.detail}")
    for row in view.rows:
        unit = f" {row.unit}" if row.unit else ""
        typer.echo(f"{row.title}: {' -> '.join(row.values)}{unit}")
        for heading, cell in zip(view.headings, row.cells, strict=False):
            typer.echo(f"  {heading}: {cell.verdict}{' (firm)' if cell.firm else ''}, {cell.detail}")
    for flag in view.flags:
        typer.echo(f"{flag.title}: {flag.words}. {flag.rests_on} {flag.course}".rstrip())


def _json(course: Course) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "schema": "gaitkeeper.followup/1",
        "pseudonym": course.patient.pseudonym,
        "status": "draft" if course.draft else "signed",
        "visits": [
            {
                "day": visit.day.isoformat(),
                "reports": [report.id for report in visit.reports],
                "status": "draft" if visit.draft else "signed",
                "method": visit.method,
                "mobility_score": {"value": score.value, "ci95": score.ci95, "missing": list(score.missing)},
            }
            for visit, score in zip(course.visits, course.scores, strict=True)
        ],
        "since_first": [asdict(change) for change in course.since_first],
        "since_previous": [asdict(change) for change in course.since_previous],
        "trends": [asdict(one) for one in course.trends],
        "flags": [
            {
                "name": flag.name,
                "state": flag.state,
                "parameter": flag.limit.parameter,
                "limit": flag.limit.limit,
                "source": flag.limit.source,
                "rising": flag.rising,
            }
            for flag in course.flags
        ],
    }
