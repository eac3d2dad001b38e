"""``gaitkeeper analyze``: one recording, one report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gaitkeeper_client.cli import exchange_options as beside
from gaitkeeper_client.cli import source_options as given
from gaitkeeper_shared.errors import EXIT_REFUSED

Output = Annotated[
    Path | None,
    typer.Option("--output", metavar="DIR", help="Where the results go. By default RECORDING's name, -gait."),
]
app = typer.Typer()


@app.command()
def analyze(
    recording: Annotated[Path, typer.Argument(metavar="RECORDING")],
    height: given.Height = None,
    age: given.Age = None,
    sex: given.Sex = None,
    aid: given.Aid = None,
    rate: given.Rate = None,
    size: given.Size = None,
    mapping: given.MappingFile = None,
    person: given.Person = None,
    static: given.Static = None,
    speed: given.Speed = None,
    estimator: given.Estimator = None,
    skeleton: given.SkeletonName = None,
    output: Output = None,
    fhir: beside.FhirFile = None,
    dicom: beside.DicomFile = None,
    tables: beside.TablesFormat = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Write report.pdf, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the analysis as JSON and nothing else.")] = False,
) -> None:
    """Measure the walk in a recording: analysis.json and report.html.

    RECORDING is a video; a laboratory's C3D, TRC, BVH, MOT, STO or Motive CSV; OpenPose's folder of JSON files; a table
    of DeepLabCut or of landmarks; or a series of foot forces (docs/sources.md).

    Exit status: 0 analysed, 3 refused with reasons, 2 the file or an option cannot be used.
    """
    # Before NumPy is loaded: its matrices are small here, and threads that wait for more take the pose network's time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from gaitkeeper_client.cli.output import print_analysis, print_results, progress, write_results
    from gaitkeeper_client.lab.options import check_options
    from gaitkeeper_client.sources import analyse_file

    beside.check_tables(tables)
    options = check_options(rate=rate, size=size, mapping=mapping, person=person, speed=speed, aid=aid, static=static)
    walker = given.check_walker(age, sex, height)
    network = given.estimator_choice(estimator, skeleton)
    with progress(recording.name) as on_progress:
        analysis = analyse_file(recording, height_m=height, on_progress=on_progress, options=options, estimator=network)
    folder = output if output is not None else given.result_folder(recording)
    document = write_results(folder, analysis, patient=walker, pdf=pdf)
    others = beside.write_beside(analysis, folder, walker, fhir=fhir, dicom=dicom, tables=tables)
    if as_json:
        typer.echo(document, nl=False)
    else:
        print_analysis(analysis)
        print_results(folder, pdf=pdf, others=others)
    if analysis.status == "refused":
        raise typer.Exit(EXIT_REFUSED)
