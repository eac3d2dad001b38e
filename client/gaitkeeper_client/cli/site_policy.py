"""``gaitkeeper site policy``: what a consortium may do here at most."""

from __future__ import annotations

from typing import Annotated

import typer

from gaitkeeper_client.cli.site_vault import Home


def register(app: typer.Typer) -> None:
    """Add this command to ``gaitkeeper site``."""
    app.command()(policy)


def policy(
    home: Home = None,
    write: Annotated[bool, typer.Option("--write", help="Write the default policy where there is none.")] = False,
) -> None:
    """Check the site's policy (policy.toml), say it in plain words, and judge each approved study by it."""
    from gaitkeeper_client.agent.approval import study_verdicts
    from gaitkeeper_client.consortium.policy import in_plain_words, load_policy, write_default_policy
    from gaitkeeper_client.vault.home import SiteHome

    place = SiteHome.resolve(home)
    place.config()
    if write:
        write_default_policy(place)
    rules = load_policy(place)
    typer.echo(f"Policy: {place.policy_file}")
    for line in in_plain_words(rules):
        typer.echo(f"  {line}")
    words = {"not approved": "not approved here", "may train": "may train now"}
    for verdict in study_verdicts(place):
        typer.echo(f"Study {verdict.study}: {words.get(verdict.state, f'refused. {verdict.detail}')}")
