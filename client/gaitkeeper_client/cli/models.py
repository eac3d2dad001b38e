"""``gaitkeeper models``: the pose networks that this installation holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Install and list the pose networks that videos are read with.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps ``install`` a sub-command."""


@app.command()
def install(
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing unless something is wrong.")] = False,
    wheel: Annotated[
        Path | None,
        typer.Option("--from", help="A mediapipe 0.10.21 wheel fetched by hand, for machines without a network."),
    ] = None,
) -> None:
    """Fetch the pose weights (36 MB, once), check and keep them in the cache."""
    from gaitkeeper_client.pose import weights

    fresh = weights.install(wheel)
    if not quiet:
        typer.echo(
            f"{weights.ESTIMATOR_NAME}: {'installed' if fresh else 'already installed'} in {weights.task_path()}"
        )


@app.command("list")
def list_() -> None:
    """Say which pose networks are installed and where."""
    from gaitkeeper_client.pose import weights

    state = "installed" if weights.installed() else "missing (run: gaitkeeper models install)"
    typer.echo(f"{weights.ESTIMATOR_NAME}  {state}  {weights.task_path()}")
