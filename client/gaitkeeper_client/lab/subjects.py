"""Several people in one file of markers: told apart by the names before the colon, and one of them chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.picker import Picker
from gaitkeeper_client.lab.walk import Markers
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.skeleton import SIDES


def chosen_note(number: int, people: int) -> str:
    """What the quality record says of a choice among several people."""
    return f"{people} people are in the file; number {number}, who walks most, was taken. Another is named by --person."


def returns_note(returns_s: Sequence[float], numbers: Sequence[int], people: int) -> str:
    """What it says of a walker who was out of sight and came back. ``numbers``: of the pieces taken for his."""
    when = ", ".join(f"{time:.1f} s" for time in returns_s)
    which = ", ".join(map(str, numbers))
    return (
        f"The walker came back into sight at {when}: numbers {which} of {people} people in the file were taken for one "
        "person, by size and build. One of them alone is named by --person."
    )


def asked_for(person: str, names: Sequence[str], path: Path) -> int:
    """Whom ``--person`` means, by name or by number from 1. Raises ``person-unknown``."""
    if person in names:
        return names.index(person)
    if person.isdecimal() and 1 <= int(person) <= len(names):
        return int(person) - 1
    listed = ", ".join(f"{number} {name}".strip() for number, name in enumerate(names, start=1))
    raise GaitkeeperError("person-unknown", person=person, path=path, people=listed)


def of_one_person(markers: Markers, path: Path, person: str | None = None) -> tuple[Markers, tuple[str, ...]]:
    """The markers of one person, and a note where one had to be chosen: nobody walks on another's knee.

    Who has a knee and an ankle under a name of their own (``Anna:LKNE``) is a person; markers without such a name are
    everybody's, unless they are a person's by themselves. ``person``: by name or number; else who walks most of those
    whose legs are whole. Raises ``person-unknown``.
    """
    own = [name.rpartition(":")[0] for name in markers.names]
    people = [subject for subject in dict.fromkeys(own) if _has_a_leg(_only(markers, own, (subject,)))]
    if len(people) < 2:
        if person is not None:
            asked_for(person, people or [""], path)
        return markers, ()
    whose = [_only(markers, own, (subject,) if "" in people else (subject, "")) for subject in people]
    if person is not None:
        return whose[asked_for(person, people, path)], ()
    number = max(range(len(people)), key=lambda index: (_has_legs(whose[index]), _way(whose[index])))
    return whose[number], (chosen_note(number + 1, len(people)),)


def _only(markers: Markers, own: Sequence[str], subjects: tuple[str, ...]) -> Markers:
    columns = [column for column, subject in enumerate(own) if subject in subjects]
    names = tuple(markers.names[column] for column in columns)
    return replace(markers, names=names, positions=markers.positions[:, columns])


def _has_a_leg(markers: Markers) -> bool:
    picker = Picker(markers)
    return any(picker.names("knee", side) and picker.names("ankle", side) for side in SIDES)


def _has_legs(markers: Markers) -> bool:
    """Whether both legs can be read: somebody of whom a marker was not labelled gives no walk."""
    found = Picker(markers).joints()
    return all(f"{side}_{what}" in found for side in SIDES for what in ("hip", "knee", "ankle"))


def _way(markers: Markers) -> float:
    """How far the ankles go, in the file's unit."""
    picker, way = Picker(markers), 0.0
    for side in SIDES:
        for track in picker.tracks("ankle", side)[:1]:
            step = np.linalg.norm(np.diff(track, axis=0), axis=1)
            way += float(step[np.isfinite(step)].sum())
    return way
