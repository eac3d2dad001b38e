"""Every recording of the development data, each once: what the analysis says, and how well it agrees with what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from tests import hand_counted
from tests.accuracy.angles import planar, spatial
from tests.accuracy.crowds import crowds
from tests.accuracy.inventory import Inventory, Recording, inventory
from tests.accuracy.laboratory import PLATES, paths
from tests.accuracy.rise import least_load_n, rise_of_plates, rise_of_table
from tests.accuracy.said import Said, said_of
from tests.accuracy.tables import DATA, cell, table

from gaitkeeper_client.lab.gaitkit_json import read_gaitkit
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_client.validation.agreement import EventAgreement
from gaitkeeper_client.validation.reference import Reference, spans_of_labels
from gaitkeeper_client.validation.validate import KINDS, Validation, compare, validate_file
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import GaitEvent

EVENTS = ("strikes n, found, false", "bias, mae ms", "offs n, found, false", "bias, mae ms")
NEAREST_S = 0.25
"""No foot strikes, or comes off, twice in so short a time."""
TO_BE_REFUSED = {
    "pose2sim-balancing": "to be refused: a man balances",
    "intel-people": "to be refused: 10 frames a second, from behind",
}


@dataclass(frozen=True, slots=True)
class Held:
    """One recording held against one reference. ``validation``: None where it cannot be, and ``why`` is the code."""

    path: Path
    said: Said
    reference: str
    validation: Validation | None
    why: str = ""


def everything() -> list[str]:
    """The tables. Takes two minutes."""
    found = inventory(DATA)
    walks = [held for one in found.by_kind["walk"] for held in _held(one)]
    return [
        _head(found),
        _kinds(found),
        _walks(walks),
        planar([(one.path, one.reference, one.validation) for one in walks if one.validation]),
        spatial([one.path for one in found.by_kind["walk"]]),
        _marks(found),
        _standing(found),
        *crowds(found),
        _videos(found),
    ]


def _head(found: Inventory) -> str:
    counts = Counter(said_of(path).outcome for path in found.references)
    every = len(found.recordings) + len(found.references) + len(found.others)
    return (
        "## Every recording of the development data\n\n"
        f"{every} files: {len(found.recordings)} recordings, each of which is below exactly once; "
        f"{len(found.references)} that only say what was right in one\nof these; {len(found.others)} licences, notes "
        "and tables about people. A file that is none of these stops the measurement.\n\n"
        "Analysed by themselves, the references give: "
        + "; ".join(f"{outcome} ({count})" for outcome, count in sorted(counts.items()))
        + ".\n"
    )


def _kinds(found: Inventory) -> str:
    rows = []
    for kind, recordings in found.by_kind.items():
        every = [said_of(one.path) for one in recordings]
        codes = Counter(said.outcome for said in every if said.error or said.codes)
        told = "; ".join(f"{outcome} ({count})" for outcome, count in sorted(codes.items())) or "-"
        rows.append([kind, str(len(every)), str(sum(said.outcome == "analysed" for said in every)), told])
    return table(("kind", "recordings", "analysed", "the others"), rows)


def _held(one: Recording) -> Iterator[Held]:
    """The recording against each of its references, or else against what it holds itself."""
    said = said_of(one.path)
    for path in one.references or (None,):
        name = path.name if path else ""
        try:
            validation = validate_file(one.path, path)
        except GaitkeeperError as error:
            yield Held(one.path, said, name, None, error.code)
            continue
        yield Held(one.path, said, name or validation.reference, validation)


def _walks(walks: Sequence[Held]) -> str:
    rows = []
    for one in walks:
        if one.validation is None or one.validation.events["foot_strike"].n + one.validation.events["foot_off"].n:
            where = [str(one.path.relative_to(DATA)), one.said.outcome]
            rows.append([*where, cell(one.said.seconds), cell(one.said.cadence), *_against(one)])
    return (
        "## Every walk of the laboratories\n\n"
        "Events are compared also where the analysis refuses a walk as too short for its parameters. A recording with "
        "two references has\ntwo rows; references that are joint angles are in the next table.\n\n"
        + table(("recording", "analysis", "s", "cadence", "reference", *EVENTS), rows)
        + _filtered(walks)
    )


def _against(one: Held) -> list[str]:
    if one.validation is None:
        named = f"{one.reference}: {one.why}" if one.reference else f"none: {one.why}"
        return ["-" if one.said.error else named, "-", "-", "-", "-"]
    return [one.reference, *(part for kind in KINDS for part in counts_and_times(one.validation.events[kind]))]


def counts_and_times(one: EventAgreement) -> tuple[str, str]:
    """Two cells."""
    row = one.to_json()
    times = f"{cell(row['bias_ms'])}, {cell(row['mae_ms'])}" if one.errors_ms else "-"
    return f"{row['n']}, {row['found']}, {row['false']}", times


def _filtered(walks: Sequence[Held]) -> str:
    """What a low-pass filter of the reference does to it: the load begins before the foot is down."""
    rows = []
    for one in walks:
        if one.validation is None or one.validation.reference != "force plates" or one.path.suffix != ".trc":
            continue
        found = rise_of_table(DATA / one.path.relative_to(DATA).parts[0], one.reference)
        if found is not None:
            bias = one.validation.events["foot_strike"].to_json()["bias_ms"]
            rows.append([one.path.name, one.reference, f"{found.rate_hz:.0f}", f"{found.ms:.0f}", cell(bias)])
    plates = [rise for path in paths(*PLATES) if (rise := rise_of_plates(path)) is not None]
    return (
        "\nA force that was low-pass filtered begins before the foot is down: strikes measured against it seem late, "
        "and offs early. How\nlong a force takes from 1 to 20 N when a foot comes down shows it. On the plates of the "
        f"{len(plates)} C3D files over ground: {np.median(plates):.0f} ms\n({min(plates):.0f} to {max(plates):.0f}, "
        "the median of each file). In the tables beside TRC files, no finer than their own samples:\n\n"
        + table(("recording", "reference", "samples a second", "1 to 20 N, ms", "bias of our strikes, ms"), rows)
        + _cut(walks)
    )


def _cut(walks: Sequence[Held]) -> str:
    """What a force file leaves out."""
    files = [path for one in walks if (path := one.path.parent / one.reference).suffix == ".forces"]
    least = ", ".join(f"{least_load_n(path):.0f} N in {path.name}" for path in files)
    return (
        f"\nThe program that wrote the .forces files left out what is small; the least force is {least}. There a foot "
        "is said to come\noff before its force is below 20 N, so that our offs seem late.\n"
    )


def _marks(found: Inventory) -> str:
    """Marks of a file that no walk can have."""
    told = []
    for one in found.by_kind["walk"]:
        if one.path.suffix != ".json" or said_of(one.path).error:
            continue
        marks = read_gaitkit(one.path).events
        near = 0
        for side, kind in sorted({(mark.side, mark.type) for mark in marks}):
            times = [mark.time_s for mark in marks if (mark.side, mark.type) == (side, kind)]
            near += sum(b - a < NEAREST_S for a, b in pairwise(times))
        if near:
            told.append(
                f"{one.path.name}: of its {len(marks)} marks, {near} come less than {NEAREST_S:g} s after another of "
                "the same foot and kind, which no walk does. It is no reference to be held to."
            )
    return "\n".join([*told, ""])


def _standing(found: Inventory) -> str:
    rows = [[str(one.path.relative_to(DATA)), said_of(one.path).outcome] for one in found.by_kind["standing"]]
    refused = sum(bool(said_of(one.path).codes) for one in found.by_kind["standing"])
    return (
        "## People who stand\n\n"
        f"Nobody walks in these; {refused} of {len(rows)} are refused. The marks and forces beside them say nothing of "
        "a walk.\n\n" + table(("recording", "analysis"), rows)
    )


def _counted() -> Reference:
    marks = tuple(
        GaitEvent(frame / hand_counted.RATE_HZ, side, "foot_strike", 1.0) for frame, side in hand_counted.CONTACTS
    )
    return Reference("contacts counted by eye", marks, spans_of_labels(marks))


def _videos(found: Inventory) -> str:
    rows = []
    for one in found.by_kind["video"]:
        counted = one.path.name == "demo.mp4"
        analysis = analyse_file(one.path, height_m=hand_counted.HEIGHT_M if counted else None)
        codes = ", ".join(reason.code for reason in analysis.reasons)
        row = [str(one.path.relative_to(DATA)), f"refused: {codes}" if codes else analysis.status]
        if counted:
            cadence = analysis.parameters["cadence"]
            limits = " to ".join(f"{limit:.1f}" for limit in cadence.ci95) if cadence.ci95 else "-"
            value = "withheld" if cadence.value is None else f"{cadence.value:.1f} ({limits})"
            events = compare(one.path.name, analysis, None, _counted()).events["foot_strike"]
            truth = f"{hand_counted.CADENCE:.1f} +- {hand_counted.CADENCE_ERROR:g}"
            row += [value, truth, *counts_and_times(events)]
        else:
            row += ["-", TO_BE_REFUSED[one.path.parent.name], "-", "-"]
        rows.append(row)
    return (
        "## Videos\n\n"
        "The one walker's contacts were counted by eye, each to a frame (33 ms): cadence with its 95 % interval, "
        "against the count from\nthe first contact to the last.\n\n"
        + table(("video", "analysis", "cadence", "counted", *EVENTS[:2]), rows)
    )


if __name__ == "__main__":
    import sys

    sys.stdout.write("\n".join(everything()))
