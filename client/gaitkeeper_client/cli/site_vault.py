"""``gaitkeeper site`` init, ingest and patients: the site's own data."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper site``."""
