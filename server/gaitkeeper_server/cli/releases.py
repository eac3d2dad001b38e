"""``gaitkeeper coordinator`` promote, deployments and rollback: the model's way back to the sites."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gaitkeeper_server.cli.door import enter
from gaitkeeper_server.cli.output import minute, print_table
from gaitkeeper_server.cli.setup import AsJson, Home

Sites = Annotated[
    str, typer.Option(help="Names with commas between, or 'all' for every enrolled site.", metavar="NAMES")
]


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper coordinator``."""
    app.command()(promote)
    app.command()(deployments)
    app.command()(rollback)


def promote(
    version: Annotated[int, typer.Argument(min=1, help="A version of 'gaitkeeper coordinator models'.")],
    home: Home = None,
    sites: Sites = "all",
    notes: Annotated[str, typer.Option(help="What the sites should know about it.")] = "",
    hand_out: Annotated[
        Path | None,
        typer.Option(help="Folder for the files that a co-signer needs; nothing is ordered.", show_default=False),
    ] = None,
    signatures: Annotated[
        Path | None, typer.Option(help="What a co-signer sent back (.sig).", show_default=False)
    ] = None,
) -> None:
    """Sign a model version as a release and order sites to run it.

    Where sites ask for more than one signature: --hand-out FOLDER first, and what came back with --signatures FILE.
    """
    from gaitkeeper_server.releases import cosigned
    from gaitkeeper_server.releases.deployments import deploy
    from gaitkeeper_server.releases.promotion import release_from_registry

    place = enter(home, "promote", f"version {version} at {sites}")
    manifest = release_from_registry(place, version, notes=notes)
    if hand_out is not None:
        document, beside, model = cosigned.hand_out(place, version, hand_out)
        typer.echo(f"Send a co-signer {document.name}, {beside.name} and {model.name} from {hand_out}. There:")
        typer.echo(f"  gaitkeeper cosign sign {document.name} --key KEY --model {model.name}")
        return
    if signatures is not None:
        added = cosigned.take_back(place, version, signatures)
        typer.echo(f"Release {version} is also signed by {', '.join(added)}.")
    ordered = deploy(place, version, _names(sites))
    typer.echo(f"Release {version} of {manifest.study} is signed (sha256 {manifest.model_sha256[:12]}).")
    typer.echo(f"Ordered at: {', '.join(ordered)}. See: gaitkeeper coordinator deployments")


def deployments(home: Home = None, as_json: AsJson = False) -> None:
    """Show, for each site, what was ordered, what it said, and what it runs."""
    from gaitkeeper_server.releases.deployments import deployments as all_deployments

    rows = all_deployments(enter(home, "deployments"))
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    if not rows:
        typer.echo("No site is enrolled yet.")
        return
    print_table(
        ("site", "state", "runs", "ordered", "ordered (UTC)", "answered (UTC)"),
        (
            (
                row.site,
                row.state,
                str(row.active_version or "-"),
                str(row.version or "-"),
                minute(row.ordered_at),
                minute(row.acknowledged_at),
            )
            for row in rows
        ),
        folds="site",
    )
    for row in rows:
        if row.state == "refused":
            typer.secho(f"{row.site}: [{row.code}] {row.reason}", fg="red")


def rollback(
    home: Home = None,
    to: Annotated[
        int | None,
        typer.Option(min=1, help="Version to go back to (default: each site's last one).", show_default=False),
    ] = None,
    sites: Sites = "all",
) -> None:
    """Order sites back to an earlier release."""
    from gaitkeeper_server.releases.deployments import roll_back

    place = enter(home, "rollback", f"{'version before' if to is None else f'version {to}'} at {sites}")
    for site, version in roll_back(place, to, _names(sites)).items():
        typer.echo(f"{site}: ordered back to version {version}")


def _names(sites: str) -> tuple[str, ...] | None:
    return None if sites == "all" else tuple(name.strip() for name in sites.split(",") if name.strip())
