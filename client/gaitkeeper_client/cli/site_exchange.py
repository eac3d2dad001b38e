"""``gaitkeeper site`` exchange, and report fhir, dicom, tables, motion: kept reports for the clinic's other systems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gaitkeeper_client.cli.exchange_options import check_tables
from gaitkeeper_client.cli.site_report import ReportId
from gaitkeeper_client.cli.site_report import app as report_app
from gaitkeeper_client.cli.site_vault import AsJson, Home, opened_vault
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gaitkeeper_client.exchange.delivery import Delivery
    from gaitkeeper_client.exchange.traces import Trace

Output = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Where it goes. By default named after the report.")
]
app = typer.Typer(no_args_is_help=True, help="Send kept reports to the clinic's FHIR server.")


def register(site: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper site``."""
    site.add_typer(app, name="exchange")


@report_app.command()
def fhir(
    report_id: ReportId,
    home: Home = None,
    output: Output = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Put the report's PDF into the bundle, too.")] = False,
) -> None:
    """Write a report as an HL7 FHIR R4 bundle; every signature is verified first. Preliminary until signed."""
    from gaitkeeper_client.exchange.files import write_file
    from gaitkeeper_client.exchange.sending import kept_document

    with opened_vault(home) as (place, vault):
        document = kept_document(place, vault, report_id, pdf=pdf)
    path = output or Path(f"{report_id}.fhir.json")
    write_file(path, document.data)
    typer.echo(f"{path} ({document.state})")


@report_app.command()
def dicom(report_id: ReportId, home: Home = None, output: Output = None) -> None:
    """Write a report's PDF as a DICOM object (Encapsulated PDF); every signature is verified first."""
    from gaitkeeper_client.exchange.dicom import dicom_pdf
    from gaitkeeper_client.exchange.files import write_file
    from gaitkeeper_client.exchange.kept import facts_of
    from gaitkeeper_client.exchange.sending import pdf_of, verified_report

    with opened_vault(home) as (place, vault):
        report = verified_report(place, vault, report_id, "dicom")
        name = place.config().name
    content = pdf_of(report)
    path = output or Path(f"{report_id}.dcm")
    write_file(path, dicom_pdf(content, facts_of(report, name)))
    typer.echo(f"{path} ({report.state})")


@report_app.command()
def tables(
    report_id: ReportId,
    form: Annotated[str, typer.Option("--format", help="csv or parquet.")] = "csv",
    home: Home = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="The folder. By default named after the report.")
    ] = None,
) -> None:
    """Write a report's parameters, cycles and curves as tables."""
    from gaitkeeper_client.exchange.kept import facts_of
    from gaitkeeper_client.exchange.sending import verified_report
    from gaitkeeper_client.exchange.tables import FORMATS, write_tables

    check_tables(form)
    with opened_vault(home) as (place, vault):
        report = verified_report(place, vault, report_id, "tables")
        facts = facts_of(report, place.config().name)
    chosen = next(one for one in FORMATS if one == form)
    for path in write_tables(report.analysis, output or Path(report_id), chosen, facts):
        typer.echo(f"{path} ({report.state})")


@report_app.command()
def motion(
    report_id: ReportId,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="c3d, trc, mot, csv or motion-bids.")],
    home: Home = None,
    output: Output = None,
) -> None:
    """Write the walk of a report as C3D, TRC, MOT, CSV or Motion-BIDS (a ZIP archive); it says how the report stands.

    Exit status 3: a clinician let no measurement of the walk stand, or it was not measured.
    """
    from gaitkeeper_client.exchange.files import write_file
    from gaitkeeper_client.exchange.motion import motion_bytes, motion_suffix
    from gaitkeeper_client.exchange.sending import verified_report

    suffix = motion_suffix(to)
    with opened_vault(home) as (place, vault):
        report = verified_report(place, vault, report_id, "motion")
    path = output or Path(f"{report_id}{suffix}")
    write_file(path, motion_bytes(report, to))
    typer.echo(f"{path} ({report.state})")


@app.command()
def server(
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="Base of the FHIR R4 interface, https://…")] = None,
    home: Home = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="Holds the bearer token; read for every run.")
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", metavar="FILE", help="The clinic's own certificate authority, PEM.")
    ] = None,
) -> None:
    """Name the clinic's FHIR server, or show which it is. Nothing is sent anywhere else."""
    from gaitkeeper_client.exchange.server import FhirServer, fhir_server, name_server
    from gaitkeeper_client.vault.events import record
    from gaitkeeper_client.vault.home import SiteHome

    place = SiteHome.resolve(home)
    if url is not None:
        named = FhirServer(url, token_file, ca_file)
        named.token()
        name_server(place, named)
        record(place, "fhir-server-named", server=named.url)
    typer.echo(fhir_server(place).url)


@app.command()
def send(
    reports: Annotated[list[str] | None, typer.Argument(metavar="[REPORT]...", help="Queue these first.")] = None,
    home: Home = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Queue every kept report; one that was sent before is stored once.")
    ] = False,
) -> None:
    """Post what waits in the outbox. What does not arrive stays there, on the disk, and is tried by the next run.

    Exit status 0: nothing waits any more, 4: something still does.
    """
    from gaitkeeper_client.exchange.sending import queue, send_due
    from gaitkeeper_client.signing.kept import KIND, load
    from gaitkeeper_client.vault.documents import heads_of

    with opened_vault(home) as (place, vault):
        wanted = [load(vault, report).id for report in reports or []]
        if everything:
            heads = (head for patient in vault.patients() for head in heads_of(vault, patient.pseudonym))
            wanted += [head.name for head in heads if head.kind == KIND]
        queue(place, dict.fromkeys(wanted))
        done = send_due(place, vault)
    _print_delivery(done)
    if done.later or done.refused:
        count = len(done.later) + len(done.refused)
        raise GaitkeeperError("fhir-not-delivered", count=count, detail=done.message)


@app.command()
def outbox(home: Home = None, as_json: AsJson = False) -> None:
    """Show what waits, what was delivered, and what the server refused and why."""
    from datetime import UTC, datetime

    from gaitkeeper_client.exchange.outbox import Outbox
    from gaitkeeper_client.vault.home import SiteHome

    place = SiteHome.resolve(home)
    place.config()
    rows: list[dict[str, Any]] = [
        {
            "report": post.report,
            "kind": post.kind,
            "state": post.state,
            "queued_at": datetime.fromtimestamp(post.queued_at, UTC).isoformat(timespec="seconds"),
            "attempts": post.attempts,
            "message": post.message,
        }
        for post in Outbox.of(place).posts()
    ]
    if as_json:
        typer.echo(json.dumps({"schema": "gaitkeeper.outbox/1", "posts": rows}, indent=2))
        return
    for row in rows:
        what = "" if row["kind"] == "report" else "  to be taken back"
        typer.echo(f"{row['report']}{what}  {row['state']}  queued {row['queued_at']}  attempts {row['attempts']}")
        if row["message"]:
            typer.echo(f"    {row['message']}")
    typer.echo(f"{len(rows)} report(s).")


@app.command("traces")
def traces_of(
    pseudonym: Annotated[str, typer.Argument(metavar="PSEUDONYM", help="Of a patient, erased or not.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show what left this site about a patient, as the audit log tells: what to delete where after an erasure."""
    from dataclasses import asdict

    from gaitkeeper_client.exchange.traces import traces
    from gaitkeeper_client.vault.home import SiteHome

    place = SiteHome.resolve(home)
    place.config()
    found = traces(place, pseudonym)
    if as_json:
        typer.echo(json.dumps({"schema": "gaitkeeper.traces/1", "traces": [asdict(one) for one in found]}, indent=2))
        return
    print_traces(found)
    typer.echo(f"{len(found)} trace(s).")


def print_traces(found: Iterable[Trace]) -> None:
    """One line each."""
    for one in found:
        report = f"  {one.report}" if one.report else ""
        typer.echo(f"  {one.at[:19].replace('T', ' ')}  {one.what}: {one.where}{report}")


@app.command()
def codes(output: Annotated[Path, typer.Argument(metavar="FILE")]) -> None:
    """Write the CodeSystem of our gait parameters, for a FHIR server that checks codes."""
    from gaitkeeper_client.exchange.fhir import code_system
    from gaitkeeper_client.exchange.files import write_file

    write_file(output, code_system())
    typer.echo(str(output))


def _print_delivery(done: Delivery) -> None:
    typer.echo(
        f"{len(done.delivered)} delivered, {len(done.later)} to be tried again, {len(done.refused)} refused, "
        f"{len(done.gone)} no longer there, {len(done.retracted)} taken back."
    )
