"""How far a site's private steps can take a model, from public constants alone."""

from __future__ import annotations

import math

import numpy as np

from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.privacy.plan import PrivacyPlan
from gaitkeeper_shared.study import Study, momentum_at_coordinator

_LARGEST_SITE = 100.0
"""A site may have this many times the study's nominal patients, with all their gradients in one direction."""
_DEVIATIONS = 8.0
"""The noise is longer than sqrt(d) + t deviations with a chance below exp(-t^2 / 2)."""
_ROUNDING = 1.01


def largest_update(study: Study, prices: PrivacyPlan, reference: Weights, number: int) -> float:
    """Longest difference, in L2 over all arrays, between an honest update and the ``reference`` it started from.

    ``number``: the round's. A round that calibrates moves the head by its own length times the step on its sharpness.

    Every step's clipped, noised and divided sum at its longest, carried on by momentum, in one direction all along.
    Far more than an honest site comes to, and far less than it takes to replace the mean of all sites by one's own
    numbers. Without privacy nothing is clipped and there is no bound: infinity. The noise's length: Laurent & Massart
    2000, doi:10.1214/aos/1015957395.
    """
    if prices.train is None:
        return math.inf
    privacy, training = study.privacy, study.training
    dimensions = sum(array.size for array in reference.values())
    momentum = 0.0 if momentum_at_coordinator(study) else training.momentum
    noise = prices.site_noise_multiplier * (math.sqrt(dimensions) + _DEVIATIONS)
    step = privacy.clip_norm * (_LARGEST_SITE + noise / (privacy.sample_rate * privacy.patients_per_site))
    if training.calibrates(number):
        head = math.sqrt(sum(float(np.sum(array.astype(np.float64) ** 2)) for array in reference.values()))
        return _ROUNDING * ((1.0 + training.calibration_rate * step) ** training.local_steps - 1.0) * (1.0 + head)
    return _ROUNDING * training.learning_rate * training.local_steps * step / (1.0 - momentum)
