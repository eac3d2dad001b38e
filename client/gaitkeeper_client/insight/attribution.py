"""Integrated gradients of a label's log-odds along the straight line between two inputs, exact to a stated tolerance.

Sundararajan, Taly, Yan 2017, arXiv:1703.01365; captum. Contributions add up to the change of the log-odds; what they
miss of it is given with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from gaitkeeper_shared.arrays import Float32Array, FloatArray

if TYPE_CHECKING:
    import torch

STEPS = 32
"""Gauss-Legendre points on one piece of the line from reference to patient."""
MOST_HALVINGS = 14
PIECE_TOLERANCE = 0.003
"""A piece is halved while its contributions miss its change of log-odds by more than this, or by this share of the
window's whole change: a recurrent model can switch from one label to another on a ten-thousandth of the line."""
BATCH = 512

LogOdds = Callable[["torch.Tensor"], "torch.Tensor"]
Logits = Callable[["torch.Tensor"], "torch.Tensor"]


def log_odds_of(model: Logits, label: int) -> LogOdds:
    """Log-odds of the label against all others, from (N, L) logits.

    Unlike a probability it does not flatten where the model is sure.
    """
    import torch

    def odds(windows: torch.Tensor) -> torch.Tensor:
        logits = model(windows)
        others = torch.cat([logits[:, :label], logits[:, label + 1 :]], dim=1)
        result: torch.Tensor = logits[:, label] - torch.logsumexp(others, dim=1)
        return result

    return odds


def evaluate(odds: LogOdds, windows: Float32Array) -> FloatArray:
    """(N,) log-odds of (N, T, C) windows."""
    import torch

    with torch.inference_mode():
        values: FloatArray = odds(torch.from_numpy(windows)).numpy().astype(np.float64)
    return values


def complete_attributions(
    odds: LogOdds, windows: Float32Array, reference: Float32Array, gap: FloatArray
) -> tuple[FloatArray, float]:
    """Attributions (N, T, C), and the share of the (N,) changes of log-odds that they do not add up to.

    Contributions along a straight line add up over its pieces, so only pieces that do not add up are halved.
    """
    total = np.zeros(windows.shape)
    allowed = PIECE_TOLERANCE * np.maximum(np.abs(gap), 1.0)
    rows = np.arange(windows.shape[0])
    start, end = np.zeros(rows.size), np.ones(rows.size)
    for halvings in range(MOST_HALVINGS + 1):
        origin, step = reference[rows], windows[rows] - reference[rows]
        begins = (origin + start[:, None, None] * step).astype(np.float32)
        ends = (origin + end[:, None, None] * step).astype(np.float32)
        pieces = integrated_gradients(odds, ends, begins)
        error = np.abs(evaluate(odds, ends) - evaluate(odds, begins) - pieces.sum(axis=(1, 2)))
        settled = (error <= allowed[rows]) | (halvings == MOST_HALVINGS)
        np.add.at(total, rows[settled], pieces[settled])
        if settled.all():
            break
        rows, start, end = rows[~settled], start[~settled], end[~settled]
        middle = 0.5 * (start + end)
        rows, start, end = np.tile(rows, 2), np.concatenate([start, middle]), np.concatenate([middle, end])
    missing = float(np.abs(gap - total.sum(axis=(1, 2))).sum())
    return total, missing / max(float(np.abs(gap).sum()), 1e-6)


def integrated_gradients(
    odds: LogOdds, windows: Float32Array, reference: Float32Array, steps: int = STEPS
) -> FloatArray:
    """Attributions (N, T, C) of (N, T, C) windows from ``steps`` points on each line; they need not add up."""
    import torch
    from captum.attr import IntegratedGradients

    result = IntegratedGradients(odds).attribute(
        torch.from_numpy(windows),
        baselines=torch.from_numpy(reference),
        n_steps=steps,
        internal_batch_size=max(BATCH, windows.shape[0]),
    )
    attributions: FloatArray = result.detach().numpy().astype(np.float64)
    return attributions
