"""``gaitkeeper coordinator`` init, invite, sites and study: the consortium's foundations."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper coordinator``."""
