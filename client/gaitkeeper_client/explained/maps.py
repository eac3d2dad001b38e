"""The heatmap under test as an array, and how two of them compare."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gaitkeeper_client.explained.walks import Sample
from gaitkeeper_client.insight.attribution import Logits, complete_attributions, evaluate, log_odds_of
from gaitkeeper_client.insight.findings import PHASE_BINS
from gaitkeeper_client.insight.heatmap import heatmap
from gaitkeeper_shared.arrays import AnyArray, FloatArray
from gaitkeeper_shared.models.registry import GaitModel

QUARTERS = 4
BINS_OF_QUARTER = PHASE_BINS // QUARTERS


Explainer = Callable[[GaitModel, Sample, int], FloatArray]
"""Gives the (R, B) heatmap of a label: :func:`heat`, or what is put in its place to see that the tests notice."""


def heat(model: GaitModel, sample: Sample, label: int) -> FloatArray:
    """(R, B) contributions to the label's log-odds, by joint and phase, as a report shows them."""
    odds = log_odds_of(model, label)
    gap = evaluate(odds, sample.windows) - evaluate(odds, sample.reference)
    attributions, _ = complete_attributions(odds, sample.windows, sample.reference, gap)
    return np.array([row.contribution for row in heatmap(attributions, sample.placement)])


def mean_odds(model: Logits, sample: Sample, label: int) -> float:
    """Log-odds of a label, mean over the windows."""
    return float(evaluate(log_odds_of(model, label), sample.windows).mean())


def quarters(cells: FloatArray) -> FloatArray:
    """(R, B) to (R, 4): summed over the quarters of the cycle."""
    sums: FloatArray = cells.reshape(cells.shape[0], QUARTERS, BINS_OF_QUARTER).sum(axis=2)
    return sums


def replaced(sample: Sample, cells: AnyArray) -> Sample:
    """The sample with the (R, B) marked ``cells`` as in the reference walk."""
    # Column -1 (outside cycles) reads a false appended at the end.
    padded = np.concatenate([cells.astype(bool), np.zeros((cells.shape[0], 1), dtype=bool)], axis=1)
    marked = padded[sample.placement.row_of_channel[None, None, :], sample.placement.bins]
    return sample.changed(np.where(marked, sample.reference, sample.windows))
