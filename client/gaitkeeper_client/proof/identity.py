"""Whether a walk says who walks: re-identification from one recording to another, and its bound behind the noise.

A walk identifies: keypoints are biometric data (arXiv:2203.04179). What leaves a site is (epsilon, delta)-private, and
that bounds how often anybody can say whose it is. Somebody is at the site alone, or nobody is; of n people, whoever
guesses g from what was sent is right with the mean probability

    (1/n) sum_i P(g = i | i)  <=  (1/n) sum_i (e^epsilon P(g = i | nobody) + delta)  <=  e^epsilon / n + delta,

since the guesses of one who sees nobody's data add up to at most one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.privacy.accounting import Spend, epsilon

_DELTAS = (1e-4, 1e-3, 3e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.3)


def rank_one(gallery: FloatArray, probes: FloatArray) -> float:
    """Share of probes whose nearest row of ``gallery`` is the one with their own number. Both (people, features)."""
    distances = np.linalg.norm(probes[:, None, :] - gallery[None, :, :], axis=2)
    return float(np.mean(distances.argmin(axis=1) == np.arange(len(probes))))


def identification_bound(spends: Sequence[Spend], people: int) -> float:
    """The mean share of right guesses that ``spends`` permit anybody among ``people``; 1 where that says nothing.

    It holds at every delta, so the least is taken.
    """
    bounds = (math.exp(min(epsilon(spends, delta), 700.0)) / people + delta for delta in _DELTAS)
    return min(1.0, *bounds)
