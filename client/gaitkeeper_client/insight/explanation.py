"""Why the model says a label: integrated gradients over joint x gait phase, with the checks that belong to them.

Method: integrated gradients (Sundararajan, Taly, Yan 2017, arXiv:1703.01365; captum) of the label's log-odds, along the
straight line from a **reference walk** to the patient's walk. The reference is the mean healthy walk of published
curves, laid phase by phase under the patient's own gait cycles, so that a contribution is always one of a *difference
from normal walking*. Values outside complete cycles and unknown values are left as they are: they contribute nothing.

Saliency of recurrent models is known to fade over time (arXiv:2010.13924). Three checks therefore stand beside every
explanation: the completeness residual; whether replacing what is marked moves the model more than replacing as much
drawn at random; and the map after temporal saliency rescaling. How far explanations of a release can be trusted at all
is tested once for the release (:mod:`.certificate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gaitkeeper_client.insight.attribution import LogOdds, complete_attributions, evaluate, log_odds_of
from gaitkeeper_client.insight.findings import DeletionCheck, Explanation, HeatmapRow
from gaitkeeper_client.insight.heatmap import Placement, heatmap, highlights, place, with_curves
from gaitkeeper_client.insight.phases import SidePhases, side_phases
from gaitkeeper_client.insight.reference import reference_values
from gaitkeeper_client.insight.rescaling import rescaling
from gaitkeeper_shared.arrays import Float32Array, FloatArray
from gaitkeeper_shared.recording import GaitEvent
from gaitkeeper_shared.skeleton import SIDES

if TYPE_CHECKING:
    import torch

    from gaitkeeper_shared.study import Input

DELETED_SHARE = 0.1
DELETION_DRAWS = 20


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
    phases = phases_of(windows, starts_s, window, events)
    placement = place(window.channels, phases, window.rate_hz)
    if placement.mapped == 0.0:
        return None
    reference = reference_windows(windows, window.channels, phases)
    odds = log_odds_of(model, label_index)
    patient_odds, reference_odds = evaluate(odds, windows), evaluate(odds, reference)
    attributions, residual = complete_attributions(odds, windows, reference, patient_odds - reference_odds)
    plain = heatmap(attributions, placement)
    rows = with_curves(plain, placement, window.channels, attributions, windows, reference)
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
        rescaled=rescaling(odds, windows, reference, placement, rows),
    )


def phases_of(
    windows: Float32Array, starts_s: FloatArray, window: Input, events: Sequence[GaitEvent]
) -> dict[str, SidePhases]:
    """By side, where in the gait cycle each of the (N, T) samples lies."""
    times = starts_s[:, None] + np.arange(windows.shape[1])[None, :] / window.rate_hz
    return {side: side_phases(times, events, side) for side in SIDES}


def reference_windows(windows: Float32Array, channels: Sequence[str], phases: dict[str, SidePhases]) -> Float32Array:
    """The reference walk in the patient's rhythm; the patient's own value where that is unknown."""
    reference = windows.copy()
    values = reference_values(channels, phases)
    # Zero is what an unknown value was filled with; a true zero is at the channel's centre and says as little.
    known = np.isfinite(values) & (windows != 0.0)
    reference[known] = values[known].astype(np.float32)
    return reference


def _deletion(
    odds: LogOdds, windows: Float32Array, reference: Float32Array, rows: Sequence[HeatmapRow], placement: Placement
) -> DeletionCheck | None:
    """Replace the marked tenth of the cells by the reference, then random ones; None where nothing speaks for."""
    scores = np.array([row.contribution for row in rows])
    count = max(1, round(DELETED_SHARE * scores.size))
    if scores.max() <= 0.0:
        return None
    before = float(evaluate(odds, windows).mean())

    def drop(cells: FloatArray) -> float:
        # (R, bins) mask looked up per value; column -1 (outside cycles) reads a false appended at the end.
        padded = np.concatenate([cells, np.zeros((cells.shape[0], 1), dtype=bool)], axis=1)
        replaced = padded[placement.row_of_channel[None, None, :], placement.bins]
        return before - float(evaluate(odds, np.where(replaced, reference, windows)).mean())

    marked = np.zeros(scores.size, dtype=bool)
    marked[np.argsort(-scores, axis=None)[:count]] = True
    random = np.random.default_rng(0)
    drops = []
    for _ in range(DELETION_DRAWS):
        drawn = np.zeros(scores.size, dtype=bool)
        drawn[random.choice(scores.size, size=count, replace=False)] = True
        drops.append(drop(drawn.reshape(scores.shape)))
    return DeletionCheck(drop(marked.reshape(scores.shape)), float(np.mean(drops)), DELETION_DRAWS)
