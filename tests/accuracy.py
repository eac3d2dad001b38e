"""``make accuracy``: the analysis against force plates and rendered walkers, into ``docs/accuracy.md``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_client.lab.readers import read_walk
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_client.validation.sources import named_reference, own_reference
from gaitkeeper_client.validation.validate import Validation, compare, summary, validate_file
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.simulation.cohort import CohortSettings, make_cohort
from gaitkeeper_shared.simulation.patient import DISORDERS

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("GAITKEEPER_DATA", ROOT.parent / "shared/data"))
SEED = 20
PLATES = ("c3d/biomechzoo-children/*/Straight/*.c3d", "opensim/*.c3d", "bmclab/*.c3d")
TREADMILL = ("c3d/gaitkit/fukuchi*.c3d",)
OPENCAP = "opencap-subject4/MarkerData/walking*.trc"
EVENT_COLUMNS = ("n", "found", "false", "f1_50ms", "bias_ms", "mae_ms", "p95_ms")
ANGLE_COLUMNS = ("cycles", "rmse_deg", "rmse_without_offset_deg", "range_difference_deg")


def main() -> None:
    """Measure everything and write the page."""
    parts = [_head()]
    if DATA.is_dir():
        parts += laboratory()
    else:
        parts.append(
            f"The laboratory recordings were not at hand ({DATA.name} is absent); only rendered walkers follow.\n"
        )
    parts.append(rendered())
    write_durably(ROOT / "docs/accuracy.md", "\n".join(parts).encode("utf-8"))
    sys.stdout.write("docs/accuracy.md\n")


def _head() -> str:
    commit = _git("rev-parse", "--short", "HEAD") or "unknown"
    if _git("status", "--porcelain", "--", "client", "shared"):
        commit += " with changes that were not committed"
    return (
        "# Accuracy\n\n"
        f"Measured by `make accuracy` at commit {commit}. Definitions: [validation.md](validation.md).\n"
        "Recordings of people are the openly licensed ones of the development data: nothing below was measured on "
        "people that\nnobody had looked at before.\n"
    )


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False, timeout=10)
    return done.stdout.strip()


def laboratory() -> list[str]:
    """Tables for force plates over ground, the same at 30 Hz, a treadmill, and force tables beside TRC files."""
    ground, left_out = _each(_paths(*PLATES))
    slow = [_at_rate(path, 30.0) for path in _paths(*PLATES) if path.name not in left_out]
    belt, _ = _each(_paths(*TREADMILL))
    tables = [
        validate_file(path, path.parents[1] / "ID" / f"{path.stem}_grf.mot") for path in sorted(DATA.glob(OPENCAP))
    ]
    parts = [
        _section("Markers over ground against force plates", ground),
        _section("The same markers, every sample but 30 a second left out", slow, angles=False),
        _section("Markers on a treadmill against its force plates", belt, angles=False),
        _section("Markers (TRC) against a table of ground reaction forces at 100 Hz", tables, angles=False),
    ]
    if left_out:
        parts.append("Without a usable reference: " + ", ".join(sorted(left_out)) + ".\n")
    return parts


def _paths(*patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in sorted(DATA.glob(pattern))]


def _each(paths: Sequence[Path]) -> tuple[list[Validation], set[str]]:
    done, left_out = [], set()
    for path in paths:
        try:
            done.append(validate_file(path))
        except GaitkeeperError:
            left_out.add(path.name)
    return done, left_out


def _at_rate(path: Path, rate_hz: float) -> Validation:
    """As if a slower camera system had recorded: the nearest sample to each tick, no filter."""
    walk = read_walk(path)
    whole = walk.trajectories
    ticks = np.arange(0.0, float(whole.time_s[-1]), 1.0 / rate_hz)
    at = np.unique(np.searchsorted(whole.time_s, ticks - 0.5 / whole.sample_rate_hz))
    slow = JointTrajectories(whole.time_s[at], whole.positions[at], whole.unit, whole.confidence[at])
    return compare(path.name, analyse(slow, source={}), slow, own_reference(path, walk))


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
    text = _section("Rendered walkers, side view, 30 frames a second, through MediaPipe", done)
    return text + "\nDifferences from the truth, ours minus the truth's:\n\n" + _table(columns, rows)


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
    return [*(_cell(error) for error in errors), " / ".join(f"{knee:+.1f}" for knee in known) or "-"]


def _section(title: str, done: Sequence[Validation], *, angles: bool = True) -> str:
    document = summary(done)
    kinds = [[kind, *(_cell(document[kind][key]) for key in EVENT_COLUMNS)] for kind in ("foot_strike", "foot_off")]
    text = f"## {title}\n\n{len(done)} recordings: {', '.join(sorted(one.name for one in done))}.\n\n"
    text += _table(("event", *EVENT_COLUMNS), kinds)
    if angles and document["angles"]:
        rows = [[name, *(_cell(row[key]) for key in ANGLE_COLUMNS)] for name, row in document["angles"].items()]
        text += "\n" + _table(("angle", *ANGLE_COLUMNS), rows)
    return text


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:g}"


if __name__ == "__main__":
    main()
