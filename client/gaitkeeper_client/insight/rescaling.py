"""Temporal saliency rescaling: which moments, and which joints in them, a model's contributions depend on.

Ismail, Gunady, Corrada Bravo, Feizi 2020, arXiv:2010.13924: attributions of recurrent models mark few moments and hide
which feature mattered at them. So a moment is put back to the reference and the contributions are taken anew; what
changes them is relevant. The same is done for each joint at the relevant moments, and both changes are multiplied. Here
moments are stretches of a window, features are joints, and "put back" means to the reference walk.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from gaitkeeper_client.insight.attribution import LogOdds, integrated_gradients
from gaitkeeper_client.insight.findings import PHASE_BINS, HeatmapRow, Rescaling
from gaitkeeper_client.insight.heatmap import Placement, heatmap
from gaitkeeper_shared.arrays import BoolArray, Float32Array, FloatArray, IntArray

STRETCHES = 12
MOST_WINDOWS = 2
STEPS = 6
"""Points on the line from reference to patient: contributions are compared here and need not add up."""


def relevance(odds: LogOdds, windows: Float32Array, reference: Float32Array, placement: Placement) -> FloatArray:
    """(N, T, C) relevance, not negative; the joint's in its first channel and zero in its others.

    ``windows``: few, see :data:`MOST_WINDOWS`; ``placement`` is theirs.
    """
    count, samples, channels = windows.shape
    stretch: IntArray = np.minimum(np.arange(samples) * STRETCHES // samples, STRETCHES - 1)
    plain = integrated_gradients(odds, windows, reference, STEPS)
    every = [(number, part) for number in range(count) for part in range(STRETCHES)]
    masks = np.stack([np.repeat((stretch == part)[:, None], channels, axis=1) for _, part in every])
    of_time = _changes(odds, windows, reference, plain, [number for number, _ in every], masks).reshape(count, -1)
    joints = len(placement.rows)
    looked_at = [
        (number, part, joint)
        for number, part in every
        if of_time[number, part] >= of_time[number].mean()
        for joint in range(joints)
    ]
    masks = np.stack(
        [
            (stretch == part)[:, None] & (placement.row_of_channel == joint)[None, :]
            for _number, part, joint in looked_at
        ]
    )
    of_joint = _changes(odds, windows, reference, plain, [number for number, _, _ in looked_at], masks)
    result = np.zeros(windows.shape)
    for (number, part, joint), change in zip(looked_at, of_joint, strict=True):
        first = int(np.flatnonzero(placement.row_of_channel == joint)[0])
        result[number, stretch == part, first] = change * of_time[number, part]
    return result


def _changes(
    odds: LogOdds,
    windows: Float32Array,
    reference: Float32Array,
    plain: FloatArray,
    numbers: Sequence[int],
    masks: BoolArray,
) -> FloatArray:
    """(M,) how much all contributions of window ``numbers[m]`` change when its (T, C) ``masks[m]`` is put back."""
    index = np.asarray(numbers)
    back = np.where(masks, reference[index], windows[index])
    again = integrated_gradients(odds, back, reference[index], STEPS)
    changes: FloatArray = np.abs(again - plain[index]).sum(axis=(1, 2))
    return changes


def rescaling(
    odds: LogOdds, windows: Float32Array, reference: Float32Array, placement: Placement, rows: Sequence[HeatmapRow]
) -> Rescaling | None:
    """The rescaled map of a few of the windows, against the contributions in ``rows``; None where it is flat."""
    picked = np.linspace(0, windows.shape[0] - 1, min(MOST_WINDOWS, windows.shape[0])).round().astype(int)
    part = Placement(
        placement.rows,
        placement.row_of_channel,
        placement.bins[picked],
        placement.cycles[picked],
        placement.samples_per_bin,
    )
    values = relevance(odds, windows[picked], reference[picked], part)
    cells = np.array([row.contribution for row in heatmap(values, part)])
    total = float(cells.sum())
    if total <= 0.0:
        return None
    shares = cells / total
    contributions = np.abs([row.contribution for row in rows])
    row, column = (int(index) for index in np.unravel_index(int(shares.argmax()), shares.shape))
    step = 100.0 / PHASE_BINS
    return Rescaling(
        shares=tuple(tuple(float(value) for value in line) for line in shares),
        agreement=rank_correlation(contributions, shares),
        joint=placement.rows[row][0],
        side=placement.rows[row][1],
        from_percent=column * step,
        to_percent=(column + 1) * step,
    )


def rank_correlation(one: FloatArray, other: FloatArray) -> float:
    """Spearman's, over all cells; 0 where one of them is constant."""
    first, second = rankdata(one, axis=None), rankdata(other, axis=None)
    if first.std() == 0.0 or second.std() == 0.0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
