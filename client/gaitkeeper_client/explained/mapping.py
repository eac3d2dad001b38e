"""Statistical parametric mapping: where in the cycle a walk differs from healthy walkers, whatever a model thinks.

Pataky 2010, doi:10.1016/j.jbiomech.2010.03.008; spm1d. Two-sample t over the cycle, the patient's cycles against mean
cycles of simulated healthy walkers, at 5 % over all channels.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from gaitkeeper_client.explained.walks import SimulatedWalk, simulated_walk
from gaitkeeper_client.insight.findings import PHASE_BINS
from gaitkeeper_client.insight.heatmap import Placement
from gaitkeeper_client.insight.phases import side_phases
from gaitkeeper_shared.arrays import BoolArray, FloatArray
from gaitkeeper_shared.models.channels import CHANNEL_BY_NAME, scaled

POINTS = 101
ALPHA = 0.05
FLAT = 0.02
"""Spreads of noise that stand for what no measurement resolves: half a degree at the knee."""
HEALTHY_WALKERS = 6
_FIRST_HEALTHY = 50
"""Other seeds than those of the walks that are explained."""


def differing_cells(walk: SimulatedWalk, channels: tuple[str, ...], placement: Placement, seconds: float) -> BoolArray:
    """(R, B) cells of the heatmap in which some channel of the joint differs from healthy walkers'."""
    import spm1d

    noise = np.random.default_rng(0)
    found = np.zeros((len(placement.rows), PHASE_BINS), dtype=bool)
    for index, name in enumerate(channels):
        own, healthy = cycles_of(walk, name), healthy_cycles(name, seconds)
        if own.shape[0] < 3:
            continue
        # A foot on the floor has no height that varies, and the test wants a variance everywhere.
        own, healthy = (curves + FLAT * noise.normal(size=curves.shape) for curves in (own, healthy))
        result = spm1d.stats.ttest2(own, healthy, equal_var=False).inference(ALPHA / len(channels), two_tailed=True)
        beyond = np.abs(np.asarray(result.z)) > float(result.zstar)
        at = np.minimum((np.arange(POINTS) * PHASE_BINS) // (POINTS - 1), PHASE_BINS - 1)
        share = np.bincount(at, weights=beyond, minlength=PHASE_BINS) / np.bincount(at, minlength=PHASE_BINS)
        found[placement.row_of_channel[index]] |= share >= 0.5
    return found


def cycles_of(walk: SimulatedWalk, channel: str) -> FloatArray:
    """(K, 101) scaled values of a channel over the walk's complete cycles, without those at its ends."""
    signals = walk.signals()
    values = scaled(signals, (channel,))[:, 0].astype(np.float64)
    at = side_phases(signals.time_s, walk.events, CHANNEL_BY_NAME[channel].side or "left")
    grid = np.linspace(0.0, 1.0, POINTS)
    numbers = range(1, int(at.cycle.max(initial=-1)))
    curves = [
        np.interp(grid, at.phase[at.cycle == number], values[at.cycle == number])
        for number in numbers
        if np.isfinite(values[at.cycle == number]).all() and (at.cycle == number).sum() >= 10
    ]
    return np.stack(curves) if curves else np.empty((0, POINTS))


@cache
def healthy_cycles(channel: str, seconds: float) -> FloatArray:
    """(W, 101) mean cycles of the healthy walkers."""
    walkers = (simulated_walk("healthy", _FIRST_HEALTHY + seed, seconds) for seed in range(HEALTHY_WALKERS))
    return np.stack([cycles_of(walker, channel).mean(axis=0) for walker in walkers])
