"""``gaitkeeper analyze``: one recording, one report."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gaitkeeper_shared.errors import EXIT_REFUSED, GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.gait.analysis import Analysis

app = typer.Typer()


@app.command()
def analyze(
    recording: Annotated[Path, typer.Argument(metavar="VIDEO", help="A video file, or a BVH file of a laboratory.")],
    height: Annotated[
        float | None,
        typer.Option("--height", metavar="M", help="The walker's height in metres: gives lengths a scale."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Where the results go. [default: VIDEO's name-gait]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the analysis as JSON and nothing else.")] = False,
) -> None:
    """Measure the walk in a recording: analysis.json and report.html.

    Exit status: 0 analysed, 3 refused with reasons, 2 the file cannot be used.
    """
    from gaitkeeper_client.sources import analyse_file

    with _progress(recording.name) as on_progress:
        analysis = analyse_file(recording, height_m=height, on_progress=on_progress)
    folder = output if output is not None else Path(f"{recording.stem}-gait")
    document = json.dumps(analysis.to_json(), indent=2, allow_nan=False) + "\n"
    _write(folder, document, analysis)
    if as_json:
        typer.echo(document, nl=False)
    else:
        _print(analysis, folder)
    if analysis.status == "refused":
        raise typer.Exit(EXIT_REFUSED)


def _write(folder: Path, document: str, analysis: Analysis) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_whole(folder / "analysis.json", document)
        from gaitkeeper_client.insight.report import write_report

        write_report(analysis, folder / "report.html")
    except OSError as error:
        raise GaitkeeperError("analysis-unwritable", path=folder, detail=error.strerror or str(error)) from error


def _write_whole(path: Path, text: str) -> None:
    # Written beside its place, flushed and renamed: a reader sees the whole file or none.
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on the error stream where a terminal looks on, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, TimeRemainingColumn

    # A descriptor of its own: the pose library's log lines are kept off descriptor 2 while it works.
    with (
        os.fdopen(os.dup(2), "w", encoding="utf-8") as terminal,
        Progress(*Progress.get_default_columns()[:3], TimeRemainingColumn(), console=Console(file=terminal)) as bar,
    ):
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def _print(analysis: Analysis, folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for reason in analysis.reasons:
        console.print(f"[bold]Refused[/bold] ({reason.code}): {reason.message}")
    if analysis.status == "analysed":
        table = Table("parameter", "value", "95 % interval", "n", box=None, pad_edge=False)
        for name, parameter in analysis.parameters.items():
            table.add_row(name, *_cells(parameter), str(parameter.n))
        console.print(table)
        for message in dict.fromkeys(p.refused.message for p in analysis.parameters.values() if p.refused):
            console.print(f"[dim]- {message}[/dim]")
    console.print(f"{folder / 'analysis.json'}\n{folder / 'report.html'}", soft_wrap=True)


def _cells(parameter: Any) -> tuple[str, str]:
    if parameter.value is None:
        return "withheld", parameter.refused.code
    interval = "" if parameter.ci95 is None else f"{parameter.ci95[0]:.2f} to {parameter.ci95[1]:.2f}"
    return f"{parameter.value:.2f} {parameter.unit}", interval
