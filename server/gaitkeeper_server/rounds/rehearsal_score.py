"""Scores of a rehearsal, person by person, with what chance alone would give and how far few people can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from gaitkeeper_shared.arrays import FloatArray, IntArray

RESAMPLES = 2000
_SEED = 20_250_101


@dataclass(frozen=True, slots=True)
class Score:
    """A mean over seeds, and its 95 % interval over people (bootstrap percentiles, people drawn within each class)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scores:
    """Of ``people`` people in ``seeds`` repetitions. ``sd_over_seeds``: of the balanced accuracy; 0 for one seed."""

    balanced_accuracy: Score
    auc: Score
    sd_over_seeds: float
    people: int
    seeds: int
    chance: float


def balanced_accuracy(classes: IntArray, probabilities: FloatArray) -> float:
    """Mean over the classes present of the share of their (N,) people whose most probable of (N, L) labels is right."""
    right = probabilities.argmax(axis=1) == classes
    return float(np.mean([right[classes == index].mean() for index in np.unique(classes)]))


def auc(classes: IntArray, probabilities: FloatArray) -> float:
    """Area under the ROC curve; for more than two labels the mean over labels of one against the rest (Hand & Till 2001
    discuss both, doi:10.1023/A:1010920819831)."""
    if probabilities.shape[1] == 2:
        return _binary_auc(classes == 1, probabilities[:, 1])
    present = np.unique(classes)
    return float(np.mean([_binary_auc(classes == index, probabilities[:, index]) for index in present]))


def _binary_auc(positive: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], score: FloatArray) -> float:
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if ones == 0 or zeros == 0:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def score(classes: IntArray, by_seed: Sequence[FloatArray], labels: int) -> Scores:
    """Scores of the same (N,) people in each seed's (N, L) probabilities."""
    accuracies = [balanced_accuracy(classes, probabilities) for probabilities in by_seed]
    return Scores(
        balanced_accuracy=_interval(balanced_accuracy, classes, by_seed),
        auc=_interval(auc, classes, by_seed),
        sd_over_seeds=float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0,
        people=int(classes.size),
        seeds=len(by_seed),
        chance=1.0 / labels,
    )


def _interval(
    measure: Callable[[IntArray, FloatArray], float], classes: IntArray, by_seed: Sequence[FloatArray]
) -> Score:
    random = np.random.default_rng(_SEED)
    groups = [np.flatnonzero(classes == index) for index in np.unique(classes)]
    resamples = max(200, RESAMPLES // len(by_seed))
    values = []
    for _ in range(resamples):
        drawn = np.concatenate([random.choice(group, group.size) for group in groups])
        values.append(np.mean([measure(classes[drawn], probabilities[drawn]) for probabilities in by_seed]))
    low, high = np.percentile(values, [2.5, 97.5])
    return Score(float(np.mean([measure(classes, p) for p in by_seed])), float(low), float(high))
