"""Deletion and insertion: does the answer follow the cells that the heatmap marks?

Petsiuk, Das, Saenko 2018, arXiv:1806.07421, with the reference walk in the place of an empty picture. Faithfulness
asks the same cell by cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaitkeeper_client.explained.maps import BINS_OF_QUARTER, QUARTERS, mean_odds, quarters, replaced
from gaitkeeper_client.explained.walks import Sample
from gaitkeeper_client.insight.rescaling import rank_correlation
from gaitkeeper_shared.arrays import AnyArray, BoolArray, FloatArray
from gaitkeeper_shared.models.registry import GaitModel

STEPS = 10
DRAWS = 8
LEAST_GAP = 0.5
"""Log-odds by which walk and reference must differ: below, there is nothing to delete."""


@dataclass(frozen=True, slots=True)
class CurveResult:
    """Areas under the curves of one walk, as shares of the height between reference and walk; ``random``: mean of
    :data:`DRAWS` orders. ``faithful``: rank correlation of contributions with what each part's removal costs.
    """

    deletion: float
    random_deletion: float
    insertion: float
    random_insertion: float
    faithful: float


def curve_result(model: GaitModel, sample: Sample, label: int, cells: FloatArray, seed: int = 0) -> CurveResult | None:
    """Curves of one walk for its (R, B) heatmap; None where the walk is to the model what the reference is."""
    nothing = np.zeros(cells.shape, dtype=bool)
    top, bottom = (mean_odds(model, replaced(sample, mask), label) for mask in (nothing, ~nothing))
    if abs(top - bottom) < LEAST_GAP:
        return None
    sign = 1.0 if top > bottom else -1.0
    order = np.argsort(-sign * cells, axis=None)
    random = np.random.default_rng(seed)
    drawn = [random.permutation(cells.size) for _ in range(DRAWS)]

    def area(cells_in_order: AnyArray, *, insert: bool) -> float:
        heights = []
        for step in range(STEPS + 1):
            mask = np.zeros(cells.size, dtype=bool)
            mask[cells_in_order[: round(step / STEPS * cells.size)]] = True
            shape: BoolArray = mask.reshape(cells.shape)
            odds = mean_odds(model, replaced(sample, ~shape if insert else shape), label)
            heights.append((odds - bottom) / (top - bottom))
        return float(np.trapezoid(heights, dx=1.0 / STEPS))

    parts = quarters(cells)
    falls = np.zeros(parts.shape)
    for row in range(parts.shape[0]):
        for quarter in range(QUARTERS):
            mask = nothing.copy()
            mask[row, quarter * BINS_OF_QUARTER : (quarter + 1) * BINS_OF_QUARTER] = True
            falls[row, quarter] = top - mean_odds(model, replaced(sample, mask), label)
    return CurveResult(
        deletion=area(order, insert=False),
        random_deletion=float(np.mean([area(one, insert=False) for one in drawn])),
        insertion=area(order, insert=True),
        random_insertion=float(np.mean([area(one, insert=True) for one in drawn])),
        faithful=rank_correlation(parts, falls),
    )
