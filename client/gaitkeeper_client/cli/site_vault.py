"""``gaitkeeper site`` init, ingest, patients and verify: the site's own data."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gaitkeeper_client.cli import source_options as given
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from rich.progress import Progress

    from gaitkeeper_client.vault.artefacts import Artefact
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.ingest import IngestSummary, Outcome
    from gaitkeeper_client.vault.records import Patient, PatientFacts
    from gaitkeeper_client.vault.store import Vault

Home = Annotated[
    Path | None,
    typer.Option(
        help="The site's folder (default: GAITKEEPER_SITE_HOME, or the user's data folder).", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Paths = Annotated[list[Path], typer.Argument(help="Recordings (with --patient), a cohort.csv, or folders holding one.")]
AgreedTo = Annotated[str | None, typer.Option(help="What the person agreed to: care, training, care+training or none.")]
UpdatePatients = Annotated[
    bool, typer.Option("--update-patients", help="Let a new label or sex replace the one that the vault knows.")
]


@contextmanager
def opened_vault(home: Path | None) -> Iterator[tuple[SiteHome, Vault]]:
    """A site's home and its vault, open until the block ends."""
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import unlock
    from gaitkeeper_client.vault.store import Vault

    place = SiteHome.resolve(home)
    with Vault.open(place, unlock(place)) as vault:
        yield place, vault


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper site``."""
    app.command()(init)
    app.command()(ingest)
    app.command()(patients)
    app.command()(verify)


def init(
    name: Annotated[str, typer.Option(help="The site's name in the consortium, such as 'clinic-north'.")],
    home: Home = None,
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Keep the site's key behind a passphrase instead of in a key file.")
    ] = False,
) -> None:
    """Make a site: its folders, its key, an empty encrypted vault, and the policy for what may be trained here."""
    from gaitkeeper_client.consortium.policy import write_default_policy
    from gaitkeeper_client.vault.home import SiteHome, check_new, create_home
    from gaitkeeper_client.vault.keys import create_key, read_passphrase
    from gaitkeeper_client.vault.store import Vault
    from gaitkeeper_shared.trust.audit import AuditLog

    place = SiteHome.resolve(home)
    check_new(place, name)
    secret = read_passphrase("New passphrase (at least 12 characters): ", confirm=True) if passphrase else None
    key = create_key(place, passphrase=secret)
    config = create_home(place, name, "passphrase" if passphrase else "file")
    write_default_policy(place)
    Vault.open(place, key).close()
    AuditLog(place.audit_log).append("site-made", site=config.name, key_mode=config.key_mode)
    typer.echo(f"Site {config.name} is ready in {place.path}.")
    typer.echo(f"What may be trained here at most stands in {place.policy_file}: read it, and change it to your rules.")
    if passphrase:
        typer.echo("Its key is sealed by the passphrase. Nobody can recover a lost passphrase.")
    else:
        typer.echo(f"Its key is {place.key_file}. Back it up apart from the vault: without it nothing can be read.")


def ingest(
    paths: Paths,
    home: Home = None,
    patient: Annotated[str | None, typer.Option(help="The clinic's identifier of the person who walks.")] = None,
    label: Annotated[str | None, typer.Option(help="Diagnosis or group of that person.")] = None,
    age: Annotated[float | None, typer.Option(help="Age in years.")] = None,
    sex: Annotated[str | None, typer.Option(help="female, male or other.")] = None,
    height: Annotated[float | None, typer.Option(help="Body height in metres; gives a video its scale.")] = None,
    recorded_at: Annotated[str | None, typer.Option(help="When it was recorded (ISO 8601).")] = None,
    consent: AgreedTo = None,
    aid: given.Aid = None,
    rate: given.Rate = None,
    size: given.Size = None,
    mapping: given.MappingFile = None,
    person: given.Person = None,
    static: given.Static = None,
    speed: given.Speed = None,
    estimator: given.Estimator = None,
    skeleton: given.SkeletonName = None,
    update_patients: UpdatePatients = False,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes (by default one per core).")] = None,
    as_json: AsJson = False,
) -> None:
    """Analyse recordings and store what was found, encrypted. The videos themselves are not stored.

    May be stopped at any moment and run again: what is stored is skipped. A cohort.csv has the columns patient, path,
    label, age, sex, height_m, recorded_at, and may have consent (care, training, care+training, none), aid and, for
    files that do not say it, rate_hz, picture_size, mapping, person_in_file, belt_m_s, static_trial; further columns
    are kept. It is checked as a whole before anything is stored. Exit status: 0 done (refused recordings are listed), 2
    or 4 some file failed, 3 every recording was refused.
    """
    from gaitkeeper_client.cli.output import bars
    from gaitkeeper_client.lab.options import check_options
    from gaitkeeper_client.vault.artefacts import artefacts_of
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.ingest import ingest as run
    from gaitkeeper_client.vault.ingest import plan

    SiteHome.resolve(home).config()  # first: without a site nothing else matters
    facts, moment = _facts(patient, label, age, sex, height, recorded_at, consent)
    options = check_options(rate=rate, size=size, mapping=mapping, person=person, speed=speed, aid=aid, static=static)
    network = given.estimator_choice(estimator, skeleton)
    sources = plan(paths, facts, moment, options)
    with opened_vault(home) as (place, vault), bars(as_json, time_left=True) as shown:
        bar = None if shown is None else _Teller(shown, len(sources))
        summary = run(
            place, vault, sources, workers=workers, update_patients=update_patients, on_progress=bar, estimator=network
        )
        found = artefacts_of(vault) if summary.count("stored") else ()
    _print_ingest(summary, found, as_json)
    raise typer.Exit(summary.exit_status)


def patients(home: Home = None, as_json: AsJson = False) -> None:
    """List the patients of the vault. What is printed identifies them: it is for the clinic's eyes only."""
    from gaitkeeper_client.vault.events import record

    with opened_vault(home) as (place, vault):
        record(place, "vault-read", purpose="list")
        found = vault.patients()
    if as_json:
        _print_json({"schema": "gaitkeeper.patients/1", "patients": [_patient_json(item) for item in found]})
    else:
        _print_patients(found)


def verify(home: Home = None, as_json: AsJson = False) -> None:
    """Open every recording and record of the vault, check ledger and audit log, and name what is damaged or missing."""
    from gaitkeeper_client.vault.check import check_records
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import unlock
    from gaitkeeper_client.vault.store import Vault

    place = SiteHome.resolve(home)
    key = unlock(place)
    with Vault.open(place, key) as vault:
        found = (*vault.verify(), *check_records(place, key))
        count = sum(patient.recordings for patient in vault.patients()) if not found else 0
    if as_json:
        damages = [{"what": item.what, "detail": item.detail} for item in found]
        _print_json({"schema": "gaitkeeper.vault-check/1", "sound": not found, "damages": damages})
    for item in () if as_json else found:
        typer.echo(f"{item.what}: {item.detail}")
    if found:
        raise GaitkeeperError("vault-unsound", count=len(found))
    if not as_json:
        typer.echo(f"The vault is sound: {count} recording(s) open with their seals unbroken.")
        typer.echo("The privacy ledger and the audit log are whole.")


def _facts(
    patient: str | None,
    label: str | None,
    age: float | None,
    sex: str | None,
    height: float | None,
    recorded_at: str | None,
    consent: str | None,
) -> tuple[PatientFacts | None, str | None]:
    """The options about one patient as facts; None where no option was given."""
    from gaitkeeper_client.vault.cohort import check_age, parse_consent, parse_height, parse_moment, parse_sex
    from gaitkeeper_client.vault.records import PatientFacts

    given = {"--label": label, "--age": age, "--sex": sex, "--height": height, "--recorded-at": recorded_at}
    given["--consent"] = consent
    if patient is None or not patient.strip():
        if names := [name for name, value in given.items() if value is not None]:
            raise GaitkeeperError("ingest-options-without-patient", options=", ".join(names))
        return None, None
    try:
        tall = None if height is None else parse_height(str(height))
        moment = parse_moment(recorded_at or "")
        person = PatientFacts(patient.strip(), label, check_age(age), parse_sex(sex or ""), tall)
        return dataclasses.replace(person, consent=parse_consent(consent or "")), moment
    except ValueError as error:
        raise GaitkeeperError("ingest-bad-option", detail=error) from error


class _Teller:
    """One bar for all recordings, and a line for each that was not stored."""

    def __init__(self, shown: Progress, total: int) -> None:
        self._shown, self._task = shown, shown.add_task("Ingesting", total=total)

    def __call__(self, done: int, total: int, outcome: Outcome) -> None:
        self._shown.update(self._task, completed=done, total=total)
        if outcome.reasons:
            self._shown.console.print(f"{outcome.status}: {outcome.path.name}", highlight=False, markup=False)


def _print_ingest(summary: IngestSummary, found: Sequence[Artefact], as_json: bool) -> None:
    if as_json:
        _print_json({**_summary_json(summary), "artefacts": [dataclasses.asdict(item) for item in found]})
    else:
        _print_summary(summary)
    for item in found:
        typer.secho(f"Warning: {item.words}", fg="yellow", err=True)


def _print_summary(summary: IngestSummary) -> None:
    for status, heading in (("refused", "Refused"), ("failed", "Failed")):
        for outcome in summary.outcomes:
            if outcome.status == status:
                typer.echo(f"{heading}: {outcome.path}")
                for code, message in outcome.reasons:
                    typer.echo(f"    [{code}] {message}")
    typer.echo(
        f"{summary.count('stored')} stored, {summary.count('already_stored')} stored before, "
        f"{summary.count('refused')} refused, {summary.count('failed')} failed."
    )


def _summary_json(summary: IngestSummary) -> dict[str, Any]:
    from gaitkeeper_client.vault.ingest import STATUSES

    return {
        "schema": "gaitkeeper.ingest/1",
        **{status: summary.count(status) for status in STATUSES},
        "outcomes": [
            {
                "path": str(outcome.path),
                "status": outcome.status,
                "pseudonym": outcome.pseudonym,
                "reasons": [{"code": code, "message": message} for code, message in outcome.reasons],
            }
            for outcome in summary.outcomes
        ],
    }


def _patient_json(patient: Patient) -> dict[str, Any]:
    return {
        "pseudonym": patient.pseudonym,
        "patient": patient.patient_id,
        "label": patient.label,
        "age": patient.age,
        "sex": patient.sex,
        "height_m": patient.height_m,
        "recordings": patient.recordings,
        "consent": sorted(patient.purposes),
        "extra": dict(patient.extra),
    }


def _print_patients(found: tuple[Patient, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    from gaitkeeper_client.vault.consent import words_for

    table = Table("Patient", "Label", "Age", "Sex", "Height", "Walks")
    table.add_column("Consent", min_width=13)
    table.add_column("Pseudonym", no_wrap=True, min_width=18)
    for item in found:
        table.add_row(
            item.patient_id,
            item.label or "",
            "" if item.age is None else f"{item.age:g}",
            item.sex or "",
            "" if item.height_m is None else f"{item.height_m:.2f} m",
            str(item.recordings),
            words_for(item.purposes),
            item.pseudonym,
        )
    Console().print(table)
    typer.echo(f"{len(found)} patient(s), {sum(item.recordings for item in found)} recording(s).")


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, indent=2))
