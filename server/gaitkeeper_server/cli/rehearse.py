"""``gaitkeeper coordinator`` rehearse: a study tried out on data the coordinator may see."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper coordinator``."""
