"""``gaitkeeper site doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this command to ``gaitkeeper site``."""
    app.command()(doctor)


def doctor(
    home: Annotated[
        Path | None,
        typer.Option(
            help="The site's folder [default: GAITKEEPER_SITE_HOME, or the user's data folder].", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Find what is wrong with this site, and how to mend it. Changes nothing; exits with 4 if something is ill."""
    from gaitkeeper_client.agent.doctor import diagnose
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_shared.doctor_words import show

    show(diagnose(SiteHome.resolve(home)), as_json=as_json)
