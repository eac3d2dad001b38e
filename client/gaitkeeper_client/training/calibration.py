"""Calibration under the same budget: private steps that only change how sharp a head is, and its offsets.

Clipping, noise, class weights and few rounds leave a head whose scores are no probabilities: too sure of itself or not
sure enough, and with its threshold moved. A study's last rounds mend that (``training.calibration``). With logits z of
the model that trained, they fit the temperature and the offsets of ``softmax(a z + c)`` (Platt 1999; Guo et al. 2017,
doi:10.48550/arXiv.1706.04599), one number and one per label, by the same mechanism as training: patients drawn at the
public rate, one clipped row each, noise, and the public divisor. The head is scaled and shifted in place, so that the
model stays what it was: a linear head over an encoder.

The rows come from the patients that were trained on. With as few numbers as a private head has, they tell nearly what
new people would; where a head is large they flatter it, and the calibration is then too sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from gaitkeeper_client.training.frozen import frozen_features
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.privacy.noise import gaussian, poisson_sample

if TYPE_CHECKING:
    from gaitkeeper_client.training.dataset import Person
    from gaitkeeper_client.training.dpsgd import PrivateSteps
    from gaitkeeper_shared.models.registry import GaitModel

TYPICAL_LOGIT = 4.0
"""The temperature's derivative is that of the offsets times the logits; divided by this it is as long as theirs."""


def calibrate_private(model: GaitModel, people: Sequence[Person], steps: PrivateSteps, learning_rate: float) -> None:
    """Take a round's private steps on the sharpness and the offsets of ``model``'s head, in place. No momentum."""
    weight, bias = model.head.weight, model.head.bias
    patients = [_Patient(model, person) for person in people]
    for _ in range(steps.steps):
        head = np.concatenate([_array(weight), _array(bias)[:, None]], axis=1)
        drawn = [patients[index] for index in np.flatnonzero(poisson_sample(len(patients), steps.sample_rate))]
        total = gaussian(1 + bias.numel(), steps.noise_multiplier * steps.clip_norm)
        for patient in drawn:
            total += clipped(patient.row(head), steps, patient.class_index)
        step = learning_rate * total / steps.normaliser
        factor = 1.0 - float(step[0]) / TYPICAL_LOGIT
        with torch.no_grad():
            weight.mul_(factor)
            bias.mul_(factor).sub_(torch.from_numpy(step[1:]).to(bias))


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
