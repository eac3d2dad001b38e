"""Drawn people with a walking frame or a wheelchair in view: who is measured, how well, and who is refused."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from tests.accuracy.tables import table
from tests.drawn_aids import Scene, film, in_wheelchair, pushed_by, walking, with_walking_frame

from gaitkeeper_client.sources import analyse_file
from gaitkeeper_shared.simulation.camera import View, camera_for
from gaitkeeper_shared.simulation.disorders import pattern_of
from gaitkeeper_shared.simulation.patient import DISORDERS, SyntheticPatient, draw_patient
from gaitkeeper_shared.simulation.truth import walk_truth
from gaitkeeper_shared.simulation.walker import Walk

What = Literal["frame", "passing", "sitting", "pushed", "hands", "feet"]
SITUATIONS: dict[What, str] = {
    "frame": "walks with a walking frame",
    "passing": "walks; a wheelchair comes the other way behind",
    "sitting": "walks past somebody in a wheelchair",
    "pushed": "walks and pushes a wheelchair",
    "hands": "rolls in a wheelchair",
    "feet": "walks a wheelchair along, seated",
}
RATE_HZ = 30.0
SEED = 50
STRIDES = 4.1
_COMPARED = ("cadence", "step_length", "knee_range_right", "knee_range_left")
_SEATED_M_S = 0.9
_ASIDE_M = 1.3
_ROOM_M = 0.9
"""Ahead of a walker, for what he pushes."""
_SEATED_LOWER_M = 0.35
"""A camera keeps the height that it has for walkers."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One video to be drawn."""

    what: What
    view: View
    number: int


@dataclass(frozen=True, slots=True)
class Found:
    """What was made of it. Errors in % of the truth and in degrees, NaN where withheld or where there is no truth."""

    clip: Clip
    codes: tuple[str, ...]
    cadence: float
    step_length: float
    knees: tuple[float, float]
    shown: int
    held: int


def clips() -> Iterator[Clip]:
    """Each situation with each disorder; the walking frame obliquely, too."""
    for number in range(len(DISORDERS)):
        yield Clip("frame", "oblique", number)
        for what in SITUATIONS:
            yield Clip(what, "side", number)


def draw(clip: Clip, folder: Path) -> tuple[Path, Walk | None, SyntheticPatient]:
    """The video of a clip, its walk where somebody walks, and who is to be measured."""
    seed = SEED + 10 * list(SITUATIONS).index(clip.what) + clip.number + 1000 * (clip.view == "oblique")
    patient = draw_patient("walker", DISORDERS[clip.number], seed)
    other = draw_patient("other", "healthy", seed + 500)
    walk = Walk(patient, STRIDES * pattern_of(patient).stride_time)
    scenes, measured = _scenes(clip.what, walk, other)
    # The camera sees the aid, too, which goes ahead of its user.
    room = np.concatenate([measured.positions, measured.positions + np.array([_ROOM_M, 0.0, 0.0])])
    if clip.what in ("hands", "feet"):
        room = room + np.array([0.0, 0.0, _SEATED_LOWER_M])
    camera = camera_for(room, (960, 540), clip.view, "left_to_right")
    path = film(folder / f"{clip.what}-{clip.view}-{clip.number}.mp4", scenes, camera, RATE_HZ)
    return path, None if clip.what in ("hands", "feet") else walk, measured.patient


def _scenes(what: What, walk: Walk, other: SyntheticPatient) -> tuple[list[Scene], Scene]:
    walker = walking(walk, RATE_HZ)
    times = np.arange(len(walker.positions)) / RATE_HZ
    middle = float(np.nanmean(walker.positions[..., 0]))
    if what == "frame":
        walker = with_walking_frame(walk, RATE_HZ, "right")
        return [walker], walker
    if what == "pushed":
        pair = pushed_by(walk, other, RATE_HZ, "right")
        return list(pair), pair[0]
    if what in ("passing", "sitting"):
        if what == "sitting":
            seated = in_wheelchair(other, np.full(times.size, middle), RATE_HZ, "right", "rest", _ASIDE_M)
        else:
            way = _SEATED_M_S * (times - times.mean()) - middle
            seated = in_wheelchair(other, way, RATE_HZ, "left", "push").coming_back(_ASIDE_M)
        return [seated, walker], walker
    way = (_SEATED_M_S if what == "hands" else 0.5 * _SEATED_M_S) * times
    seated = in_wheelchair(other, way, RATE_HZ, "right", "push" if what == "hands" else "walk")
    return [seated], seated


def measure(clip: Clip) -> Found:
    """Draw, analyse, compare."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        path, walk, who = draw(clip, Path(folder))
        analysis = analyse_file(path, height_m=who.height_m)
    values = {name: parameter for name, parameter in analysis.parameters.items() if parameter.value is not None}
    codes = tuple(reason.code for reason in analysis.reasons)
    nothing = float("nan")
    if walk is None:
        return Found(clip, codes, nothing, nothing, (nothing, nothing), len(values), 0)
    truth = walk_truth(walk).parameters
    errors = {name: values[name].value - getattr(truth, name) for name in _COMPARED if name in values}
    limits = [(name, values[name].ci95) for name in errors]
    held = sum(ci is not None and ci[0] <= getattr(truth, name) <= ci[1] for name, ci in limits)
    return Found(
        clip,
        codes,
        100.0 * errors.get("cadence", nothing) / truth.cadence,
        100.0 * errors.get("step_length", nothing) / truth.step_length,
        (errors.get("knee_range_right", nothing), errors.get("knee_range_left", nothing)),
        len(errors),
        held,
    )


def aids() -> str:
    """The table. Takes two minutes."""
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(measure, clips()))
    keys = dict.fromkeys((one.clip.what, one.clip.view) for one in found)
    rows = [_row([one for one in found if (one.clip.what, one.clip.view) == key]) for key in keys]
    return "\n".join(
        [
            "## Walking frames and wheelchairs in view\n",
            "Drawn, at 30 frames a second, one walker of each disorder in each situation. Errors: median and largest "
            "size over the\nwalkers whose parameter is not withheld. Held: of the values of these four parameters that "
            "are shown, those whose interval\nholds the truth.\n",
            table(
                (
                    "who is measured", "view", "analysed", "refused as", "cadence %", "step length %", "near knee deg",
                    "far knee deg", "held",
                ),
                rows,
            ),
        ]
    )  # fmt: skip


def _row(found: Sequence[Found]) -> list[str]:
    codes = sorted({code for one in found for code in one.codes})
    errors = [
        [one.cadence for one in found],
        [one.step_length for one in found],
        *([one.knees[leg] for one in found] for leg in (0, 1)),
    ]
    return [
        SITUATIONS[found[0].clip.what],
        found[0].clip.view,
        f"{sum(not one.codes for one in found)} of {len(found)}",
        ", ".join(codes) or "-",
        *(_sizes(column) for column in errors),
        f"{sum(one.held for one in found)} of {sum(one.shown for one in found)}",
    ]


def _sizes(errors: Sequence[float]) -> str:
    known = np.abs([error for error in errors if np.isfinite(error)])
    return f"{np.median(known):.1f}, {known.max():.1f}" if known.size else "-"


if __name__ == "__main__":
    import sys

    sys.stdout.write(aids())
