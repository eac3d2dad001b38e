"""Fits a site's own head over a release's encoder: to the patients of this site alone, and for this site alone.

Only after the study, and never in its rounds: a head that was fitted without noise would make what the other parameters
are trained with depend on patients, and the noise of a round hides a clipped gradient, not that. Ridge towards the
release's head (its strength by cross-validation over people), each label with the same weight. It is kept only where
people whom it was not fitted to are judged better with it than with the release's own head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize

from gaitkeeper_shared.arrays import Float32Array, FloatArray, IntArray
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.training.dataset import Person
    from gaitkeeper_shared.models.bundle import ModelBundle
    from gaitkeeper_shared.models.objective import Objective
    from gaitkeeper_shared.models.registry import GaitModel

STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
FOLDS = 5
FEWEST_OF_A_LABEL = 5
"""One in every fold at least."""
_SEED = 7


@dataclass(frozen=True, slots=True)
class FittedHead:
    """``weights``: of the head, by their names in the model. Losses: means over people who were not fitted to."""

    weights: dict[str, Float32Array]
    strength: float
    loss_before: float
    loss_after: float

    @property
    def better(self) -> bool:
        """Whether people who were not fitted to are judged better with it than with the release's head."""
        return self.loss_after < self.loss_before


def fit_head(bundle: ModelBundle, people: Sequence[Person]) -> FittedHead:
    """Fit it. Raises ``personal-not-foreseen`` or ``personal-too-few``."""
    if bundle.spec.personal != "head":
        raise GaitkeeperError("personal-not-foreseen")
    classes = np.array([person.class_index for person in people], dtype=np.int64)
    counts = np.bincount(classes, minlength=len(bundle.spec.labels))
    if counts.min() < FEWEST_OF_A_LABEL:
        label = bundle.spec.labels[int(counts.argmin())]
        raise GaitkeeperError("personal-too-few", label=label, count=int(counts.min()), needed=FEWEST_OF_A_LABEL)
    site = _Site(bundle.module(), people, classes)
    folds = _folds(classes)
    before = float(np.mean([site.loss(site.start, np.flatnonzero(folds == fold)) for fold in range(FOLDS)]))
    judged = {strength: _judged(site, folds, strength) for strength in STRENGTHS}
    best = min(judged, key=lambda strength: judged[strength])
    head = site.fit(np.arange(classes.size), best)
    weights = {"head.weight": head[:, :-1].astype(np.float32), "head.bias": head[:, -1].astype(np.float32)}
    return FittedHead(weights, best, before, judged[best])


class _Site:
    """The site's people as features under the release's encoder, and heads over them: (O, F + 1), the bias last."""

    def __init__(self, model: GaitModel, people: Sequence[Person], classes: IntArray) -> None:
        self._objective: Objective = model.objective
        with torch.inference_mode():
            own = [model.encoder(torch.from_numpy(person.windows)).double() for person in people]
        rows = [np.concatenate([part.numpy(), np.ones((part.shape[0], 1))], axis=1) for part in own]
        self._features: FloatArray = np.concatenate(rows)
        self._owner = np.repeat(np.arange(classes.size), [part.shape[0] for part in rows])
        self._classes = classes
        weight, bias = model.head.weight.detach().double(), model.head.bias.detach().double()
        self.start: FloatArray = torch.cat([weight, bias[:, None]], dim=1).numpy()

    def loss(self, head: FloatArray, members: IntArray) -> float:
        """Mean over labels of the mean loss of their people."""
        rows, shares = self._rows(members)
        return self._value(head, rows, shares)[0]

    def fit(self, members: IntArray, strength: float) -> FloatArray:
        """The head of least loss on ``members``, ``strength`` times its squared distance from the release's added."""
        rows, shares = self._rows(members)

        def value(flat: FloatArray) -> tuple[float, FloatArray]:
            head = flat.reshape(self.start.shape)
            loss, gradient = self._value(head, rows, shares)
            away = head - self.start
            return loss + strength * float((away**2).sum()), (gradient + 2.0 * strength * away).ravel()

        found = minimize(value, self.start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200})
        head: FloatArray = found.x.reshape(self.start.shape)
        return head

    def _rows(self, members: IntArray) -> tuple[IntArray, FloatArray]:
        """The windows of ``members``, and what each counts: every label alike, within it every person."""
        labels, counts = np.unique(self._classes[members], return_counts=True)
        of_label = np.zeros(int(self._classes.max()) + 1)
        of_label[labels] = 1.0 / (counts * labels.size)
        rows = np.flatnonzero(np.isin(self._owner, members))
        owners = self._owner[rows]
        return rows, of_label[self._classes[owners]] / np.bincount(self._owner)[owners]

    def _value(self, head: FloatArray, rows: IntArray, shares: FloatArray) -> tuple[float, FloatArray]:
        """The loss, and its derivative by the head."""
        features, labels = self._features[rows], torch.from_numpy(self._classes[self._owner[rows]])
        with torch.no_grad():
            outputs = torch.from_numpy(features @ head.T)
            losses = self._objective.losses(outputs, labels).numpy()
            errors = self._objective.errors(outputs, labels).numpy()
        gradient: FloatArray = (errors * shares[:, None]).T @ features
        return float(losses @ shares), gradient


def _folds(classes: IntArray) -> IntArray:
    """(N,) fold of each person, every label spread evenly."""
    random, folds = np.random.default_rng(_SEED), np.zeros_like(classes)
    for label in np.unique(classes):
        members = random.permutation(np.flatnonzero(classes == label))
        folds[members] = np.arange(members.size) % FOLDS
    return folds


def _judged(site: _Site, folds: IntArray, strength: float) -> float:
    losses = []
    for fold in range(FOLDS):
        head = site.fit(np.flatnonzero(folds != fold), strength)
        losses.append(site.loss(head, np.flatnonzero(folds == fold)))
    return float(np.mean(losses))
