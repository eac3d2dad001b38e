"""``gaitkeeper site`` clinician: who may sign reports at this site."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gaitkeeper_client.cli.site_vault import AsJson, Home

Name = Annotated[str, typer.Argument(metavar="NAME", help="Short and unique at the site, such as dr.adams.")]

app = typer.Typer(no_args_is_help=True, help="The clinicians who may sign reports at this site.")


def register(site: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper site``."""
    site.add_typer(app, name="clinician")


@app.command()
def add(
    name: Name, role: Annotated[str, typer.Option(help="Such as 'neurologist'; it is signed.")], home: Home = None
) -> None:
    """Make a signing key for a clinician, who chooses its passphrase (or GAITKEEPER_NEW_CLINICIAN_PASSPHRASE_FILE)."""
    from gaitkeeper_client.signing.clinicians import NEW_PASSPHRASE_VARIABLE, add_clinician
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import read_passphrase

    place = SiteHome.resolve(home)
    place.config()
    prompt = f"New passphrase of {name} (at least 12 characters): "
    secret = read_passphrase(prompt, confirm=True, variable=NEW_PASSPHRASE_VARIABLE)
    made = add_clinician(place, name, role, secret)
    typer.echo(f"{made.name} ({made.role}) may sign; key {made.key.key_id}.")
    typer.echo("Nobody can recover a lost passphrase.")


@app.command("list")
def list_clinicians(home: Home = None, as_json: AsJson = False) -> None:
    """List who may sign, and who could."""
    from gaitkeeper_client.signing.clinicians import clinicians
    from gaitkeeper_client.vault.home import SiteHome

    place = SiteHome.resolve(home)
    place.config()
    found = clinicians(place)
    if as_json:
        rows = [
            {
                "name": one.name,
                "role": one.role,
                "key": one.key.key_id,
                "added_at": one.added_at,
                "withdrawn_at": one.withdrawn_at,
            }
            for one in found
        ]
        typer.echo(json.dumps({"schema": "gaitkeeper.clinicians/1", "clinicians": rows}, indent=2))
        return
    for one in found:
        state = f"withdrawn {one.withdrawn_at}" if one.withdrawn_at else "may sign"
        typer.echo(f"{one.name}  {one.role}  {one.key.key_id}  {state}")
    typer.echo(f"{len(found)} clinician(s).")


@app.command()
def passphrase(name: Name, home: Home = None) -> None:
    """Change the passphrase of a clinician's signing key: the old one is asked for, then the new one, twice.

    GAITKEEPER_CLINICIAN_PASSPHRASE_FILE and GAITKEEPER_NEW_CLINICIAN_PASSPHRASE_FILE may name files that hold them.
    The key stays, and whatever it signed. A backup from before still opens with the old passphrase.
    """
    from gaitkeeper_client.signing.clinicians import (
        NEW_PASSPHRASE_VARIABLE,
        PASSPHRASE_VARIABLE,
        change_passphrase,
        unlock_clinician,
    )
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import read_passphrase

    place = SiteHome.resolve(home)
    place.config()
    old = read_passphrase(f"Present passphrase of {name}: ", variable=PASSPHRASE_VARIABLE)
    unlock_clinician(place, name, old)  # a wrong one is told before anybody thinks of a new one
    prompt = f"New passphrase of {name} (at least 12 characters): "
    new = read_passphrase(prompt, confirm=True, variable=NEW_PASSPHRASE_VARIABLE)
    changed = change_passphrase(place, name, old, new)
    typer.echo(f"The new passphrase of {changed.name} is in force; key {changed.key.key_id} is the same.")
    typer.echo("Nobody can recover a lost passphrase.")


@app.command()
def withdraw(name: Name, home: Home = None) -> None:
    """Let a clinician sign no more. What was signed stays signed."""
    from gaitkeeper_client.signing.clinicians import withdraw_clinician
    from gaitkeeper_client.vault.home import SiteHome

    gone = withdraw_clinician(SiteHome.resolve(home), name)
    typer.echo(f"{gone.name} signs no more at this site since {gone.withdrawn_at}.")
