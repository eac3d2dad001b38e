"""The way into a coordinator's folder for every command: the folder is there, and the person may do this."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from gaitkeeper_server.home import CoordinatorHome


def enter(option: Path | None, command: str, subject: object = "") -> CoordinatorHome:
    """The coordinator that is asked for. Raises ``coordinator-missing``, ``role-needed`` and what goes with it."""
    from gaitkeeper_server.home import CoordinatorHome

    home = CoordinatorHome.resolve(option)
    home.config()
    _pass(home, command, subject)
    return home


def _pass(home: CoordinatorHome, command: str, subject: object = "") -> None:
    """Let ``command`` pass at a folder that is known, and say so where the audit log did not take it."""
    from gaitkeeper_server.persons.roles import enter as enter_as

    if (unlogged := enter_as(home, command, str(subject)).unlogged) is not None:
        typer.secho(f"Done without an entry in the audit log: {unlogged.message}", fg="yellow", err=True)


def enter_where_made(option: Path | None, command: str, subject: object = "") -> CoordinatorHome:
    """As :func:`enter`; a folder in which no coordinator was made yet, a registry's only, has nobody's roles to ask."""
    from gaitkeeper_server.home import CoordinatorHome

    home = CoordinatorHome.resolve(option)
    if home.config_file.exists():
        _pass(home, command, subject)
    return home
