"""``gaitkeeper coordinator`` promote, deployments and rollback: the model's way back to the sites."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper coordinator``."""
