"""Walkers drawn with known truth, through the pose network: each disorder, three frame rates, two views."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tests.accuracy.tables import cell, section, table

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_client.validation.reference import Reference
from gaitkeeper_client.validation.sources import named_reference
from gaitkeeper_client.validation.validate import Validation, compare
from gaitkeeper_shared.simulation.camera import VIEWS, View
from gaitkeeper_shared.simulation.cohort import CohortSettings, make_cohort
from gaitkeeper_shared.simulation.patient import DISORDERS

SEED = 20
RATES_HZ = (25.0, 30.0, 60.0)
MAIN = ("side", 30.0)
"""What the table of events and curves is of: the recording that the documentation advises."""

_WHICH = ("walker", "view", "rate", "analysis", "missed, false")
SAID = ("withheld", "within 5 deg", "interval holds", "beyond 5 deg", "of these held", "of these held or cautioned")
_MEASURES = ("cadence %", "step length %", "speed %", "strike ms", "off ms", "near knee deg", "far knee deg")


GOOD_DEG = 5.0


@dataclass(frozen=True, slots=True)
class Knee:
    """A knee's range of motion. ``error_deg``: ours less the truth, NaN where withheld; ``held``: whether the interval
    holds the truth; ``cautions``: codes of what is said beside the value."""

    leg: str
    error_deg: float
    held: bool
    cautions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Walker:
    """One drawn walker. ``errors``: by measure; parameters' signed, events' mean sizes; NaN where withheld."""

    view: View
    rate_hz: float
    validation: Validation
    status: str
    missed: int
    false: int
    errors: tuple[float, ...]
    knees: tuple[Knee, Knee]


def rendered() -> str:
    """The tables. Takes minutes: thirty videos are drawn and analysed, on all cores."""
    walkers = draw_and_measure(
        [Cohort(SEED + number, view, rate) for number, (view, rate) in enumerate(product(VIEWS, RATES_HZ))]
    )
    main = [walker.validation for walker in walkers if (walker.view, walker.rate_hz) == MAIN]
    parts = [
        section("Rendered walkers, side view, 30 frames a second, through MediaPipe", main),
        "### Each disorder, frame rate and view\n",
        "Ours minus the truth's; events: mean size of the error, and how many were missed or false. The knees' range "
        "of\nmotion is the parameter as printed, of the leg near to the camera and of the hidden one. Each row is "
        "another\nwalker.\n",
        table(
            ("walker", "view", "rate", "analysis", "missed, false", *_MEASURES), [_row(walker) for walker in walkers]
        ),
        "Size of the errors, median and worst over the walkers:\n",
        table(("view", "rate", *_MEASURES), _summaries(walkers)),
        "### What is said of a knee that is wrong\n",
        f"A range of motion more than {GOOD_DEG:g} degrees off must at least say so: by an interval that holds the "
        "truth, or by a\ncaution beside the value.\n",
        table(("view", "leg", "legs", *SAID), said_of_knees(walkers)),
    ]
    return "\n".join(parts)


@dataclass(frozen=True, slots=True)
class Cohort:
    """Walkers to be drawn: as many of each disorder as there are disorders in ``patients``."""

    seed: int
    view: View
    rate_hz: float
    patients: int = len(DISORDERS)


def draw_and_measure(cohorts: Sequence[Cohort]) -> list[Walker]:
    """All walkers of all cohorts, on all cores."""
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return [walker for walkers in pool.map(_cohort, cohorts) for walker in walkers]


def _cohort(one: Cohort) -> list[Walker]:
    with tempfile.TemporaryDirectory() as folder:
        settings = CohortSettings(
            patients=one.patients, seed=one.seed, frames_per_second=one.rate_hz, views=(one.view,), size=(960, 540)
        )
        make_cohort(Path(folder), settings, workers=1)
        return [_measure(path, one.view, one.rate_hz) for path in sorted((Path(folder) / "truth").glob("*.json"))]


def _measure(truth_path: Path, view: View, rate: float) -> Walker:
    truth = json.loads(truth_path.read_text("utf-8"))
    video = truth_path.parents[1] / truth["file"]
    analysis = analyse_file(video, height_m=float(truth["patient"]["height_m"]))
    return against_truth(analysis, truth, named_reference(truth_path, video, None), view, rate)


def against_truth(
    analysis: Analysis, truth: Mapping[str, Any], reference: Reference, view: View, rate: float
) -> Walker:
    """One analysis held against the document of its walker's truth."""
    one = compare(truth["patient"]["disorder"], analysis, None, reference)
    values = {name: parameter.value for name, parameter in analysis.parameters.items()}
    known = truth["parameters"]
    near = "right" if truth["direction"] == "left_to_right" else "left"
    far = "left" if near == "right" else "right"
    events = [one.events[kind].to_json() for kind in ("foot_strike", "foot_off")]
    knees = (_knee(analysis, "near", near, known), _knee(analysis, "far", far, known))
    errors = (
        *(_percent(values.get(name), known[name]) for name in ("cadence", "step_length", "walking_speed")),
        *(_number(document["mae_ms"]) for document in events),
        *(knee.error_deg for knee in knees),
    )
    missed = sum(int(_number(document["n"]) - _number(document["found"])) for document in events)
    return Walker(view, rate, one, one.status, missed, sum(int(_number(d["false"])) for d in events), errors, knees)


def _percent(value: float | None, truth: float) -> float:
    return float("nan") if value is None else 100.0 * (value / truth - 1.0)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _knee(analysis: Analysis, leg: str, side: str, known: Mapping[str, float]) -> Knee:
    found, truth = analysis.parameters[f"knee_range_{side}"], known[f"knee_range_{side}"]
    if found.value is None:
        return Knee(leg, float("nan"), False, ())
    held = found.ci95 is not None and found.ci95[0] <= truth <= found.ci95[1]
    return Knee(leg, found.value - truth, held, tuple(note.code for note in found.notes))


def said_of_knees(walkers: Sequence[Walker]) -> list[list[str]]:
    """Rows of the table of knees: how many are off, and what is said of those."""
    rows = []
    for view, leg in product(VIEWS, ("near", "far")):
        legs = [knee for walker in walkers if walker.view == view for knee in walker.knees if knee.leg == leg]
        known = [knee for knee in legs if np.isfinite(knee.error_deg)]
        off = [knee for knee in known if abs(knee.error_deg) > GOOD_DEG]
        held = sum(knee.held for knee in off)
        told = sum(knee.held or bool(knee.cautions) for knee in off)
        counts = (len(legs) - len(known), len(known) - len(off), sum(knee.held for knee in known), len(off), held, told)
        rows.append([view, leg, str(len(legs)), *map(str, counts)])
    return rows


def _row(walker: Walker) -> list[str]:
    shown = [("-" if np.isnan(error) else f"{error:+.1f}") for error in walker.errors]
    for event in (3, 4):
        shown[event] = shown[event].lstrip("+")
    where = [walker.validation.name, walker.view, cell(walker.rate_hz), walker.status]
    return [*where, f"{walker.missed}, {walker.false}", *shown]


def _summaries(walkers: Sequence[Walker]) -> list[list[str]]:
    rows = []
    for view, rate in [*product(VIEWS, RATES_HZ), *((view, None) for view in VIEWS)]:
        chosen = [w.errors for w in walkers if w.view == view and rate in (None, w.rate_hz)]
        sizes = np.abs(np.array(chosen))
        shown = [_median_and_worst(column) for column in sizes.T]
        rows.append([view, "all" if rate is None else cell(rate), *shown])
    return rows


def _median_and_worst(sizes: np.ndarray[Any, Any]) -> str:
    known = sizes[np.isfinite(sizes)]
    return f"{np.median(known):.1f}, {known.max():.1f}" if known.size else "withheld"


if __name__ == "__main__":
    import sys

    sys.stdout.write(rendered())
