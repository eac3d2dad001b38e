"""``gaitkeeper site doctor``."""

from __future__ import annotations

import typer

from gaitkeeper_client.cli.site_vault import AsJson, Home


def register(app: typer.Typer) -> None:
    """Add this command to ``gaitkeeper site``."""
    app.command()(doctor)


def doctor(
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with this site, and how to mend it. Changes nothing; exits with 4 if something is ill."""
    from gaitkeeper_client.agent.doctor import diagnose
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_shared.doctor_words import show

    show(diagnose(SiteHome.resolve(home)), as_json=as_json)
