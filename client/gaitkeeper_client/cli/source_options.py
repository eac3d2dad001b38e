"""Options that say of a recording what its file does not, the same for every command that reads recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.insight.context import PatientContext
    from gaitkeeper_client.pose.estimators import EstimatorChoice

Height = Annotated[
    float | None,
    typer.Option("--height", metavar="M", help="The walker's height in metres: gives a video's lengths a scale."),
]
Aid = Annotated[
    str | None,
    typer.Option(
        "--aid", metavar="WHAT", help="What the person walked with (two crutches, walker): no norm holds then."
    ),
]
Age = Annotated[
    float | None,
    typer.Option("--age", metavar="YEARS", help="The walker's age: chooses the norms. Without it, those of adults."),
]
Sex = Annotated[str | None, typer.Option("--sex", metavar="f|m", help="The walker's sex: chooses the norms.")]
Rate = Annotated[
    float | None,
    typer.Option("--rate", metavar="HZ", help="Frames a second, where the file does not say (OpenPose, DeepLabCut)."),
]
Size = Annotated[
    str | None,
    typer.Option("--size", metavar="WxH", help="The picture's size in pixels, for keypoint files."),
]
MappingFile = Annotated[
    Path | None,
    typer.Option(
        "--mapping",
        metavar="FILE.toml",
        help='Which of the file\'s points are which joints: left_hip = "L_hip_center".',
    ),
]
Person = Annotated[
    str | None,
    typer.Option("--person", metavar="WHO", help="Which of several people: number or name. By default who walks most."),
]
Speed = Annotated[
    float | None, typer.Option("--speed", metavar="M/S", help="Speed of the treadmill's belt, metres a second.")
]
Static = Annotated[
    Path | None,
    typer.Option(
        "--static",
        metavar="FILE",
        help="Of markers: the trial in which the person stands, with inner markers of knees and ankles.",
    ),
]

Estimator = Annotated[
    Path | None,
    typer.Option(
        "--estimator", metavar="FILE.onnx", help="A pose network of your own for videos (docs/pose-networks.md)."
    ),
]
SkeletonName = Annotated[
    str | None,
    typer.Option(
        "--skeleton", metavar="NAME", help="The points that it delivers, such as coco-17. By default by their number."
    ),
]


def estimator_choice(network: Path | None, skeleton: str | None) -> EstimatorChoice | None:
    """What ``--estimator`` and ``--skeleton`` say; None for the usual network. Raises ``pose-network-not-given``."""
    from gaitkeeper_client.pose.estimators import EstimatorChoice

    if network is None and skeleton is not None:
        raise GaitkeeperError("pose-network-not-given")
    return None if network is None else EstimatorChoice(network, skeleton)


def result_folder(recording: Path) -> Path:
    """Where results go if nobody says: beside where the command runs, under the recording's own name."""
    return Path(f"{recording.resolve().stem or 'recording'}-gait")


def check_walker(age: float | None, sex: str | None, height_m: float | None) -> PatientContext:
    """What the options say of a person whom no vault knows. Raises ``option-unusable``."""
    from gaitkeeper_client.insight.context import PatientContext
    from gaitkeeper_client.vault.cohort import check_age, parse_sex

    option, example = "--age", "--age 67"
    try:
        check_age(age)
        option, example = "--sex", "--sex f"
        return PatientContext("not given", age, parse_sex(sex or "") or "", height_m)
    except ValueError as error:
        raise GaitkeeperError("option-unusable", option=option, detail=str(error), example=example) from error
