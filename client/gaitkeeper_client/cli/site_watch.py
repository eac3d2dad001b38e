"""``gaitkeeper site watch``: folders and cameras whose recordings are handed in by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gaitkeeper_client.cli.site_vault import Home


def register(app: typer.Typer) -> None:
    """Add this command to ``gaitkeeper site``."""
    app.command()(watch)


def watch(
    schedule: Annotated[
        Path, typer.Option("--schedule", metavar="FILE.csv", help="Who walks where and when (docs/console.md).")
    ],
    folder: Annotated[
        list[Path] | None, typer.Option("--folder", help="A folder that recordings are put into; may be repeated.")
    ] = None,
    camera: Annotated[
        list[str] | None,
        typer.Option("--camera", help="A camera that site.toml names in its table cameras; may be repeated."),
    ] = None,
    home: Home = None,
    every: Annotated[float, typer.Option(min=0.2, max=3600.0, help="Seconds between two looks at a folder.")] = 5.0,
    once: Annotated[
        bool, typer.Option("--once", help="Look twice, hand in what lies still, analyse it, and end.")
    ] = False,
) -> None:
    """Hand in what arrives in folders, and keep the walks that cameras see, for the patient whom the schedule names.

    What belongs to nobody is counted and passed over; of a camera's frames nothing is kept but the walker's points.
    Only patients who are in the vault and agreed to care, unless the schedule gives their consent. A file that lies in
    two patients' time is nobody's. Results are on the console's page of today; this command analyses them itself, too,
    so that it needs no console to run.
    """
    from gaitkeeper_client.console.context import Console
    from gaitkeeper_client.console.settings import console_settings
    from gaitkeeper_client.console.watching import watch_folders
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import current_key, read_passphrase
    from gaitkeeper_shared.errors import GaitkeeperError

    place = SiteHome.resolve(home)
    sealed = place.config().key_mode == "passphrase"
    if not (folder or camera) or (camera and once):
        raise GaitkeeperError("watch-nothing")
    passphrase = read_passphrase("Passphrase of this site: ") if sealed else None
    console = Console.of(place, current_key(place, passphrase), console_settings(place))
    tally = watch_folders(
        console,
        folder or (),
        schedule,
        lambda line: print(line, flush=True),
        every_s=every,
        once=once,
        cameras=camera or (),
        passphrase=passphrase,
    )
    typer.echo(str(tally))
