"""``gaitkeeper export``: a walk, cleaned and analysed, in another program's format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gaitkeeper_client.cli import source_options as given
from gaitkeeper_shared.errors import GaitkeeperError

app = typer.Typer()


@app.command()
def export(
    recording: Annotated[Path, typer.Argument(metavar="RECORDING")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="c3d, trc, mot, csv or motion-bids.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="PATH", help="Where it goes. By default RECORDING's name, -gait."),
    ] = None,
    height: Annotated[
        float | None,
        typer.Option("--height", metavar="M", help="The walker's height in metres: gives a video's lengths a scale."),
    ] = None,
    rate: given.Rate = None,
    size: given.Size = None,
    mapping: given.MappingFile = None,
    person: given.Person = None,
    estimator: given.Estimator = None,
    skeleton: given.SkeletonName = None,
) -> None:
    """Write a walk's cleaned trajectories, angles and events as C3D, TRC, MOT, CSV or Motion-BIDS.

    RECORDING is any that ``gaitkeeper analyze`` takes. TRC holds joints alone, MOT angles alone, the others all. Exit
    status: 0 written, 3 the walk was refused, 2 the file or an option cannot be used.
    """
    from gaitkeeper_client.cli.output import progress
    from gaitkeeper_client.lab.export.formats import export as write
    from gaitkeeper_client.lab.export.formats import format_of
    from gaitkeeper_client.lab.options import check_options
    from gaitkeeper_client.sources import analyse_file

    suffix = format_of(to).suffix or "-bids"
    options = check_options(rate=rate, size=size, mapping=mapping, person=person)
    network = given.estimator_choice(estimator, skeleton)
    with progress(recording.name) as on_progress:
        analysis = analyse_file(recording, height_m=height, on_progress=on_progress, options=options, estimator=network)
    if analysis.recording is None:
        reasons = " ".join(reason.message for reason in analysis.reasons)
        raise GaitkeeperError("export-refused", path=recording, reasons=reasons)
    folder = given.result_folder(recording)
    place = output if output is not None else folder.with_name(f"{folder.name}{suffix}")
    write(analysis.recording, to, place)
    typer.echo(str(place))
