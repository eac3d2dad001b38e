"""Walkers drawn with known truth, through the pose network."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.accuracy.tables import cell, section, table

from gaitkeeper_client.sources import analyse_file
from gaitkeeper_client.validation.sources import named_reference
from gaitkeeper_client.validation.validate import Validation, compare
from gaitkeeper_shared.simulation.cohort import CohortSettings, make_cohort
from gaitkeeper_shared.simulation.patient import DISORDERS

SEED = 20


def rendered() -> str:
    """Each disorder, drawn from the side at 30 frames a second, through the pose network."""
    rows, done = [], []
    with tempfile.TemporaryDirectory() as folder:
        settings = CohortSettings(patients=len(DISORDERS), seed=SEED)
        make_cohort(Path(folder), settings, workers=1)
        for video, truth_path, truth in _patients(Path(folder)):
            height = float(truth["patient"]["height_m"])
            analysis = analyse_file(video, height_m=height)
            one = compare(truth["patient"]["disorder"], analysis, None, named_reference(truth_path, video, None))
            done.append(one)
            values = {name: parameter.value for name, parameter in analysis.parameters.items()}
            rows.append([one.name, one.status, *_percent(values, truth["parameters"]), *_row(one)])
    columns = ("walker", "analysis", "cadence %", "step length %", "strike MAE ms", "off MAE ms", "knee range deg")
    text = section("Rendered walkers, side view, 30 frames a second, through MediaPipe", done)
    return text + "\nDifferences from the truth, ours minus the truth's:\n\n" + table(columns, rows)


def _patients(folder: Path) -> Iterator[tuple[Path, Path, dict[str, Any]]]:
    for path in sorted((folder / "truth").glob("*.json")):
        truth = json.loads(path.read_text("utf-8"))
        yield folder / truth["file"], path, truth


def _percent(values: dict[str, float | None], truth: dict[str, float]) -> list[str]:
    cells = []
    for name in ("cadence", "step_length"):
        value = values.get(name)
        cells.append("withheld" if value is None else f"{100.0 * (value / truth[name] - 1.0):+.1f}")
    return cells


def _row(one: Validation) -> list[str]:
    errors = [one.events[kind].to_json()["mae_ms"] for kind in ("foot_strike", "foot_off")]
    knees = [one.angles[name].to_json()["range_difference_deg"] for name in one.angles if name.startswith("knee")]
    known = [knee for knee in knees if isinstance(knee, float)]
    return [*(cell(error) for error in errors), " / ".join(f"{knee:+.1f}" for knee in known) or "-"]
