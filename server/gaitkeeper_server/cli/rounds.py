"""``gaitkeeper coordinator`` start, train and runs: the federation at work."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper coordinator``."""
