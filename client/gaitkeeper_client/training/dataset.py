"""The people of a site as a study sees them: windows and a class for each, and who is kept out of training."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from gaitkeeper_shared.arrays import Float32Array
from gaitkeeper_shared.models.windows import windows_of_person
from gaitkeeper_shared.recording import Signals
from gaitkeeper_shared.study import Study

HELD_OUT_KEY = "training/held-out"
"""The name of the site's key that decides who is held out."""


@dataclass(frozen=True, slots=True)
class Person:
    """One patient of a study: (N, T, C) scaled windows, N at least 1, and the index of their label."""

    pseudonym: str
    class_index: int
    windows: Float32Array


@dataclass(frozen=True, slots=True)
class SiteDataset:
    """The people of a site: ``train`` may be drawn for a step, ``held_out`` only judge the model."""

    train: tuple[Person, ...]
    held_out: tuple[Person, ...]


def person_of(pseudonym: str, label: str | None, recordings: Iterable[Signals], study: Study) -> Person | None:
    """A person of the study; None for one whose label it does not use or whose recordings give no window."""
    index = None if label is None else study.task.class_of(label)
    if index is None:
        return None
    windows = windows_of_person(recordings, study.input)
    return Person(pseudonym, index, windows) if windows.shape[0] else None


def is_held_out(pseudonym: str, share: float, key: bytes) -> bool:
    """Whether a patient is kept out of training, with probability ``share`` over the site's secret ``key``.

    It depends on the patient alone, so that another patient's coming or going changes nothing for them, and the same
    patient is on the same side in every study with the same share.
    """
    number = int.from_bytes(hmac.digest(key, pseudonym.encode("utf-8"), "sha256")[:8], "big")
    return number < share * 2.0**64


def split(people: Iterable[Person], study: Study, key: bytes) -> SiteDataset:
    """People by whether they are held out of this study's training."""
    train: list[Person] = []
    held_out: list[Person] = []
    for person in people:
        side = held_out if is_held_out(person.pseudonym, study.evaluation.holdout, key) else train
        side.append(person)
    return SiteDataset(tuple(train), tuple(held_out))
