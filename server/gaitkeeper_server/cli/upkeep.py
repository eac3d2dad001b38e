"""``gaitkeeper coordinator`` backup, restore and prune: the root outlives its machine, and old updates do not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from gaitkeeper_server.cli.door import enter
from gaitkeeper_server.cli.setup import AsJson, Home


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper coordinator``."""
    app.command()(backup)
    app.command()(restore)
    app.command()(prune)


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Write the whole coordinator, keys included, into one encrypted file, and read it back.

    The file opens with a passphrase of its own (GAITKEEPER_BACKUP_PASSPHRASE_FILE or GAITKEEPER_PASSPHRASE_FILE, or
    asked for). Who has both can admit sites and sign in the consortium's name: keep them apart. The service may run
    meanwhile. A damaged coordinator is not backed up.
    """
    from gaitkeeper_server.backup import back_up
    from gaitkeeper_shared.trust.passphrase import read_passphrase

    place = enter(home, "backup", file.name)
    secret = read_passphrase("Passphrase for the backup (at least 12 characters): ", confirm=True, variable=_variable())
    made = back_up(place, file.absolute(), secret)
    if as_json:
        table = {"file": str(made.path), "backup": made.backup_id, "bytes": made.size}
        typer.echo(json.dumps({"schema": "gaitkeeper.coordinator-backup-made/1", **table}))
        return
    typer.echo(f"{made.path}: {made.size} bytes, read back and whole.")
    typer.echo("Keep its passphrase somewhere else. Without it nobody can open the file.")


def restore(
    file: Annotated[Path, typer.Argument(help="A backup that 'gaitkeeper coordinator backup' wrote.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make the coordinator of a backup at --home, where nothing may be yet, and check all of it.

    Sites go on without enrolling again. What happened after the backup is not in it: shut out again whom you revoked
    since, invite again who enrolled or renewed since. Unused invitations end, and runs that were open are paused. Never
    run the old coordinator beside the restored one.
    """
    from gaitkeeper_server.backup import restore as run
    from gaitkeeper_server.home import CoordinatorHome
    from gaitkeeper_shared.trust.certificates import spoken
    from gaitkeeper_shared.trust.passphrase import read_passphrase

    place = CoordinatorHome.resolve(home)
    done = run(place, file, read_passphrase("Passphrase of the backup: ", variable=_variable()))
    states = {
        state: [site.name for site in done.sites if site.state == state] for state in ("enrolled", "invited", "revoked")
    }
    if as_json:
        table = {"name": done.name, "made_at": done.made_at, "root_sha256": done.root_sha256, **states}
        typer.echo(json.dumps({"schema": "gaitkeeper.coordinator-restored/1", **table, "runs_paused": done.paused}))
        return
    typer.echo(f"Coordinator {done.name} is restored in {place.path}, as it was at {done.made_at[:19]}Z.")
    typer.echo(f"Root fingerprint: {spoken(done.root_sha256)}")
    for state, names in states.items():
        typer.echo(f"{state:<9} {', '.join(names) or 'none'}")
    typer.echo("Check that list: what happened after that moment is not in it.")
    for name in done.paused:
        typer.echo(f"Paused: the run {name}. Go on: gaitkeeper coordinator resume {name}")


def prune(
    days: Annotated[float, typer.Option(min=0.0, max=36_500.0, help="Of runs that rest for longer than this.")] = 30.0,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Remove the single updates of runs that are over and registered, and the weights before their last.

    They are the bulk of the journal, and the only thing here that is one site's own. What each site did and spent in
    each round stays, as does the hash of every round; the model is in the registry.
    """
    from datetime import timedelta

    from gaitkeeper_server.daemon import journal_path
    from gaitkeeper_server.rounds.journal import Journal
    from gaitkeeper_server.rounds.retention import prune as run
    from gaitkeeper_shared.trust.clock import utc_now

    place = enter(home, "prune", f"{days:g} days")
    done = run(Journal(journal_path(place)), utc_now() - timedelta(days=days))
    if as_json:
        table = {"updates": done.replies, "weights": done.weights, "bytes": done.size, "shrunk": done.shrunk}
        typer.echo(json.dumps({"schema": "gaitkeeper.journal-pruned/1", **table}))
        return
    typer.echo(f"{done.replies} updates of sites and the weights of {done.weights} rounds removed: {done.size} bytes.")
    if not done.shrunk:
        typer.echo("A run is open: the journal's file keeps that room for the next rounds.")


def _variable() -> str:
    """As for a site's backup; a coordinator has no other passphrase, so that the common variable serves, too."""
    from gaitkeeper_shared.trust.passphrase import BACKUP_PASSPHRASE_FILE_VARIABLE, PASSPHRASE_FILE_VARIABLE

    return next(
        (name for name in (BACKUP_PASSPHRASE_FILE_VARIABLE, PASSPHRASE_FILE_VARIABLE) if os.environ.get(name)),
        BACKUP_PASSPHRASE_FILE_VARIABLE,
    )
