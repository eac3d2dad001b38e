"""``gaitkeeper coordinator backup`` and ``restore``: the consortium's root outlives its machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from gaitkeeper_server.cli.setup import AsJson, Home


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper coordinator``."""
    app.command()(backup)
    app.command()(restore)


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
    from gaitkeeper_server.home import CoordinatorHome
    from gaitkeeper_shared.trust.passphrase import read_passphrase

    place = CoordinatorHome.resolve(home)
    place.config()
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


def _variable() -> str:
    """As for a site's backup; a coordinator has no other passphrase, so that the common variable serves, too."""
    from gaitkeeper_shared.trust.passphrase import BACKUP_PASSPHRASE_FILE_VARIABLE, PASSPHRASE_FILE_VARIABLE

    return next(
        (name for name in (BACKUP_PASSPHRASE_FILE_VARIABLE, PASSPHRASE_FILE_VARIABLE) if os.environ.get(name)),
        BACKUP_PASSPHRASE_FILE_VARIABLE,
    )
