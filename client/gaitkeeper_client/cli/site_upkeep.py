"""``gaitkeeper site`` retention, rotate-key, seal-ledger, passphrase, backup, restore: what keeps a site in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gaitkeeper_client.cli.site_vault import AsJson, Home, opened_vault
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.agent.restore import Restored
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import SiteKey


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper site``."""
    app.command()(retention)
    app.command("rotate-key")(rotate_key)
    app.command("seal-ledger")(seal_ledger)
    app.command()(passphrase)
    app.command()(backup)
    app.command()(restore)


def retention(
    home: Home = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what is older than the site's policy allows: days and report_days in the table retention of site.toml.

    'site ingest' and 'site start' do the same. A patient of whom neither recording nor report is left is erased.
    """
    from datetime import UTC, datetime

    from gaitkeeper_client.vault.retention import Removed, apply_retention, expired, retention_policy

    with opened_vault(home) as (place, vault):
        policy = retention_policy(place)
        now = datetime.now(UTC)
        if dry_run:
            removed = Removed(expired(vault, policy, now), ())
        else:
            removed = apply_retention(place, vault, policy, now=now)
    if as_json:
        rows = [
            {"pseudonym": item.pseudonym, "recording": item.recording_id, "since": item.since, "kind": item.kind}
            for item in removed.recordings
        ]
        table = {"schema": "gaitkeeper.retention/1", "days": policy.days, "dry_run": dry_run, "recordings": rows}
        typer.echo(json.dumps({**table, "patients_erased": list(removed.patients)}, indent=2))
        return
    if policy.days is None and policy.documents_days is None:
        typer.echo("This site sets no limit ([retention] days in site.toml): nothing is removed.")
        return
    verb = "would be removed" if dry_run else "removed"
    documents = sum(item.kind == "document" for item in removed.recordings)
    typer.echo(
        f"{len(removed.recordings) - documents} recording(s) and {documents} document(s) past their time {verb}."
    )
    if removed.patients:
        typer.echo(f"Nothing was left of {len(removed.patients)} patient(s): erased ({', '.join(removed.patients)}).")


def rotate_key(home: Home = None) -> None:
    """Give the site and every patient a new key, and seal everything anew. The old key opens nothing from then on.

    Stop the site first. May be interrupted at any moment: the old key or the new one is in force, never neither. Old
    backups keep their keys: make a new one afterwards.
    """
    from gaitkeeper_client.vault.rotation import rotate_key as run

    place, key, secret = _stopped(home, "a new key")
    run(place, key, secret)
    typer.echo("The site has a new key, and so has every patient. Make a new backup: gaitkeeper site backup FILE")


def seal_ledger(home: Home = None) -> None:
    """Seal a privacy ledger whose entries carry no seals of this site's key: one that an older version wrote.

    Nobody can tell such a ledger from one that was written by somebody else. Seal it only where this site has never run
    a version with seals, and its files were in nobody else's hands. Stop the site first.
    """
    from gaitkeeper_client.vault.events import record
    from gaitkeeper_client.vault.ledger import open_ledger

    place, key, _ = _stopped(home, "seals in its ledger")
    if not place.ledger.exists():
        typer.echo("This site has no ledger yet; the one that it begins will be sealed.")
        return
    ledger = open_ledger(place, key, adopt=True)
    if ledger.adopted:
        record(place, "ledger-sealed", entries=ledger.adopted)
        typer.echo(f"{ledger.adopted} entries are sealed now; the audit log says so.")
    else:
        typer.echo(f"The ledger is sealed already: all {len(ledger.entries)} entries by this site.")


def passphrase(
    home: Home = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Keep the key in a file of mode 0600 instead of behind a passphrase.")
    ] = False,
) -> None:
    """Set, change or remove the passphrase around the site's key. The key itself stays; see rotate-key.

    Asks for the old one (GAITKEEPER_PASSPHRASE_FILE) and the new one (GAITKEEPER_NEW_PASSPHRASE_FILE).
    """
    from gaitkeeper_client.vault.keys import NEW_PASSPHRASE_FILE_VARIABLE, read_passphrase
    from gaitkeeper_client.vault.rotation import change_passphrase

    place, key, _ = _stopped(home, "another passphrase")
    new = None
    if not remove:
        new = read_passphrase(
            "New passphrase (at least 12 characters): ", confirm=True, variable=NEW_PASSPHRASE_FILE_VARIABLE
        )
    change_passphrase(place, key, new)
    typer.echo(
        "The key lies in a file now." if remove else "The new passphrase is in force. Nobody can recover a lost one."
    )


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Write the whole site, keys included, into one encrypted file, and read it back.

    The file opens with a passphrase of its own (GAITKEEPER_BACKUP_PASSPHRASE_FILE, or asked for). Who has both has the
    site: keep them apart. The site may run meanwhile. A damaged vault is not backed up.
    """
    from gaitkeeper_client.vault.backup import make_backup
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import BACKUP_PASSPHRASE_FILE_VARIABLE, read_passphrase, unlock

    place = SiteHome.resolve(home)
    key = unlock(place)
    secret = read_passphrase(
        "Passphrase for the backup (at least 12 characters): ", confirm=True, variable=BACKUP_PASSPHRASE_FILE_VARIABLE
    )
    made = make_backup(place, key, file.absolute(), secret)
    if as_json:
        table = {"file": str(made.path), "backup": made.backup_id, "recordings": made.recordings, "bytes": made.size}
        typer.echo(json.dumps({"schema": "gaitkeeper.backup-made/1", **table}))
        return
    typer.echo(f"{made.path}: {made.recordings} recording(s), {made.size} bytes, read back and whole.")
    typer.echo("Keep its passphrase somewhere else. Without it nobody can open the file.")


def restore(
    file: Annotated[Path, typer.Argument(help="A backup that 'gaitkeeper site backup' wrote.")],
    home: Home = None,
    ledger_from: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the newest ledger.sqlite and ledger.anchor, saved from the old machine; with its "
            "audit.log and audit.log.anchor, erasures and consents of after the backup are repeated."
        ),
    ] = None,
    study: Annotated[
        list[Path] | None,
        typer.Option(
            help="A study file that this site approved after the backup was made; may be given several times."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the site of a backup at --home, where nothing may be yet, and check all of it.

    A backup's ledger does not know what was spent since. Without --ledger-from every study that was approved (and every
    --study) is counted as spent to its end, and this site takes no further part in it. Never run the old site beside
    the restored one. A patient who was erased after the backup was made is back, and a consent that was withdrawn is
    in force again, unless --ledger-from holds the old machine's audit log: do it again.
    """
    from gaitkeeper_client.agent.restore import restore as run
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import BACKUP_PASSPHRASE_FILE_VARIABLE, read_passphrase, unlock
    from gaitkeeper_shared.study import load_study, study_hash

    place = SiteHome.resolve(home)
    further = {study_hash(data): loaded for loaded, data in (load_study(path) for path in study or [])}
    secret = read_passphrase("Passphrase of the backup: ", variable=BACKUP_PASSPHRASE_FILE_VARIABLE)
    done = run(place, file, secret, unlock, ledger_from=ledger_from, further=further)
    if not as_json:
        _print_restored(done, place)
        return
    table = {
        "site": done.site,
        "patients": done.patients,
        "recordings": done.recordings,
        "closed": list(done.closed),
        "decisions_repeated": done.decided is not None,
        "backup_until": done.until,
    }
    typer.echo(json.dumps({"schema": "gaitkeeper.restored/1", **table}))


def _print_restored(done: Restored, place: SiteHome) -> None:
    typer.echo(
        f"Site {done.site} is restored in {place.path}: {done.patients} patient(s), {done.recordings} recording(s)."
    )
    if done.decided is None:
        typer.echo(
            f"Everybody is as they were on {done.until or 'the day of the backup'}: who was erased since is back, and"
        )
        typer.echo("consents that were withdrawn since are in force. Repeat both before the site starts:")
        typer.echo("gaitkeeper site erase PATIENT; gaitkeeper site consent PATIENT --withdraw training")
    else:
        again = f"{len(done.decided.erased)} erasure(s) and {len(done.decided.consents)} decision(s) on consent"
        typer.echo(f"The old machine's audit log goes on here; {again} of after the backup are in force.")
    if done.closed:
        typer.echo("Counted as spent to their end, since nobody knows what was spent after the backup:")
        for name in done.closed:
            typer.echo(f"  {name}")


def _stopped(home: Path | None, what: str) -> tuple[SiteHome, SiteKey, str | None]:
    """A site that does not run, with its key and the passphrase around it. Raises ``site-is-running``."""
    from gaitkeeper_client.agent.supervisor import is_running
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import current_key, read_passphrase

    place = SiteHome.resolve(home)
    mode = place.config().key_mode
    if is_running(place):
        raise GaitkeeperError("site-is-running", path=place.path, what=what)
    secret = read_passphrase("Passphrase of this site: ") if mode == "passphrase" else None
    return place, current_key(place, secret), secret
