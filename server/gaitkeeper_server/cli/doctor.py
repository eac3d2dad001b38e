"""``gaitkeeper coordinator doctor``."""

from __future__ import annotations

import typer

from gaitkeeper_server.cli.door import enter
from gaitkeeper_server.cli.setup import AsJson, Home


def register(app: typer.Typer) -> None:
    """Add this command to ``gaitkeeper coordinator``."""
    app.command()(doctor)


def doctor(
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with it, and how to mend it. Changes nothing; exits with 4 if something is ill."""
    from gaitkeeper_server.doctor import diagnose
    from gaitkeeper_shared.doctor_words import show

    show(diagnose(enter(home, "doctor")), as_json=as_json)
