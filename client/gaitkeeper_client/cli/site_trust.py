"""``gaitkeeper site`` enrol, studies and approve: what a site agrees to."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper site``."""
