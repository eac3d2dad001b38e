"""Calibration under the same budget: private steps that only change how sharp a head is, and its offsets.

Clipping, noise, class weights and few rounds leave a head whose scores are no probabilities: too sure of itself or not
sure enough, and with its threshold moved. A study's last rounds mend that (``training.calibration``). With logits z of
the model that trained, they fit the temperature and the offsets of ``softmax(a z + c)`` (Platt 1999; Guo et al. 2017,
doi:10.48550/arXiv.1706.04599), one number and one per label, by the same mechanism as training: patients drawn at the
public rate, one clipped row each, noise, and the public divisor. The head is scaled and shifted in place, so that the
model stays what it was: a linear head over an encoder.

The rows come from the patients that were trained on. With as few numbers as a private head has, they tell nearly what
new people would; where a head is large they flatter it, and the calibration is then too sure.

One number moves every weight of the head. Rounded as float32 each on its own, the weights would tell it many times
over: from the sum of a few sites' weights alone, the number of each of them can be found. So weights and number have
few enough digits that their product is exact, and the sum of the sites' weights tells the sum of their numbers alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from gaitkeeper_client.training.frozen import frozen_features
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.privacy.calibration import MOST_SHIFT, TYPICAL_LOGIT, factor_digits, factor_noise
from gaitkeeper_shared.privacy.noise import gaussian, poisson_sample
from gaitkeeper_shared.secure.arithmetic import FRACTION_BITS

if TYPE_CHECKING:
    from gaitkeeper_client.training.dataset import Person
    from gaitkeeper_client.training.dpsgd import PrivateSteps
    from gaitkeeper_shared.models.registry import GaitModel

_SIGNIFICAND = 24
"""Binary digits of a float32."""


def calibrate_private(model: GaitModel, people: Sequence[Person], steps: PrivateSteps, learning_rate: float) -> None:
    """Take a round's private steps on the sharpness and the offsets of ``model``'s head, in place. No momentum."""
    weight, bias = model.head.weight, model.head.bias
    patients = [_Patient(model, person) for person in people]
    first = np.concatenate([_array(weight), _array(bias)[:, None]], axis=1)
    factor, offsets = 1.0, np.zeros(bias.numel())
    most = MOST_SHIFT * TYPICAL_LOGIT * steps.normaliser / learning_rate
    for _ in range(steps.steps):
        head = first * factor
        head[:, -1] -= offsets
        drawn = [patients[index] for index in np.flatnonzero(poisson_sample(len(patients), steps.sample_rate))]
        total = np.zeros(1 + bias.numel())
        for patient in drawn:
            total += clipped(patient.row(head), steps, patient.class_index)
        # A bound on the sum is no further step for anybody: two sums do not get farther from each other by it.
        total[0] = np.clip(total[0], -most, most)
        total += gaussian(total.size, steps.noise_multiplier * steps.clip_norm)
        step = learning_rate * total / steps.normaliser
        own = 1.0 - float(step[0]) / TYPICAL_LOGIT
        factor, offsets = factor * own, offsets * own + step[1:]
    noise = factor_noise(learning_rate, steps.noise_multiplier, steps.clip_norm, steps.normaliser)
    weights, factor = sharpened(first[:, :-1], factor, noise)
    with torch.no_grad():
        weight.copy_(torch.from_numpy(weights).to(weight))
        bias.copy_(torch.from_numpy(first[:, -1] * factor - offsets).to(bias))


def sharpened(weights: FloatArray, factor: float, noise: float) -> tuple[FloatArray, float]:
    """``weights`` times ``factor``, exact in float32 and in a masked sum's fixed point, and the factor as it was used.

    Both are rounded first: the factor to the digits for its ``noise`` (a standard deviation; see ``factor_digits``),
    the weights to what is left. Without noise, in a rehearsal, nothing is rounded.
    """
    if noise == 0.0:
        return weights * factor, factor
    whole, digits = factor_digits(noise)
    used = float(np.rint(factor * 2.0**digits)) * 2.0**-digits
    left = _SIGNIFICAND - whole - digits
    largest = float(np.abs(weights).max(initial=0.0))
    # Not below what the fixed point of masked sums has digits for.
    exponent = max(math.frexp(largest)[1], left + digits - FRACTION_BITS)
    grid = 2.0 ** (exponent - left)
    rounded: FloatArray = np.rint(weights / grid) * grid * used
    return rounded, used


class _Patient:
    """A patient's (N, F + 1) features, with a last column of ones for the offsets."""

    def __init__(self, model: GaitModel, person: Person) -> None:
        if model.frozen:
            features = frozen_features(model, person.windows)
        else:
            with torch.no_grad():
                features = model.encoder(torch.from_numpy(person.windows).to(model.head.weight.device)).cpu()
        self.features = np.concatenate([features.double().numpy(), np.ones((features.shape[0], 1))], axis=1)
        self.class_index = person.class_index

    def row(self, head: FloatArray) -> FloatArray:
        """(1 + L,) derivative of the mean loss by the sharpness, in units of :data:`TYPICAL_LOGIT`, and the offsets."""
        logits = self.features @ head.T
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        errors = powers / powers.sum(axis=1, keepdims=True)
        errors[:, self.class_index] -= 1.0
        sharpness = float((errors * logits).sum(axis=1).mean()) / TYPICAL_LOGIT
        row: FloatArray = np.concatenate([[sharpness], errors.mean(axis=0)])
        return row


def clipped(row: FloatArray, steps: PrivateSteps, class_index: int) -> FloatArray:
    """A patient's row, no longer than the clip norm, times the weight of their class; 0 where it is not finite."""
    length = float(np.linalg.norm(row))
    if not np.isfinite(length):
        return np.zeros_like(row)
    weight = steps.class_weights[class_index] if steps.class_weights else 1.0
    shortened: FloatArray = row * (weight * min(1.0, steps.clip_norm / (length + 1e-6)))
    return shortened


def _array(parameter: torch.Tensor) -> FloatArray:
    return parameter.detach().cpu().double().numpy()
