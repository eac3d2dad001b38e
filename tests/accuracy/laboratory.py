"""Events and angles of laboratory files against their force plates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tests.accuracy.tables import DATA, EVENT_COLUMNS, cell, section, table

from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_client.lab.readers import read_walk
from gaitkeeper_client.validation.sources import own_reference
from gaitkeeper_client.validation.validate import Validation, compare, validate_file
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import JointTrajectories

PLATES = ("c3d/biomechzoo-children/*/Straight/*.c3d", "opensim/*.c3d", "bmclab/*.c3d")
TREADMILL = ("c3d/gaitkit/fukuchi*.c3d",)
PATIENTS = ("c3d/gaitkit/figshare*.c3d",)
OPENCAP = "opencap-subject4/MarkerData/walking*.trc"


def laboratory() -> list[str]:
    """Tables for force plates over ground, the same at 30 Hz, a treadmill, and force tables beside TRC files."""
    ground, left_out = _each(paths(*PLATES))
    slow = [_slowly(path, 30.0) for path in paths(*PLATES) if path.name not in left_out]
    belt, _ = _each(paths(*TREADMILL))
    patients, _ = _each(paths(*PATIENTS))
    tables = [
        validate_file(path, path.parents[1] / "ID" / f"{path.stem}_grf.mot") for path in sorted(DATA.glob(OPENCAP))
    ]
    parts = [
        section("Markers over ground against force plates", ground),
        section("The same markers, every sample but 30 a second left out", slow, angles=False),
        section("Markers on a treadmill against its force plates", belt, angles=False),
        section("Markers (TRC) against a table of ground reaction forces at 100 Hz", tables, angles=False),
        _labels([*ground, *belt, *patients]),
    ]
    if left_out:
        parts.append("Without a usable reference: " + ", ".join(sorted(left_out)) + ".\n")
    return parts


def paths(*patterns: str) -> list[Path]:
    """Recordings of the development data, in order."""
    return [path for pattern in patterns for path in sorted(DATA.glob(pattern))]


def _each(paths: Sequence[Path]) -> tuple[list[Validation], set[str]]:
    done, left_out = [], set()
    for path in paths:
        try:
            done.append(validate_file(path))
        except GaitkeeperError:
            left_out.add(path.name)
    return done, left_out


def at_rate(whole: JointTrajectories, rate_hz: float) -> JointTrajectories:
    """As if a slower camera system had recorded: the nearest sample to each tick, no filter."""
    ticks = np.arange(0.0, float(whole.time_s[-1]), 1.0 / rate_hz)
    at = np.unique(np.searchsorted(whole.time_s, ticks - 0.5 / whole.sample_rate_hz))
    return JointTrajectories(whole.time_s[at], whole.positions[at], whole.unit, whole.confidence[at])


def _slowly(path: Path, rate_hz: float) -> Validation:
    walk = read_walk(path)
    slow = at_rate(walk.trajectories, rate_hz)
    return compare(path.name, analyse(slow, source={}), slow, own_reference(path, walk))


def _labels(done: Sequence[Validation]) -> str:
    """Events that the laboratories marked; where a file also has force plates, these are judged above."""
    rows = []
    for one in done:
        marked = one.labels or (one.events if one.reference == "events of the file" else {})
        for kind, agreement in marked.items():
            row = agreement.to_json()
            rows.append([one.name, kind, *(cell(row[key]) for key in EVENT_COLUMNS)])
    text = "## Events that the laboratories marked\n\n"
    text += "Marked by hand or by a coordinate method: less sure than force plates, but complete.\n\n"
    text += table(("recording", "event", *EVENT_COLUMNS), rows)
    for one in done:
        if one.reference == "events of the file":
            text += f"\n{one.name}: {' '.join(one.notes)}\n"
    return text + PARKINSON


PARKINSON = """
The marks of the patient with Parkinson's disease (figshare_pd) come from a coordinate method after Zeni 2008, not from
plates: agreement with them says that two methods agree, and no more. Six of the seven plates in its file can be read;
the patient's steps are so short that no foot stands whole and alone on one of them, so that this file holds no truth.
"""
