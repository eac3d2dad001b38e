"""``gaitkeeper site`` start and status: the running site."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gaitkeeper_client.cli.site_vault import Home
from gaitkeeper_shared.errors import GaitkeeperError


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper site``."""
    app.command()(start)
    app.command()(status)


def start(home: Home = None) -> None:
    """Run the site until it is stopped: it trains approved studies and follows signed releases."""
    import threading

    from gaitkeeper_client.agent.supervisor import SiteService
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import current_key, read_passphrase
    from gaitkeeper_client.vault.retention import apply_retention, retention_policy
    from gaitkeeper_client.vault.store import Vault

    place = SiteHome.resolve(home)
    passphrase = None
    if place.config().key_mode == "passphrase":
        passphrase = read_passphrase("Passphrase of this site: ")
    with Vault.open(place, current_key(place, passphrase)) as vault:
        apply_retention(place, vault, retention_policy(place))
    service = SiteService(place, lambda line: print(line, flush=True), passphrase=passphrase)
    service.run(threading.Event())


def status(
    home: Home = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Say whether the site runs, what it approved, what it spent, and which model it runs."""
    from dataclasses import asdict

    from gaitkeeper_client.agent.status import site_status
    from gaitkeeper_client.vault.home import SiteHome

    found = site_status(SiteHome.resolve(home))
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    running = ("running" if found.ready else "starting, or waiting for its coordinator") if found.running else "stopped"
    typer.echo(f"Site {found.site}: {running}")
    reach = {True: "reachable", False: f"not reachable: {found.contact_detail}", None: "not asked, the site is stopped"}
    typer.echo(f"Coordinator {found.coordinator}: {reach[found.reachable]}" if found.coordinator else "Not enrolled.")
    for study in found.studies:
        approved = "approved" if study.approved else "not approved"
        typer.echo(
            f"Study {study.name} ({study.hash[:12]}): {approved}; spent by a patient trained on: "
            f"epsilon {study.epsilon_spent:.2f} of {study.epsilon:g} at delta {study.delta:g}"
        )
    if found.last_round is not None:
        last = found.last_round
        typer.echo(f"Last round: {last.round} of run {last.run}, {last.at}")
    release = f"version {found.active_release}" if found.active_release is not None else "none"
    typer.echo(f"Active release: {release}")
    if found.active_release is not None:
        typer.echo(f"Its explanations: {found.explanations or 'not tested yet; the running site does it by itself'}")
    if found.waiting_reports is not None:
        typer.echo(f"Reports that wait for the FHIR server: {found.waiting_reports}")
    for chore in found.chores:
        detail = f", {chore.detail}" if chore.detail else ""
        typer.echo(f"Last chore '{chore.name}': {chore.state} at {chore.at}{detail}")
    for problem in found.problems:
        typer.secho(problem, fg="red", err=True)
    if found.problems:
        raise GaitkeeperError("site-has-problems", count=len(found.problems))
