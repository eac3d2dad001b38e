"""Why the model says a label, for models whose head reads measurements of the walk: what each of them adds.

Such an encoder has no trained parameter, and the one over stride features passes no gradient to samples: there is
nothing to lay over a gait cycle. What can be said exactly is how much each measurement moves the head. A contribution
is an integrated gradient of the label's log-odds from a reference to the walk's own measurements, which for a linear
head and two labels is weight times difference. The reference is the reference walk under the patient's rhythm where
there is one, else the middle of the model's own scale, a published constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from gaitkeeper_client.insight.attribution import complete_attributions, evaluate, log_odds_of
from gaitkeeper_client.insight.explanation import phases_of, reference_windows
from gaitkeeper_client.insight.findings import MeasureContribution, MeasuredExplanation
from gaitkeeper_client.insight.reference import has_reference
from gaitkeeper_shared.arrays import BoolArray, Float32Array, FloatArray
from gaitkeeper_shared.models.measures import Measure
from gaitkeeper_shared.recording import GaitEvent

if TYPE_CHECKING:
    import torch

    from gaitkeeper_shared.models.registry import GaitModel, TemporalEncoder
    from gaitkeeper_shared.study import Input

DRAWS = 200
"""Drawings of the walk's strides behind an interval."""
QUANTILES = (0.025, 0.975)
_SEED = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """The measurements that a model's head reads of N windows.

    ``features``, ``reference``: (N, M) in the model's spreads. ``drawn``: (D, N, M) with the strides drawn anew; None
    where they cannot be. ``known``: (N, M), false where nothing was measured. ``seen``: (M,), see
    :class:`MeasureContribution`.
    """

    measures: tuple[Measure, ...]
    features: Float32Array
    reference: Float32Array
    compared_with: Literal["walk", "scale"]
    drawn: Float32Array | None
    known: BoolArray
    seen: FloatArray


def measure(
    model: GaitModel, windows: Float32Array, starts_s: FloatArray, window: Input, events: Sequence[GaitEvent]
) -> Measured | None:
    """What the model measures of (N, T, C) scaled windows; None for a model whose features are learned."""
    import torch

    encoder = model.encoder
    if not encoder.measures:
        return None
    with torch.inference_mode():
        features: Float32Array = encoder.measured(torch.from_numpy(windows)).numpy()
        drawn = encoder.resampled(torch.from_numpy(windows), DRAWS, _SEED)
        reference, compared_with = np.zeros_like(features), "scale"
        if has_reference(window.channels):
            phases = phases_of(windows, starts_s, window, events)
            if any(phases[side].durations_s.size for side in phases):
                under = reference_windows(windows, window.channels, phases)
                reference, compared_with = encoder.measured(torch.from_numpy(under)).numpy(), "walk"
    held = windows != 0.0  # zero is what an unknown value was filled with
    columns = [[window.channels.index(name) for name in one.channels] for one in encoder.measures]
    share = [[float(held[..., column].mean()) for column in places] for places in columns]
    return Measured(
        measures=encoder.measures,
        features=features,
        reference=reference,
        compared_with="walk" if compared_with == "walk" else "scale",
        drawn=None if drawn is None else drawn.numpy(),
        known=(features != 0.0) & (np.array([max(one) for one in share]) > 0.0),
        seen=np.array([min(one) for one in share]),
    )


def drawn_probabilities(model: GaitModel, measured: Measured) -> FloatArray | None:
    """(D, N, L) probabilities, or (D, N, 1) severities, with the strides drawn anew; None where they cannot be."""
    import torch

    if measured.drawn is None:
        return None
    draws, count, width = measured.drawn.shape
    with torch.inference_mode():
        flat = torch.from_numpy(measured.drawn.reshape(draws * count, width))
        logits = model.head(model.encoder.features_of(flat))
        values: FloatArray = model.objective.answers(logits).numpy().astype(np.float64)
    return values.reshape(draws, count, -1)


def explain_measures(model: GaitModel, measured: Measured, label: str, index: int) -> MeasuredExplanation:
    """What each measurement adds to the log-odds of one label."""

    def logits(rows: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = model.head(model.encoder.features_of(rows[:, 0]))
        return values

    odds = log_odds_of(logits, index)
    # A row of measurements is to the path what a window of one sample is.
    walk, reference = measured.features[:, None, :], measured.reference[:, None, :]
    walk_odds, reference_odds = evaluate(odds, walk), evaluate(odds, reference)
    attributions, residual = complete_attributions(odds, walk, reference, walk_odds - reference_odds)
    added = attributions[:, 0].mean(axis=0)
    table = [_contribution(measured, column, added) for column in np.argsort(-np.abs(added), kind="stable")]
    return MeasuredExplanation(
        label=label,
        reference=measured.compared_with,
        linear=model.head.out_features == 2 and _reads_measures_as_they_are(model.encoder),
        log_odds=float(walk_odds.mean()),
        reference_log_odds=float(reference_odds.mean()),
        residual=residual,
        contributions=tuple(table),
    )


def _reads_measures_as_they_are(encoder: TemporalEncoder) -> bool:
    from gaitkeeper_shared.models.registry import TemporalEncoder

    return type(encoder).features_of is TemporalEncoder.features_of


def _contribution(measured: Measured, column: int, added: FloatArray) -> MeasureContribution:
    one, known = measured.measures[column], measured.known[:, column]
    features = measured.features[known, column]
    limited = [one.limited(float(value)) for value in features]
    return MeasureContribution(
        name=one.name,
        unit=one.unit,
        value=_mean(one, features) if known.any() else None,
        ci95=_interval(one, measured.drawn[:, known, column]) if measured.drawn is not None and known.any() else None,
        reference=_mean(one, measured.reference[:, column]),
        contribution=float(added[column]),
        share=float(abs(added[column]) / max(float(np.abs(added).sum()), 1e-12)),
        limited=any(limited),
        seen=float(measured.seen[column]),
    )


def _mean(one: Measure, features: Float32Array) -> float:
    return float(np.mean([one.value(float(value)) for value in features]))


def _interval(one: Measure, drawn: Float32Array) -> tuple[float, float]:
    """95 % of the (D, N) drawings. Windows overlap, so that drawing in several makes nothing surer."""
    low, high = (_mean(one, ends) for ends in np.quantile(drawn, QUANTILES, axis=0).astype(np.float32))
    return low, high
