"""Do a model's probabilities mean what they say, on people whom it has not seen?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaitkeeper_shared.arrays import FloatArray, IntArray

_BINS = 10


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities can be believed; people count with their label's class weight in the study.

    ``expected_error``: mean distance between the probability of the label on top and the share of people of whom it is
    right, over ten bins of as many people each (Naeini et al. 2015). Few people make it larger than it is: bins of a
    handful are never even. ``log_loss``: mean of minus the logarithm of the probability of a person's own label.
    ``certain``: share of people with a probability of at least the study's ``task.certain_from``, and
    ``certain_accuracy`` of how many of these it is right; None where nobody is certain.
    """

    expected_error: float
    log_loss: float
    certain: float
    certain_accuracy: float | None


def calibration(
    classes: IntArray, by_seed: Sequence[FloatArray], class_weights: Sequence[float], certain_from: float
) -> Calibration:
    """Of the same (N,) people in each seed's (N, L) probabilities, all seeds pooled. No ``class_weights``: all 1."""
    told = np.concatenate(by_seed)
    truth = np.tile(classes, len(by_seed))
    weights = np.ones(truth.size) if not class_weights else np.asarray(class_weights)[truth]
    top, right = told.max(axis=1), (told.argmax(axis=1) == truth).astype(np.float64)
    own = np.maximum(told[np.arange(truth.size), truth], 1e-12)
    sure = top >= certain_from
    return Calibration(
        expected_error=_expected_error(top, right, weights),
        log_loss=float(np.average(-np.log(own), weights=weights)),
        certain=float(np.average(sure, weights=weights)),
        certain_accuracy=float(np.average(right[sure], weights=weights[sure])) if sure.any() else None,
    )


def _expected_error(top: FloatArray, right: FloatArray, weights: FloatArray) -> float:
    order = np.argsort(top, kind="stable")
    bins = np.array_split(order, min(_BINS, order.size))
    return float(sum(abs(np.sum(weights[b] * (top[b] - right[b]))) for b in bins) / weights.sum())
