"""Heads over frozen features, trained as sites train them, fast enough for thousands of runs.

The arithmetic of ``training.dpsgd`` and ``rounds.rehearsal_repeat`` for a linear head, in NumPy and with noise from a
seed, so that the page can be made again; a test compares it with that code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gaitkeeper_client.training.dpsgd import PrivateSteps
from gaitkeeper_client.training.site_round import steps_of
from gaitkeeper_shared.arrays import FloatArray, IntArray
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.privacy.calibration import TYPICAL_LOGIT
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.rehearsal import RehearsalPerson
from gaitkeeper_shared.study import Study


@dataclass(frozen=True, slots=True)
class People:
    """``features``: (N, W, F) with a last column of ones for the bias, 0 past a person's windows. ``share``: (N, W) of
    each window in its person's mean. ``classes``: (N,)."""

    features: FloatArray
    share: FloatArray
    classes: IntArray

    @classmethod
    def of(cls, people: Sequence[RehearsalPerson], start: ModelBundle) -> People:
        """Features under a study's frozen encoder."""
        model = start.module()
        with torch.inference_mode():
            own = [model.encoder(torch.from_numpy(person.windows)).numpy() for person in people]
        most = max(len(rows) for rows in own)
        features = np.zeros((len(own), most, own[0].shape[1] + 1))
        share = np.zeros((len(own), most))
        for index, rows in enumerate(own):
            features[index, : len(rows)] = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
            share[index, : len(rows)] = 1.0 / len(rows)
        return cls(features, share, np.array([person.class_index for person in people]))

    def take(self, mask: FloatArray | IntArray) -> People:
        """Some of the people."""
        return People(self.features[mask], self.share[mask], self.classes[mask])

    def probabilities(self, head: FloatArray) -> FloatArray:
        """(N, L) mean probabilities under a (L, F) head."""
        mean: FloatArray = np.einsum("nwl,nw->nl", _softmax(self.features @ head.T), self.share)
        return mean


def initial_head(spec: ModelSpec) -> FloatArray:
    """(L, F) weight and bias as they are drawn for the study's seed."""
    weights = ModelBundle.initial(spec).weights
    return np.concatenate([weights["head.weight"], weights["head.bias"][:, None]], axis=1).astype(np.float64)


def train(
    study: Study, sites: Sequence[People], head: FloatArray, random: np.random.Generator, everybody: bool = False
) -> FloatArray:
    """The head after all rounds of a study at ``sites``. ``everybody``: nobody is left to chance (for the test)."""
    prices = plan(study)
    steps = steps_of(study, prices)
    # Equal steps at every site and a mean of equal weights: momentum at the sites and at the coordinator are one.
    training = study.training
    momentum, moved, states = training.momentum, np.zeros_like(head), []
    for _ in range(training.rounds - training.calibration):
        gradients = [_site_gradient(site, steps, head, random, everybody) for site in sites]
        moved = momentum * moved + np.mean(gradients, axis=0)
        head = head - steps.learning_rate * moved
        states.append(head)
    head = _last_ones(states, training.average)
    if not training.calibration:
        return head
    states = []
    for _ in range(training.calibration):
        rows = [_site_calibration(site, steps, head, random, everybody) for site in sites]
        step = training.calibration_rate * np.mean(rows, axis=0)
        head = head * (1.0 - step[0] / TYPICAL_LOGIT)
        head[:, -1] -= step[1:]
        states.append(head)
    return _last_ones(states, training.average)


def _last_ones(states: Sequence[FloatArray], share: float) -> FloatArray:
    mean: FloatArray = np.mean(states[-max(1, round(share * len(states))) :], axis=0)
    return mean


def _site_calibration(
    site: People, steps: PrivateSteps, head: FloatArray, random: np.random.Generator, everybody: bool
) -> FloatArray:
    total = steps.noise_multiplier * steps.clip_norm * random.normal(size=1 + head.shape[0])
    if site.classes.size:
        logits = site.features @ head.T
        errors = (_softmax(logits) - np.eye(head.shape[0])[site.classes][:, None]) * site.share[..., None]
        sharpness = np.einsum("nwl,nwl->n", errors, logits) / TYPICAL_LOGIT
        total = total + _drawn(np.column_stack([sharpness, errors.sum(axis=1)]), site, steps, random, everybody)
    step: FloatArray = total / steps.normaliser
    return step


def _drawn(
    rows: FloatArray, site: People, steps: PrivateSteps, random: np.random.Generator, everybody: bool
) -> FloatArray:
    """The sum of the (N, ...) rows of who is drawn, each clipped and weighed."""
    flat = rows.reshape(rows.shape[0], -1)
    factors = np.minimum(1.0, steps.clip_norm / (np.linalg.norm(flat, axis=1) + 1e-6))
    if steps.class_weights:
        factors = factors * np.array(steps.class_weights)[site.classes]
    factors = factors * (everybody | (random.random(site.classes.size) < steps.sample_rate))
    total: FloatArray = np.tensordot(factors, rows, axes=1)
    return total


def _site_gradient(
    site: People, steps: PrivateSteps, head: FloatArray, random: np.random.Generator, everybody: bool
) -> FloatArray:
    total = steps.noise_multiplier * steps.clip_norm * random.normal(size=head.shape)
    if site.classes.size:
        errors = _softmax(site.features @ head.T) - np.eye(head.shape[0])[site.classes][:, None]
        rows = np.einsum("nwl,nwf,nw->nlf", errors, site.features, site.share)
        total = total + _drawn(rows, site, steps, random, everybody)
    gradient: FloatArray = total / steps.normaliser
    return gradient


def _softmax(logits: FloatArray) -> FloatArray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: FloatArray = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities
