"""Scores of a rehearsal, person by person, with what chance alone would give and how far few people can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import rankdata

from gaitkeeper_server.rounds.rehearsal_calibration import Calibration, calibration
from gaitkeeper_shared.arrays import FloatArray, IntArray

_DRAWS = 20_000
_SEED = 20_250_101


@dataclass(frozen=True, slots=True)
class Score:
    """A mean over seeds, and its 95 % interval for the people it was measured on.

    Both intervals stay honest where few people were all judged right, which a bootstrap does not: balanced accuracy by
    the posterior of each class' recall (Brodersen et al. 2010, doi:10.1109/ICPR.2010.764), AUC by Newcombe's method
    (2006, doi:10.1002/sim.2324).
    """

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
    calibration: Calibration


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


def score(
    classes: IntArray,
    by_seed: Sequence[FloatArray],
    labels: int,
    class_weights: Sequence[float] = (),
    certain_from: float = 0.0,
) -> Scores:
    """Scores of the same (N,) people in each seed's (N, L) probabilities. The last two are the study's."""
    accuracies = [balanced_accuracy(classes, probabilities) for probabilities in by_seed]
    areas = [auc(classes, probabilities) for probabilities in by_seed]
    return Scores(
        balanced_accuracy=_accuracy_interval(classes, by_seed, float(np.mean(accuracies))),
        auc=_auc_interval(classes, labels, float(np.mean(areas))),
        sd_over_seeds=float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0,
        people=int(classes.size),
        seeds=len(by_seed),
        chance=1.0 / labels,
        calibration=calibration(classes, by_seed, class_weights, certain_from),
    )


def _accuracy_interval(classes: IntArray, by_seed: Sequence[FloatArray], value: float) -> Score:
    random = np.random.default_rng(_SEED)
    recalls = []
    for index in np.unique(classes):
        members = classes == index
        right = float(np.mean([(p[members].argmax(axis=1) == index).sum() for p in by_seed]))
        recalls.append(random.beta(right + 0.5, members.sum() - right + 0.5, _DRAWS))
    low, high = np.percentile(np.mean(recalls, axis=0), [2.5, 97.5])
    return Score(value, min(float(low), value), max(float(high), value))


def _auc_interval(classes: IntArray, labels: int, value: float) -> Score:
    if not math.isfinite(value):
        return Score(value, value, value)
    judged = [1] if labels == 2 else [int(index) for index in np.unique(classes)]
    limits = [_newcombe(value, int(np.sum(classes == i)), int(np.sum(classes != i))) for i in judged]
    low, high = np.mean(limits, axis=0)
    return Score(value, float(low), float(high))


def _newcombe(area: float, ones: int, zeros: int) -> tuple[float, float]:
    """Areas that lie 1.96 of their own standard errors from ``area``, below and above."""

    def distance(other: float) -> float:
        more = (ones + zeros) / 2 - 1
        spread = 1 + more * (1 - other) / (2 - other) + more * other / (1 + other)
        return abs(area - other) - 1.959964 * math.sqrt(other * (1 - other) * spread / (ones * zeros))

    edge = 1e-9
    inside = min(max(area, edge), 1 - edge)  # at 0 and 1 the area itself would count as a solution
    low = 0.0 if area <= edge or distance(edge) <= 0 else float(brentq(distance, edge, inside))
    high = 1.0 if area >= 1 - edge or distance(1 - edge) <= 0 else float(brentq(distance, inside, 1 - edge))
    return low, high
