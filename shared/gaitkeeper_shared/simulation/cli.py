"""``gaitkeeper simulate``: a folder of synthetic patients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_shared.simulation.cohort import CohortSettings

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})

_SIZES = {"360p": "640x360", "540p": "960x540", "720p": "1280x720", "1080p": "1920x1080"}


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to make: new, empty, or an earlier cohort of this command.")],
    patients: Annotated[int, typer.Option(help="How many patients, one walk each.")] = 8,
    disorders: Annotated[
        str,
        typer.Option(
            help="With commas, dealt out in turn: healthy, parkinsonian, hemiparetic, ataxic, antalgic; or all."
        ),
    ] = "all",
    fps: Annotated[float, typer.Option(help="Frames a second: 10 to 240.")] = 30.0,
    size: Annotated[str, typer.Option(help="Image size: WIDTHxHEIGHT, or 360p, 540p, 720p, 1080p.")] = "960x540",
    view: Annotated[str, typer.Option(help="Camera: side, oblique, or mixed.")] = "side",
    direction: Annotated[str, typer.Option(help="Walks: left_to_right, right_to_left, or both in turn.")] = "both",
    strides: Annotated[int, typer.Option(help="Complete strides of each leg in view: 2 to 30.")] = 4,
    speed: Annotated[float | None, typer.Option(help="Walking speed in m/s; otherwise each disorder's own.")] = None,
    height_range: Annotated[str, typer.Option(help="Heights in metres, LOW-HIGH.")] = "1.52-1.92",
    seed: Annotated[int, typer.Option(help="The same seed and options make the same patients.")] = 1,
    prefix: Annotated[str, typer.Option(help="What the patients' names start with.")] = "P",
    output: Annotated[str, typer.Option("--format", help="video (MP4), or keypoints (CSV, much faster).")] = "video",
    workers: Annotated[int | None, typer.Option(help="Processes to use; otherwise one per core.")] = None,
) -> None:
    """Make synthetic patients who walk past a camera, with the exact truth of every step.

    Nobody's data is needed: use them to try Gaitkeeper, to rehearse a study, or to check an analysis. Writes
    OUT/cohort.csv (what 'gaitkeeper site ingest' takes), OUT/videos/*.mp4 and OUT/truth/*.json (foot strikes, foot
    offs, joint angles, gait parameters).

    Example: gaitkeeper simulate clinic-a --patients 8 --disorders healthy,parkinsonian --view oblique --seed 7
    """
    settings = _settings(
        patients=patients, disorders=disorders, fps=fps, size=size, view=view, direction=direction, strides=strides,
        speed=speed, height_range=height_range, seed=seed, prefix=prefix, output=output,
    )  # fmt: skip
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from gaitkeeper_shared.simulation.cohort import make_cohort

    console = Console(stderr=True)
    columns = (TextColumn("Synthetic patients"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=patients)
        path = make_cohort(
            out, settings, workers=workers, on_progress=lambda done, _total: progress.update(task, completed=done)
        )
    typer.echo(f"{patients} synthetic patients in {path}")


def _bad(option: str, value: object, why: str, hint: str) -> GaitkeeperError:
    return GaitkeeperError("simulate-bad-option", option=option, value=value, why=why, hint=hint)


def _settings(**given: Any) -> CohortSettings:
    from gaitkeeper_shared.simulation import cohort
    from gaitkeeper_shared.simulation.camera import DIRECTIONS, VIEWS
    from gaitkeeper_shared.simulation.patient import DISORDERS, HEIGHT_LIMITS_M, SPEED_LIMITS_M_S

    _number("--patients", given["patients"], 1, 10_000)
    _number("--fps", given["fps"], 10, 240)
    _number("--strides", given["strides"], 2, 30)
    _number("--seed", given["seed"], 0, 2**63)
    if given["speed"] is not None:
        _number("--speed", given["speed"], *SPEED_LIMITS_M_S)
    if not given["prefix"].replace("-", "").replace("_", "").isalnum():
        raise _bad("--prefix", given["prefix"], "file names are made of it", "Use letters, digits, '-' and '_'.")
    return cohort.CohortSettings(
        patients=given["patients"],
        disorders=_choices("--disorders", given["disorders"], DISORDERS, "all"),
        frames_per_second=given["fps"],
        size=_size(given["size"]),
        views=_choices("--view", given["view"], VIEWS, "mixed"),
        directions=_choices("--direction", given["direction"], DIRECTIONS, "both"),
        height_range_m=_range(given["height_range"], HEIGHT_LIMITS_M),
        speed_m_s=given["speed"],
        strides=given["strides"],
        seed=given["seed"],
        prefix=given["prefix"],
        format=_choices("--format", given["output"], get_args(cohort.Format), "")[0],
    )


def _number(option: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise _bad(option, value, f"it must lie between {low:g} and {high:g}", "Choose a value within these limits.")


def _choices(option: str, text: str, known: tuple[Any, ...], everything: str) -> tuple[Any, ...]:
    if everything and text.strip() == everything:
        return known
    chosen = tuple(word.strip() for word in text.split(",") if word.strip())
    unknown = [word for word in chosen if word not in known]
    if unknown or not chosen:
        hint = f"Known: {', '.join(known)}" + (f"; {everything} for all of them." if everything else ".")
        raise _bad(option, text, f"{unknown[0]!r} is not known" if unknown else "it is empty", hint)
    return chosen


def _size(text: str) -> tuple[int, int]:
    width, _, height = _SIZES.get(text, text).lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise _bad("--size", text, "it is not WIDTHxHEIGHT", "For example: --size 960x540")
    size = int(width), int(height)
    if not (160 <= size[0] <= 3840 and 120 <= size[1] <= 3840) or size[0] % 2 or size[1] % 2:
        why = "width and height must be even, at least 160x120 and at most 3840 pixels"
        raise _bad("--size", text, why, "For example: --size 960x540")
    return size


def _range(text: str, limits: tuple[float, float]) -> tuple[float, float]:
    low, _, high = text.partition("-")
    try:
        values = float(low), float(high)
    except ValueError:
        raise _bad("--height-range", text, "it is not LOW-HIGH", "For example: --height-range 1.55-1.85") from None
    if not limits[0] <= values[0] <= values[1] <= limits[1]:
        why = f"heights run from {limits[0]} to {limits[1]} m, the lower one first"
        raise _bad("--height-range", text, why, "For example: --height-range 1.55-1.85")
    return values
