"""What ``analyze`` and ``site analyze`` share: progress on a terminal, results on the disk, a table to read."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from rich.progress import Progress

    from gaitkeeper_client.gait.analysis import Analysis, Parameter
    from gaitkeeper_client.insight.findings import Findings
    from gaitkeeper_client.insight.standing import Standing
    from gaitkeeper_client.insight.view import PatientContext


@contextmanager
def progress(name: str) -> Iterator[Callable[[int, int], None] | None]:
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


@contextmanager
def bars(as_json: bool, *, time_left: bool = False) -> Iterator[Progress | None]:
    """Room for progress bars on the error stream where a terminal looks on; None for programs and files. ``time_left``:
    guess it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        yield None
        return
    left = (TimeRemainingColumn(),) if time_left else ()
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *left, console=console) as made:
        yield made


def write_results(
    folder: Path,
    analysis: Analysis,
    findings: Findings | None = None,
    patient: PatientContext | None = None,
    *,
    standing: Standing | None = None,
    pdf: bool = False,
) -> str:
    """Write ``analysis.json``, ``report.html`` and, if asked, ``report.pdf``, each whole or not at all; gives the JSON
    text. ``standing``: a draft unless given.

    Raises ``analysis-unwritable`` or ``disk-full``.
    """
    from gaitkeeper_client.insight.report import UNNAMED, write_page, write_report
    from gaitkeeper_client.insight.standing import DRAFT
    from gaitkeeper_shared.durable import write_durably

    document: dict[str, Any] = analysis.to_json()
    if findings is not None:
        document["findings"] = findings.to_json()
    document["report"] = (standing or DRAFT).to_json()
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / "analysis.json", text.encode("utf-8"))
        about, state = patient or UNNAMED, standing or DRAFT
        write_report(analysis, folder / "report.html", findings, patient=about, standing=state)
        if pdf:
            from gaitkeeper_client.insight.pdf_report import render_report_pdf

            page = render_report_pdf(analysis, findings, patient=about, standing=state)
            write_page(folder / "report.pdf", page)
    except OSError as error:
        raise GaitkeeperError("analysis-unwritable", path=folder, detail=error.strerror or str(error)) from error
    return text


def print_results(folder: Path, remark: str = "", *, pdf: bool = False, others: Iterable[Path] = ()) -> None:
    """Where the results are, and what was written beside them."""
    import typer

    for name in ("analysis.json", "report.html", *(("report.pdf",) if pdf else ())):
        typer.echo(f"{folder / name}{'' if name == 'analysis.json' else remark}")
    for path in others:
        typer.echo(str(path))


def print_analysis(analysis: Analysis) -> None:
    """Parameters as a table, or why there are none."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for reason in analysis.reasons:
        console.print(f"[bold]Refused[/bold] ({reason.code}): {escape(reason.message)}")
    if analysis.status != "analysed":
        return
    table = Table("parameter", "value", "95 % interval", "n", box=None, pad_edge=False)
    withheld: dict[str, dict[str, str]] = {}
    for name, parameter in analysis.parameters.items():
        if parameter.refused is not None:
            withheld.setdefault(parameter.refused.code, {})[name] = parameter.refused.message
        elif parameter.value is not None:
            table.add_row(name, *_cells(parameter, parameter.value), str(parameter.n))
    console.print(table)
    for code, messages in withheld.items():
        why = next(iter(messages.values())) if len(set(messages.values())) == 1 else "The report says why for each."
        console.print(f"[dim]Withheld ({code}): {', '.join(messages)}. {escape(why)}[/dim]")
    for note in analysis.source.get("notes", ()):
        console.print(f"[dim]Note: {escape(note)}[/dim]")


def _cells(parameter: Parameter, value: float) -> tuple[str, str]:
    places = 3 if parameter.unit in ("m", "s") else 2
    interval = "" if parameter.ci95 is None else f"{parameter.ci95[0]:.{places}f} to {parameter.ci95[1]:.{places}f}"
    unit = "" if parameter.unit == "1" else parameter.unit  # a ratio has none
    return f"{value:.{places}f} {unit}".rstrip(), interval
