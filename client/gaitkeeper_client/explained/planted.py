"""Planted defects: one joint changed in one quarter of the cycle, in walks that are otherwise as they were.

Only defects that the model answers to are counted: a model that does not look at the arms says nothing about arms, and
neither should its heatmap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaitkeeper_client.explained.maps import BINS_OF_QUARTER, QUARTERS, Explainer, quarters
from gaitkeeper_client.explained.walks import Sample
from gaitkeeper_client.insight.attribution import evaluate, log_odds_of
from gaitkeeper_shared.arrays import Float32Array, FloatArray
from gaitkeeper_shared.models.registry import GaitModel

SIZE = 1.0
"""Of a defect, in spreads of its channel: 25 degrees at the knee, 20 at the hip, 15 at the ankle."""
LEAST_EFFECT = 0.25
"""Change of log-odds below which a model does not answer to a defect."""
MOST = 8
"""Defects that are explained, those first that the model answers to most."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One joint (``row`` of the heatmap) in one quarter; ``sign``: more or less. ``effect``: on ``label``'s odds."""

    sample: int
    row: int
    quarter: int
    sign: int
    label: int
    effect: float


@dataclass(frozen=True, slots=True)
class PlantedResult:
    """Means over the ``count`` defects: share of the contributions in the planted cell (``mass``), the same in the walk
    without the defect (``before``) and of a model with random weights (``untrained``), share of the map (``chance``).
    ``located``: how often the change is largest in the planted cell; ``tried``: defects that were tried.
    """

    mass: float
    before: float
    untrained: float
    chance: float
    located: float
    chance_located: float
    count: int
    tried: int


def planted(sample: Sample, row: int, quarter: int, sign: int) -> Sample:
    """The sample with one defect, which swells and fades within its quarter."""
    channel = int(np.flatnonzero(sample.placement.row_of_channel == row)[0])
    bins = sample.placement.bins[..., channel]
    inside = (bins >= quarter * BINS_OF_QUARTER) & (bins < (quarter + 1) * BINS_OF_QUARTER)
    within = (bins - quarter * BINS_OF_QUARTER + 0.5) / BINS_OF_QUARTER
    bump = np.where(inside, np.sin(np.pi * within) ** 2, 0.0) * (4.0 / 3.0) * SIZE * sign
    windows: Float32Array = sample.windows.copy()
    windows[..., channel] += bump.astype(np.float32)
    return sample.changed(windows)


def answered_defects(model: GaitModel, samples: list[Sample], labels: int) -> tuple[list[Defect], int]:
    """What the model answers to, strongest first, one defect a joint and quarter; and how many were tried."""
    found: dict[tuple[int, int], Defect] = {}
    tried = 0
    for number, sample in enumerate(samples):
        kinds = [(r, q, s) for r in range(len(sample.placement.rows)) for q in range(QUARTERS) for s in (-1, 1)]
        tried += len(kinds)
        changed = np.concatenate([planted(sample, *kind).windows for kind in kinds])
        effects = np.stack([_effects(model, sample, changed, label) for label in range(labels)], axis=1)
        for kind, effect in zip(kinds, effects, strict=True):
            label = int(effect.argmax())
            defect = Defect(number, *kind, label, float(effect[label]))
            known = found.get(kind[:2])
            if defect.effect >= LEAST_EFFECT and (known is None or known.effect < defect.effect):
                found[kind[:2]] = defect
    return sorted(found.values(), key=lambda item: -item.effect), tried


def _effects(model: GaitModel, sample: Sample, changed: Float32Array, label: int) -> FloatArray:
    odds = log_odds_of(model, label)
    before = evaluate(odds, sample.windows).mean()
    means: FloatArray = evaluate(odds, changed).reshape(-1, sample.windows.shape[0]).mean(axis=1)
    change: FloatArray = means - before
    return change


def planted_result(
    model: GaitModel, untrained: GaitModel, samples: list[Sample], labels: int, explain: Explainer
) -> PlantedResult | None:
    """Explain the :data:`MOST` defects that the model answers to most; None where it answers to none."""
    defects, tried = answered_defects(model, samples, labels)
    if not defects:
        return None
    chosen, plain = defects[:MOST], dict[tuple[int, int], FloatArray]()
    rows = []
    for defect in chosen:
        sample, key = samples[defect.sample], (defect.sample, defect.label)
        if key not in plain:
            plain[key] = explain(model, sample, defect.label)
        bad = planted(sample, defect.row, defect.quarter, defect.sign)
        after, random = explain(model, bad, defect.label), explain(untrained, bad, defect.label)
        change = quarters(after - plain[key])
        hit = int(change.argmax()) == defect.row * QUARTERS + defect.quarter
        shares = [_share(cells, defect) for cells in (after, plain[key], random)]
        rows.append([*shares, 1.0 / change.size, float(hit)])
    mass, before, other, chance, located = np.mean(rows, axis=0)
    return PlantedResult(mass, before, other, chance, located, chance, len(chosen), tried)


def _share(cells: FloatArray, defect: Defect) -> float:
    parts = quarters(np.abs(cells))
    return float(parts[defect.row, defect.quarter] / max(float(parts.sum()), 1e-12))
