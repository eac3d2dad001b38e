"""Scores of a rehearsal whose task is a severity: how far off, and in the right order?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, spearmanr, t

from gaitkeeper_server.rounds.rehearsal_score import Score
from gaitkeeper_shared.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class SeverityScores:
    """Of ``people`` people in ``seeds`` repetitions, in the unit of the study's ``task.values``.

    ``mean_absolute_error``: with Student's interval over people. ``rank_correlation``: Spearman's, with the interval of
    Bonett & Wright (2000, doi:10.1007/BF02294183). ``chance``: the mean absolute error of who says the median of these
    people of everybody. ``sd_over_seeds``: of the mean absolute error.
    """

    mean_absolute_error: Score
    rank_correlation: Score
    sd_over_seeds: float
    people: int
    seeds: int
    chance: float


def severity_score(truth: FloatArray, by_seed: Sequence[FloatArray]) -> SeverityScores:
    """Scores of the same (N,) people, with the ``truth`` of each, in each seed's (N,) severities."""
    errors = np.abs(np.stack(by_seed) - truth)
    by_person, count = errors.mean(axis=0), truth.size
    mean = float(by_person.mean())
    half = 0.0 if count < 2 else float(t.ppf(0.975, count - 1) * by_person.std(ddof=1) / math.sqrt(count))
    correlation = float(np.mean([rank_correlation(truth, told) for told in by_seed]))
    return SeverityScores(
        mean_absolute_error=Score(mean, max(0.0, mean - half), mean + half),
        rank_correlation=_correlation(correlation, count),
        sd_over_seeds=float(np.std(errors.mean(axis=1), ddof=1)) if len(by_seed) > 1 else 0.0,
        people=count,
        seeds=len(by_seed),
        chance=float(np.abs(truth - np.median(truth)).mean()),
    )


def rank_correlation(truth: FloatArray, told: FloatArray) -> float:
    """Spearman's; 0 where one of the two is the same for everybody, as it tells no order then."""
    if truth.size < 2 or np.ptp(truth) == 0 or np.ptp(told) == 0:
        return 0.0
    return float(spearmanr(truth, told).statistic)


def _correlation(value: float, count: int) -> Score:
    if count <= 3:
        return Score(value, -1.0, 1.0)
    inside = min(max(value, -1 + 1e-9), 1 - 1e-9)
    half = float(norm.ppf(0.975)) * math.sqrt((1.0 + inside**2 / 2.0) / (count - 3))
    return Score(value, math.tanh(math.atanh(inside) - half), math.tanh(math.atanh(inside) + half))
