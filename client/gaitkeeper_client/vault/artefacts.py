"""Does how a recording was made tell the label? Then a model would learn the clinic's habits, and not how people walk.

Patients recorded with another camera, at another rate or for longer than healthy people are told apart perfectly by
that alone. So each number of the quality stage, and how each recording was read, is asked how well it tells the labels
apart by itself. What is found is for the site's eyes: nothing of it leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu

from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import Recording

FEWEST = 4
"""Patients with a label, of whom it can be said that something tells them apart."""
LEAST_AREA = 0.9
LARGEST_P = 0.01
"""Over all comparisons together (Bonferroni)."""
NUMBERS = (
    "sample_rate_hz",
    "duration_s",
    "tracked_share",
    "forces_known_share",
    "filled_share",
    "longest_gap_s",
    "swapped_share",
    "noise_leg_lengths",
    "view_azimuth_deg",
    "height_drift_leg_lengths",
    "metres_per_unit",
)
"""Of the quality stage. What a walk itself decides, such as its direction, is not among them."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """A number of the recordings that tells ``label`` from all others.

    ``area``: under the ROC curve, of the number or its opposite, whichever tells more: .5 is chance, 1 perfect.
    ``medians``: of patients with the label, and of the others. ``p_value``: Mann & Whitney's, exact, for this number.
    """

    number: str
    label: str
    area: float
    medians: tuple[float, float]
    p_value: float

    @property
    def words(self) -> str:
        """One sentence for hospital IT."""
        own, others = self.medians
        return (
            f"{self.number} alone tells {self.label!r} from the others ({self.area:.0%} of pairs are in order; median "
            f"{own:.3g} against {others:.3g}): how these recordings were made differs, and a model could learn that in "
            "place of how people walk. Record both in the same way, or leave one source out."
        )


def artefacts_of(vault: Vault) -> tuple[Artefact, ...]:
    """Artefacts among the labelled patients of a vault; a patient counts once, with the medians of their recordings."""
    rows = [
        (patient.label, _medians(_numbers(one) for one in vault.recordings(patient.pseudonym)))
        for patient in vault.patients()
        if patient.label is not None and patient.recordings
    ]
    return artefacts([label for label, _ in rows], [numbers for _, numbers in rows])


def artefacts(labels: Sequence[str], numbers: Sequence[Mapping[str, float]]) -> tuple[Artefact, ...]:
    """Artefacts among people with these labels and numbers, the strongest first; a number may be missing of some."""
    own = [label for label in sorted(set(labels)) if labels.count(label) >= FEWEST]
    if len(own) == 2 and len(set(labels)) == 2:
        own = own[:1]  # the other one says the same
    tried = [(label, name) for label in own for name in sorted({name for row in numbers for name in row})]
    found = [item for label, name in tried if (item := _compared(label, name, labels, numbers)) is not None]
    kept = [item for item in found if item.area >= LEAST_AREA and item.p_value * len(tried) <= LARGEST_P]
    return tuple(sorted(kept, key=lambda item: (-item.area, item.p_value, item.number)))


def _compared(label: str, name: str, labels: Sequence[str], numbers: Sequence[Mapping[str, float]]) -> Artefact | None:
    values = [row.get(name, np.nan) for row in numbers]
    with_it = np.array([v for v, own in zip(values, labels, strict=True) if own == label and np.isfinite(v)])
    without = np.array([v for v, own in zip(values, labels, strict=True) if own != label and np.isfinite(v)])
    if min(with_it.size, without.size) < FEWEST:
        return None
    test = mannwhitneyu(with_it, without)
    area = float(test.statistic) / (with_it.size * without.size)
    medians = (float(np.median(with_it)), float(np.median(without)))
    return Artefact(name, label, max(area, 1.0 - area), medians, float(test.pvalue))


def _numbers(recording: Recording) -> dict[str, float]:
    found = {name: recording.quality.get(name) for name in NUMBERS}
    return {name: float(v) for name, v in found.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def _medians(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    known = list(rows)
    names = {name for row in known for name in row}
    columns: dict[str, FloatArray] = {name: np.array([row[name] for row in known if name in row]) for name in names}
    return {name: float(np.median(column)) for name, column in columns.items()}
