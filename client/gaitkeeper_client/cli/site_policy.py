"""``gaitkeeper site policy``: what a consortium may do here at most."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gaitkeeper_client.cli.site_vault import Home
from gaitkeeper_shared.errors import GaitkeeperError


def register(app: typer.Typer) -> None:
    """Add this command to ``gaitkeeper site``."""
    app.command()(policy)


def policy(
    home: Home = None,
    write: Annotated[bool, typer.Option("--write", help="Write the default policy where there is none.")] = False,
) -> None:
    """Check the site's policy (policy.toml), say it in plain words, and judge each approved study by it."""
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
    for line in _verdicts(place.path):
        typer.echo(line)


def _verdicts(path: Path) -> list[str]:
    from gaitkeeper_client.consortium.connection import CoordinatorConnection
    from gaitkeeper_client.consortium.policy import check_training
    from gaitkeeper_client.consortium.studies import known_offers
    from gaitkeeper_client.vault.home import SiteHome

    place = SiteHome(path)
    if CoordinatorConnection.load_or_none(place) is None:
        return []
    verdicts = []
    for offer in known_offers(place).offers:
        if offer.approved_at is None:
            verdicts.append(f"Study {offer.study.name}: not approved here")
            continue
        try:
            check_training(place, offer.study, offer.hash)
            verdicts.append(f"Study {offer.study.name}: may train now")
        except GaitkeeperError as error:
            verdicts.append(f"Study {offer.study.name}: refused. {error.message}")
    return verdicts
