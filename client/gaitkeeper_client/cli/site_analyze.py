"""``gaitkeeper site`` analyze with the deployed model."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper site``."""
