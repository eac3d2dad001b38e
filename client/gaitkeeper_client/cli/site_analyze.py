"""``gaitkeeper site`` analyze: a walk measured, and what the deployed model says about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gaitkeeper_client.cli import source_options as given
from gaitkeeper_client.cli.site_vault import Home
from gaitkeeper_shared.errors import EXIT_REFUSED, GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.gait.analysis import Analysis
    from gaitkeeper_client.insight.findings import Findings
    from gaitkeeper_client.insight.view import PatientContext
    from gaitkeeper_client.lab.options import ReadOptions
    from gaitkeeper_client.pose.estimators import EstimatorChoice
    from gaitkeeper_client.signing.kept import KeptReport
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import SiteKey

Patient = Annotated[
    str | None,
    typer.Option(help="Who walks: identifier or pseudonym of a patient of this site. Gives height, age and sex."),
]
Height = Annotated[
    float | None, typer.Option("--height", metavar="M", help="The walker's height in metres, before the vault's.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", metavar="DIR", help="Where the results go. By default FILE's name, -gait."),
]
RecordedAt = Annotated[
    str | None,
    typer.Option(help="When the patient walked (ISO 8601), for comparing visits; else as the vault knows, or now."),
]
Keep = Annotated[
    bool,
    typer.Option("--keep/--no-keep", help="With --patient: keep the report in the vault, for signing and follow-up."),
]


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper site``."""
    app.command()(analyze)


def analyze(
    recording: Annotated[Path, typer.Argument(metavar="FILE")],
    home: Home = None,
    patient: Patient = None,
    height: Height = None,
    rate: given.Rate = None,
    size: given.Size = None,
    mapping: given.MappingFile = None,
    person: given.Person = None,
    static: given.Static = None,
    speed: given.Speed = None,
    aid: given.Aid = None,
    estimator: given.Estimator = None,
    skeleton: given.SkeletonName = None,
    output: Output = None,
    recorded_at: RecordedAt = None,
    keep: Keep = True,
    pdf: Annotated[bool, typer.Option("--pdf", help="Write report.pdf, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the analysis as JSON and nothing else.")] = False,
) -> None:
    """Measure a walk and ask the deployed model: analysis.json and report.html.

    FILE is any recording that ``gaitkeeper analyze`` takes. With --patient the report is kept in the vault, encrypted,
    so that a clinician can sign it and visits can be compared (gaitkeeper site report, site follow-up); the patient
    must have agreed to care. Without --patient nothing is kept.

    Exit status: 0 analysed, 3 refused with reasons, 2 the file cannot be used. Without a deployed model the report
    says so and holds the measurements alone.
    """
    from gaitkeeper_client.cli.output import write_results
    from gaitkeeper_client.lab.options import check_options
    from gaitkeeper_client.signing.standing import standing_of
    from gaitkeeper_client.vault.home import SiteHome

    place = SiteHome.resolve(home)
    place.config()
    options = check_options(rate=rate, size=size, mapping=mapping, person=person, speed=speed, aid=aid, static=static)
    network = given.estimator_choice(estimator, skeleton)
    moment = _moment(recorded_at)
    key, context = _patient(place, patient, height)
    analysis, findings = _measured(place, key, context, recording, options, network)
    folder = output if output is not None else given.result_folder(recording)
    kept = None if key is None or not keep else _keep(place, key, context, analysis, findings, moment)
    standing = standing_of(kept) if kept is not None else None
    document = write_results(folder, analysis, findings, context, standing=standing, pdf=pdf)
    if as_json:
        typer.echo(document, nl=False)
    else:
        _print(analysis, findings, folder, kept, pdf=pdf)
    raise typer.Exit(EXIT_REFUSED if analysis.status == "refused" else 0)


def _patient(home: SiteHome, wanted: str | None, height_m: float | None) -> tuple[SiteKey | None, PatientContext]:
    """The site's key, where a patient was named, and what the report may know of them. Raises ``patient-unknown`` or
    ``consent-missing``."""
    from gaitkeeper_client.insight.view import PatientContext

    if wanted is None:
        return None, PatientContext("not given", height_m=height_m)
    from gaitkeeper_client.vault.events import record
    from gaitkeeper_client.vault.keys import unlock
    from gaitkeeper_client.vault.store import Vault

    key = unlock(home)  # once: it may ask for a passphrase
    with Vault.open(home, key) as vault:
        found = vault.find(wanted) or next((p for p in vault.patients() if p.pseudonym == wanted), None)
    if found is None:
        raise GaitkeeperError("patient-unknown", patient=wanted)
    record(home, "vault-read", purpose="care", patient=found.pseudonym, allowed=found.allows("care"))
    if not found.allows("care"):
        raise GaitkeeperError("consent-missing", pseudonym=found.pseudonym, purpose="care")
    height = found.height_m if height_m is None else height_m
    return key, PatientContext(found.pseudonym, found.age, found.sex or "", height)


def _measured(
    home: SiteHome,
    key: SiteKey | None,
    patient: PatientContext,
    recording: Path,
    options: ReadOptions,
    network: EstimatorChoice | None,
) -> tuple[Analysis, Findings]:
    """A walk's measures, and what the deployed model says about it, with an entry in the audit log."""
    from gaitkeeper_client.cli.output import progress
    from gaitkeeper_client.insight.deployed import facts_for_audit, findings_at
    from gaitkeeper_client.sources import analyse_file
    from gaitkeeper_client.vault.events import record

    with progress(recording.name) as on_progress:
        analysis = analyse_file(
            recording, height_m=patient.height_m, on_progress=on_progress, options=options, estimator=network
        )
    findings = findings_at(home, analysis, key)
    record(home, "analysed", patient=patient.pseudonym, **facts_for_audit(analysis, findings))
    return analysis, findings


def _moment(text: str | None) -> str | None:
    from gaitkeeper_client.vault.cohort import parse_moment

    try:
        return parse_moment(text or "")
    except ValueError as error:
        raise GaitkeeperError("ingest-bad-option", detail=error) from error


def _keep(
    home: SiteHome,
    key: SiteKey,
    patient: PatientContext,
    analysis: Analysis,
    findings: Findings,
    recorded_at: str | None,
) -> KeptReport | None:
    """Keep the report of a walk that was measured; a refused one tells of the recording, not of the patient."""
    from gaitkeeper_client.signing.kept import save
    from gaitkeeper_client.signing.verification import verified
    from gaitkeeper_client.vault.store import Vault

    if analysis.status == "refused":
        return None
    with Vault.open(home, key) as vault:
        kept = save(home, vault, patient, analysis, findings, recorded_at=recorded_at).report
        return verified(home, vault, kept.id)


def _print(analysis: Analysis, findings: Findings, folder: Path, kept: KeptReport | None, *, pdf: bool) -> None:
    from gaitkeeper_client.cli.output import print_analysis, print_results

    print_analysis(analysis)
    _print_findings(findings)
    state = "draft, not signed" if kept is None or kept.state == "draft" else kept.state
    print_results(folder, f" ({state})", pdf=pdf)
    if kept is not None:
        typer.echo(f"Kept as report {kept.id} of {kept.pseudonym}.")


def _print_findings(findings: Findings) -> None:
    from gaitkeeper_client.insight.certificate_view import certificate_view
    from gaitkeeper_client.insight.findings_view import findings_view, range_text

    typer.echo(findings_view(findings, ()).verdict)
    if (tested := certificate_view(findings)) is not None and tested.warning:
        typer.echo(f"  {tested.verdict}")
    for reason in findings.reasons:
        typer.echo(f"  {reason.message}")
    for item in findings.probabilities:
        typer.echo(f"  {item.label}: {item.probability:.0%} ({range_text(findings, item)})")
