"""``gaitkeeper validate``: events and angles against what a laboratory measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from gaitkeeper_client.cli import source_options as given
from gaitkeeper_shared.errors import GaitkeeperError

app = typer.Typer()
Reference = Annotated[
    Path | None,
    typer.Option(
        "--reference",
        metavar="FILE",
        help="Another measurement: forces or angles (.mot, .sto, .forces), a C3D, or a simulation's truth (.json).",
    ),
]
_EVENT_COLUMNS = {
    "n": "n",
    "found": "found",
    "false": "false",
    "f1_50ms": "F1 at 50 ms",
    "bias_ms": "bias ms",
    "mae_ms": "MAE ms",
    "p95_ms": "95 % ms",
}
_ANGLE_COLUMNS = {
    "cycles": "cycles",
    "rmse_deg": "RMSE deg",
    "rmse_without_offset_deg": "without offset",
    "range_difference_deg": "range difference",
}


@app.command()
def validate(
    recordings: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="C3D, TRC, BVH..., or a video with --reference.")
    ],
    reference: Reference = None,
    height: given.Height = None,
    rate: given.Rate = None,
    size: given.Size = None,
    mapping: given.MappingFile = None,
    person: given.Person = None,
    static: given.Static = None,
    estimator: given.Estimator = None,
    skeleton: given.SkeletonName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Write validation.json and validation.html there.")
    ] = None,
) -> None:
    """Compare foot strikes, foot offs and joint angles with force plates (20 N), a laboratory's events or its angles.

    Without --reference each file is compared with what it holds itself; of several, those that cannot be used are named
    and left out. What a file does not say of itself is given as to ``gaitkeeper analyze``, for all of them alike.

    Exit status: 0 compared, 2 nothing could be compared.
    """
    if reference is not None and len(recordings) > 1:
        raise GaitkeeperError("validation-many-references", count=len(recordings))
    from gaitkeeper_client.lab.options import check_options
    from gaitkeeper_client.validation.validate import LeftOut, Said, summary, validate_file, validate_files

    options = replace(
        check_options(rate=rate, size=size, mapping=mapping, person=person, static=static), height_m=height
    )
    said = Said(options, given.estimator_choice(estimator, skeleton))
    if len(recordings) == 1:
        results, left_out = [validate_file(recordings[0], reference, said=said)], list[LeftOut]()
    else:
        results, left_out = validate_files(recordings, said)
    document = summary(results, left_out)
    if output is not None:
        from gaitkeeper_client.validation.page import write_validation

        write_validation(output, results, document)
    if as_json:
        typer.echo(json.dumps(document, indent=2, allow_nan=False))
    else:
        _print(document)
        if output is not None:
            typer.echo(f"{output / 'validation.json'}\n{output / 'validation.html'}")


def _print(document: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console()
    kinds = {kind: document[kind] for kind in ("foot_strike", "foot_off")}
    console.print(_table("event", kinds, _EVENT_COLUMNS))
    if document["angles"]:
        console.print(_table("angle", document["angles"], _ANGLE_COLUMNS))
    if document["planes"]:
        console.print(_table("angle in three planes", document["planes"], _ANGLE_COLUMNS))
    for file in document["files"]:
        console.print(f"[dim]{file['name']}: against {file['reference']}, events by {file['event_method']}[/dim]")
        for note in file["notes"]:
            console.print(f"[dim]    {note}[/dim]")
    for file in document["left_out"]:
        console.print(f"left out {file['name']} ({file['code']}): {file['why']}", markup=False)


def _table(first: str, rows: dict[str, Any], columns: dict[str, str]) -> Any:
    from rich.table import Table

    table = Table(first, *columns.values(), box=None, pad_edge=False)
    for name, row in rows.items():
        table.add_row(name, *("-" if row[key] is None else f"{row[key]:g}" for key in columns))
    return table
