"""``gaitkeeper site`` certify: are the explanations of the release that runs here to be trusted?"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gaitkeeper_client.cli.site_vault import AsJson, Home
from gaitkeeper_shared.errors import EXIT_REFUSED


def register(app: typer.Typer) -> None:
    """Add this command to ``gaitkeeper site``."""
    app.command()(certify)


def certify(
    home: Home = None,
    again: Annotated[bool, typer.Option("--again", help="Test anew what was tested before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Test the explanations of the active release on simulated walks (docs/explanations.md), once for its weights.

    Takes a minute or so; reports show the outcome. Exit status 3: the explanations failed, and reports say so.
    """
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from gaitkeeper_client.explained.at_site import certify_active
    from gaitkeeper_client.insight.certificate_view import view_of
    from gaitkeeper_client.vault.home import SiteHome

    place = SiteHome.resolve(home)
    place.config()
    done = certify_active(place, again=again, on_progress=None if as_json else _say)
    if as_json:
        typer.echo(json.dumps({**done.certificate.to_json(), "version": done.version}, indent=2))
    else:
        view = view_of(done.certificate)
        typer.echo(f"Release {done.version}. {view.verdict}")
        for text, passed in view.checks:
            typer.echo(f"  {'passed' if passed else 'FAILED'}: {text}")
    if done.certificate.status == "failed":
        raise typer.Exit(EXIT_REFUSED)


def _say(step: str) -> None:
    typer.echo(f"  {step} ...", err=True)
