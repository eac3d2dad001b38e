"""``gaitkeeper demo``: watch the whole mission happen, with real servers, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    directory: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    video: Annotated[
        Path | None, typer.Option(help="End with this video of a walk instead of a synthetic patient.")
    ] = None,
    patients: Annotated[int, typer.Option(min=2, help="Synthetic patients per clinic.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of training.")] = 5,
) -> None:
    """Three clinics learn from walking videos, and the model comes back: the whole of Gaitkeeper in a few minutes."""
    from importlib.util import find_spec

    from rich.console import Console

    from gaitkeeper_shared.demo.stage import Stage
    from gaitkeeper_shared.demo.story import Demo, play, prepare_folder
    from gaitkeeper_shared.errors import GaitkeeperError

    if find_spec("mediapipe") is None or find_spec("mlflow") is None:
        raise GaitkeeperError("extra-missing", command="demo", extra="all")
    if video is not None and not video.is_file():
        raise GaitkeeperError("video-not-found", path=video)
    prepare_folder(directory)
    console = Console()
    with Stage(directory, console) as stage:
        summary = play(Demo(stage, directory, patients, rounds, video))
    console.print(f"\n[bold green]All done[/] in {summary['seconds']['total']:.0f} s; every server has ended.")
    console.print(f"  The clinician's report   {directory / 'report' / 'report.html'}", highlight=False)
    console.print(f"  The figures              {directory / 'summary.json'}", highlight=False)
    console.print("  The model's versions     mlflow ui --backend-store-uri sqlite:///", end="", highlight=False)
    console.print(f"{directory / 'coordinator' / 'mlflow' / 'mlflow.sqlite'}", highlight=False)
    console.print("  The servers' logs        " + str(directory / "logs"), highlight=False)
