"""From the sites' noised tables of grades to how far off a severity is, and whether it is in the right order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaitkeeper_server.rounds.states import SiteOutcome
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.federation import grade_metric


@dataclass(frozen=True, slots=True)
class GradeScores:
    """``mean_absolute_error`` in the unit of the study's values, between grades; ``rank_correlation``: Spearman's."""

    mean_absolute_error: float
    rank_correlation: float


def grade_scores(outcomes: Sequence[SiteOutcome], values: Sequence[float]) -> GradeScores | None:
    """Scores of the sum of the sites' tables, whose cells below 0 count as 0.

    None where nothing was evaluated, or where the noise would drown the numbers: three deviations of the noise on the
    number of people reach that number.
    """
    size = len(values)
    names = [[grade_metric(own, judged) for judged in range(size)] for own in range(size)]
    told = [outcome.metrics for outcome in outcomes if all(n in outcome.metrics for row in names for n in row)]
    if not told or not values:
        return None
    table = np.sum([[[metrics[name] for name in row] for row in names] for metrics in told], axis=0)
    deviation = size * float(np.sqrt(sum(metrics.get("noise_std", 0.0) ** 2 for metrics in told)))
    if table.sum() <= 3 * deviation or table.sum() <= 0:
        return None
    return scores_of(np.maximum(table, 0.0), np.asarray(values, dtype=np.float64))


def scores_of(table: FloatArray, values: FloatArray) -> GradeScores:
    """Scores of an (L, L) table of people by their own grade and the one they were judged to have."""
    share = table / table.sum()
    error = float(np.sum(share * np.abs(values[:, None] - values[None, :])))
    own, judged = share.sum(axis=1), share.sum(axis=0)
    # The rank of a grade is the middle of the ranks of the people who have it.
    ranks = [np.cumsum(part) - part / 2.0 - 0.5 for part in (own, judged)]
    spread = float(np.sqrt(np.sum(own * ranks[0] ** 2) * np.sum(judged * ranks[1] ** 2)))
    together = float(np.sum(share * np.outer(ranks[0], ranks[1])))
    return GradeScores(error, together / spread if spread > 1e-12 else 0.0)
