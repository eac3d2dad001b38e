"""Why the model says a label: integrated gradients over joint x gait phase, with the checks that belong to them.

Method: integrated gradients (Sundararajan, Taly, Yan 2017, arXiv:1703.01365; captum) of the label's log-odds, along the
straight line from a **reference walk** to the patient's walk. The reference is the mean healthy walk of published
curves, laid phase by phase under the patient's own gait cycles, so that a contribution is always one of a *difference
from normal walking*. Values outside complete cycles and unknown values are left as they are: they contribute nothing.

Saliency of recurrent models is known to fade over time (arXiv:2010.13924). Two checks therefore stand beside every
explanation: the completeness residual, and whether replacing what is marked moves the model more than replacing as much
drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gaitkeeper_client.insight.findings import DeletionCheck, Explanation, HeatmapRow
from gaitkeeper_client.insight.heatmap import Placement, heatmap, highlights, place
from gaitkeeper_client.insight.phases import SidePhases, side_phases
from gaitkeeper_client.insight.reference import reference_values
from gaitkeeper_shared.arrays import Float32Array, FloatArray
from gaitkeeper_shared.recording import GaitEvent
from gaitkeeper_shared.skeleton import SIDES

if TYPE_CHECKING:
    import torch

    from gaitkeeper_shared.study import Input

STEPS = 32
"""Gauss-Legendre points on one piece of the line from reference to patient."""
MOST_HALVINGS = 14
PIECE_TOLERANCE = 0.003
"""A piece is halved while its contributions miss its change of log-odds by more than this, or by this share of the
window's whole change: a recurrent model can switch from one label to another on a ten-thousandth of the line."""
BATCH = 512
DELETED_SHARE = 0.1
DELETION_DRAWS = 20

LogOdds = Callable[["torch.Tensor"], "torch.Tensor"]


def explain(
    model: torch.nn.Module,
    windows: Float32Array,
    starts_s: FloatArray,
    window: Input,
    events: Sequence[GaitEvent],
    label: str,
    label_index: int,
) -> Explanation | None:
    """Explain one label for (N, T, C) scaled ``windows`` that begin at (N,) ``starts_s``.

    ``model`` maps windows to (N, L) logits, in evaluation mode. None where no window meets a complete gait cycle.
    """
    times = starts_s[:, None] + np.arange(windows.shape[1])[None, :] / window.rate_hz
    phases = {side: side_phases(times, events, side) for side in SIDES}
    placement = place(window.channels, phases, window.rate_hz)
    if placement.mapped == 0.0:
        return None
    reference = _reference_windows(windows, window.channels, phases)
    odds = _log_odds(model, label_index)
    patient_odds, reference_odds = _evaluate(odds, windows), _evaluate(odds, reference)
    attributions, residual = _complete_attributions(odds, windows, reference, patient_odds - reference_odds)
    rows = heatmap(attributions, placement)
    difference = (windows - reference).astype(np.float64)
    return Explanation(
        label=label,
        rows=rows,
        highlights=highlights(rows, placement, window.channels, attributions, difference),
        log_odds=float(patient_odds.mean()),
        reference_log_odds=float(reference_odds.mean()),
        residual=residual,
        mapped=placement.mapped,
        cycles=sum(int(phases[side].durations_s.size) for side in SIDES),
        deletion=_deletion(odds, windows, reference, rows, placement),
    )


def _reference_windows(windows: Float32Array, channels: Sequence[str], phases: dict[str, SidePhases]) -> Float32Array:
    """The reference walk in the patient's rhythm; the patient's own value where that is unknown."""
    reference = windows.copy()
    values = reference_values(channels, phases)
    # Zero is what an unknown value was filled with; a true zero is at the channel's centre and says as little.
    known = np.isfinite(values) & (windows != 0.0)
    reference[known] = values[known].astype(np.float32)
    return reference


def _log_odds(model: torch.nn.Module, label: int) -> LogOdds:
    """Log-odds of the label against all others: unlike a probability it does not flatten where the model is sure."""
    import torch

    def odds(windows: torch.Tensor) -> torch.Tensor:
        logits = model(windows)
        others = torch.cat([logits[:, :label], logits[:, label + 1 :]], dim=1)
        result: torch.Tensor = logits[:, label] - torch.logsumexp(others, dim=1)
        return result

    return odds


def _evaluate(odds: LogOdds, windows: Float32Array) -> FloatArray:
    import torch

    with torch.inference_mode():
        values: FloatArray = odds(torch.from_numpy(windows)).numpy().astype(np.float64)
    return values


def _complete_attributions(
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
        pieces = _integrated_gradients(odds, ends, begins)
        error = np.abs(_evaluate(odds, ends) - _evaluate(odds, begins) - pieces.sum(axis=(1, 2)))
        settled = (error <= allowed[rows]) | (halvings == MOST_HALVINGS)
        np.add.at(total, rows[settled], pieces[settled])
        if settled.all():
            break
        rows, start, end = rows[~settled], start[~settled], end[~settled]
        middle = 0.5 * (start + end)
        rows, start, end = np.tile(rows, 2), np.concatenate([start, middle]), np.concatenate([middle, end])
    missing = float(np.abs(gap - total.sum(axis=(1, 2))).sum())
    return total, missing / max(float(np.abs(gap).sum()), 1e-6)


def _integrated_gradients(odds: LogOdds, windows: Float32Array, reference: Float32Array) -> FloatArray:
    import torch
    from captum.attr import IntegratedGradients

    result = IntegratedGradients(odds).attribute(
        torch.from_numpy(windows),
        baselines=torch.from_numpy(reference),
        n_steps=STEPS,
        internal_batch_size=max(BATCH, windows.shape[0]),
    )
    attributions: FloatArray = result.detach().numpy().astype(np.float64)
    return attributions


def _deletion(
    odds: LogOdds, windows: Float32Array, reference: Float32Array, rows: Sequence[HeatmapRow], placement: Placement
) -> DeletionCheck | None:
    """Replace the marked tenth of the cells by the reference, then random ones; None where nothing speaks for."""
    scores = np.array([row.contribution for row in rows])
    count = max(1, round(DELETED_SHARE * scores.size))
    if scores.max() <= 0.0:
        return None
    before = float(_evaluate(odds, windows).mean())

    def drop(cells: FloatArray) -> float:
        # (R, bins) mask looked up per value; column -1 (outside cycles) reads a false appended at the end.
        padded = np.concatenate([cells, np.zeros((cells.shape[0], 1), dtype=bool)], axis=1)
        replaced = padded[placement.row_of_channel[None, None, :], placement.bins]
        return before - float(_evaluate(odds, np.where(replaced, reference, windows)).mean())

    marked = np.zeros(scores.size, dtype=bool)
    marked[np.argsort(-scores, axis=None)[:count]] = True
    random = np.random.default_rng(0)
    drops = []
    for _ in range(DELETION_DRAWS):
        drawn = np.zeros(scores.size, dtype=bool)
        drawn[random.choice(scores.size, size=count, replace=False)] = True
        drops.append(drop(drawn.reshape(scores.shape)))
    return DeletionCheck(drop(marked.reshape(scores.shape)), float(np.mean(drops)), DELETION_DRAWS)
