"""``gaitkeeper coordinator`` models: the versions in the registry."""

from __future__ import annotations

import json
import textwrap

import typer

from gaitkeeper_server.cli.door import enter
from gaitkeeper_server.cli.output import minute
from gaitkeeper_server.cli.setup import AsJson, Home


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper coordinator``."""
    app.command()(models)


def models(
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the registered versions of the model, the newest first."""
    from dataclasses import asdict

    from gaitkeeper_server.registry import Registry

    registry = Registry(enter(home, "models"))
    versions = registry.versions()[::-1]
    if as_json:
        items = [{**asdict(item), "metrics": dict(item.metrics), "parents": list(item.parents)} for item in versions]
        typer.echo(json.dumps(items, indent=2))
        return
    if not versions:
        typer.echo("No model version yet. One is registered when a run has ended: gaitkeeper coordinator train STUDY")
    for item in versions:
        metrics = ", ".join(f"{name} {value:.3g}" for name, value in sorted(item.metrics.items()))
        typer.echo(f"{item.version}  {item.study_name}  {minute(item.created_at)} UTC  sha256 {item.sha256[:12]}")
        words = f"run {item.run}" + (f": {metrics}" if metrics else "")
        typer.echo(textwrap.fill(words, 80, initial_indent="   ", subsequent_indent="   ", break_on_hyphens=False))
    if registry.embedded:
        typer.echo(f"To browse: mlflow ui --backend-store-uri {registry.tracking_uri}")
