"""``gaitkeeper site`` report and clinician: kept reports, and what clinicians sign about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gaitkeeper_client.cli.site_vault import AsJson, Home, opened_vault
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.insight.standing import Standing
    from gaitkeeper_client.signing.kept import KeptReport
    from gaitkeeper_client.signing.statements import Decision
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.store import Vault

ReportId = Annotated[
    str, typer.Argument(metavar="REPORT", help="The report, as 'gaitkeeper site report list' names it.")
]
Finding = Annotated[str, typer.Argument(metavar="FINDING", help="A finding, as 'site report show' names it.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="The clinician who signs.")]
Reason = Annotated[str, typer.Option(help="Why. It is signed and shown.")]

app = typer.Typer(no_args_is_help=True, help="Kept reports: list, show, sign, amend, overrule, print.")


def register(site: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper site``."""
    site.add_typer(app, name="report")


@app.command("list")
def list_reports(
    home: Home = None,
    patient: Annotated[str | None, typer.Option(help="Only those of one patient: identifier or pseudonym.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the kept reports and how they stand: draft, signed, amended. Signatures are verified by 'report show'."""
    from gaitkeeper_client.signing.kept import list_for
    from gaitkeeper_client.vault.events import record

    with opened_vault(home) as (place, vault):
        wanted = [vault.named(patient)] if patient is not None else [*vault.patients()]
        record(place, "vault-read", purpose="report-list", patients=len(wanted))
        found = [report for one in wanted for report in list_for(vault, one.pseudonym)]
    if as_json:
        _print({"schema": "gaitkeeper.reports/1", "reports": [_row(report) for report in found]})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("Report", "Patient", "Walked", "State", "Open", "Model", box=None, pad_edge=False)
    for report in found:
        walked = f"{report.walked_at:%Y-%m-%d %H:%M}"
        open_ = str(len(report.undecided)) if report.undecided else ""
        table.add_row(report.id, report.pseudonym, walked, report.state, open_, report.model_version or "none")
    Console().print(table)
    typer.echo(f"{len(found)} report(s).")


@app.command()
def show(
    report_id: ReportId,
    home: Home = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Write report.html and analysis.json there, too.")
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="With --output: report.pdf as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a report's findings and what was decided on each; every signature is verified first.

    Exit status 4: a statement is not what was signed.
    """
    from gaitkeeper_client.signing.standing import verified_standing
    from gaitkeeper_client.vault.events import record

    with opened_vault(home) as (place, vault):
        record(place, "vault-read", purpose="report" if output is None else "report-file", report=report_id)
        report, standing = verified_standing(place, vault, report_id)
    written = _write(output, report, standing, pdf=pdf)
    if as_json:
        _print({"schema": "gaitkeeper.report-standing/1", **_row(report), "decisions": _decisions(report)})
        return
    _print_standing(report, standing)
    for path in written:
        typer.echo(str(path))


@app.command()
def sign(report_id: ReportId, by: By, home: Home = None) -> None:
    """Agree with every finding that nobody decided on, and sign. Amend or overrule the others first.

    Asks for the clinician's passphrase (or GAITKEEPER_CLINICIAN_PASSPHRASE_FILE).
    """
    from gaitkeeper_client.signing.decide import agree_with_the_rest
    from gaitkeeper_client.signing.verification import verified

    with opened_vault(home) as (place, vault):
        decisions = agree_with_the_rest(verified(place, vault, report_id))
        _decide(place, vault, report_id, by, decisions)


@app.command()
def amend(
    report_id: ReportId,
    finding: Finding,
    by: By,
    text: Annotated[str, typer.Option(help="What holds instead of the finding's words.")],
    reason: Reason,
    home: Home = None,
) -> None:
    """Put other words in a finding's place, and sign that. The finding stays to be read."""
    from gaitkeeper_client.signing.statements import Decision

    with opened_vault(home) as (place, vault):
        _decide(place, vault, report_id, by, (Decision(finding, "amended", text, reason),))


@app.command()
def overrule(
    report_id: ReportId,
    finding: Finding,
    by: By,
    reason: Reason,
    text: Annotated[str, typer.Option(help="What holds instead.")] = "",
    label: Annotated[
        str | None,
        typer.Option(
            help="Your own label, where the finding is the model's. Trained on only with the patient's consent."
        ),
    ] = None,
    home: Home = None,
) -> None:
    """Declare a finding wrong, and sign that.

    A label given here is learned from only where the patient agreed: gaitkeeper site consent PATIENT --give labels
    """
    from gaitkeeper_client.signing.statements import Decision

    with opened_vault(home) as (place, vault):
        _decide(place, vault, report_id, by, (Decision(finding, "overruled", text, reason, label),))


@app.command()
def pdf(
    report_id: ReportId,
    home: Home = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Where it goes. By default REPORT.pdf.")
    ] = None,
) -> None:
    """Write a report as PDF; every signature is verified first. An unsigned one says so on each page."""
    from gaitkeeper_client.insight.pdf_report import render_report_pdf
    from gaitkeeper_client.insight.report import write_page
    from gaitkeeper_client.signing.standing import verified_standing
    from gaitkeeper_client.vault.events import record

    with opened_vault(home) as (place, vault):
        record(place, "vault-read", purpose="report-file", report=report_id)
        report, standing = verified_standing(place, vault, report_id)
    path = output or Path(f"{report.id}.pdf")
    page = render_report_pdf(report.analysis, report.findings, patient=report.patient, standing=standing)
    write_page(path, page)
    typer.echo(str(path))


def _decide(place: SiteHome, vault: Vault, report_id: str, by: str, decisions: tuple[Decision, ...]) -> None:
    from gaitkeeper_client.signing.clinicians import PASSPHRASE_VARIABLE, unlock_clinician
    from gaitkeeper_client.signing.decide import decide
    from gaitkeeper_client.signing.standing import standing_of
    from gaitkeeper_client.vault.keys import read_passphrase

    signer = unlock_clinician(place, by, read_passphrase(f"Passphrase of {by}: ", variable=PASSPHRASE_VARIABLE))
    report = decide(place, vault, report_id, signer, decisions)
    _print_standing(report, standing_of(report))


def _print_standing(report: KeptReport, standing: Standing) -> None:
    from gaitkeeper_client.insight.standing import standing_view
    from gaitkeeper_client.language.texts import texts

    view = standing_view(standing, texts())
    typer.echo(f"Report {report.id} of {report.pseudonym}, walked {report.walked_at:%Y-%m-%d %H:%M} UTC")
    typer.echo(view.banner)
    for item, row in zip(report.items, view.rows, strict=True):
        typer.echo(f"  {item.id}: {row.verdict}{f' ({row.by})' if row.by else ''}")
        typer.echo(f"    {row.finding}")
        for note in row.notes:
            typer.echo(f"    {note}")


def _write(folder: Path | None, report: KeptReport, standing: Standing, *, pdf: bool) -> tuple[Path, ...]:
    if folder is None:
        if pdf:
            raise GaitkeeperError("report-pdf-where")
        return ()
    from gaitkeeper_client.cli.output import write_results

    write_results(folder, report.analysis, report.findings, report.patient, standing=standing, pdf=pdf)
    names = ("analysis.json", "report.html", *(("report.pdf",) if pdf else ()))
    return tuple(folder / name for name in names)


def _row(report: KeptReport) -> dict[str, Any]:
    return {
        "id": report.id,
        "pseudonym": report.pseudonym,
        "recorded_at": report.recorded_at,
        "created_at": report.created_at,
        "state": report.state,
        "status": report.analysis.status,
        "open": [item.id for item in report.undecided],
        "model_version": report.model_version,
        "sha256": report.sha256,
    }


def _decisions(report: KeptReport) -> list[dict[str, Any]]:
    from dataclasses import asdict

    return [
        {
            "clinician": one.clinician,
            "role": one.role,
            "key": one.key_id,
            "signed_at": one.signed_at,
            **asdict(decision),
        }
        for one in report.statements
        for decision in one.decisions
    ]


def _print(table: dict[str, Any]) -> None:
    typer.echo(json.dumps(table, indent=2))
