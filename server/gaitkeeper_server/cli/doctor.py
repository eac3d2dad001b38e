"""``gaitkeeper coordinator doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this command to ``gaitkeeper coordinator``."""
    app.command()(doctor)


def doctor(
    home: Annotated[
        Path | None,
        typer.Option(
            help="The coordinator's folder [default: GAITKEEPER_COORDINATOR_HOME, or the user's data folder].",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Find what is wrong with it, and how to mend it. Changes nothing; exits with 4 if something is ill."""
    from gaitkeeper_server.doctor import diagnose
    from gaitkeeper_server.home import CoordinatorHome
    from gaitkeeper_shared.doctor_words import show

    show(diagnose(CoordinatorHome.resolve(home)), as_json=as_json)
