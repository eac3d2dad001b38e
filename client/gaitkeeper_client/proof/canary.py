"""The guesser: a coordinator who knows everything but whether one patient, the canary, is at the site.

It sends the weights that it likes, knows the canary's walk and so the gradient that it has, sees each noised update,
and knows everybody else (here: there is nobody else, the hardest case for the promise). This is the adversary that
differential privacy is about; what it cannot do, no weaker one can (Nasr et al. 2021, doi:10.48550/arXiv.2101.04535).
The updates come from the training code of a site, :func:`~gaitkeeper_client.training.dpsgd.train_private`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from gaitkeeper_client.training import dpsgd
from gaitkeeper_client.training.dataset import Person
from gaitkeeper_client.training.site_round import steps_of
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.privacy.plan import PrivacyPlan, plan

if TYPE_CHECKING:
    from gaitkeeper_client.training.dpsgd import PrivateSteps
    from gaitkeeper_shared.models.registry import GaitModel
    from gaitkeeper_shared.study import Study

CANARY_WINDOWS = 4
OTHERS = 8
LARGEST_SCALE = 2.0**14


@dataclass(frozen=True, slots=True)
class Target:
    """What is attacked: one step of a study's training, over and over. ``model`` holds the weights that are sent.

    ``gradient``: (parameters,) the canary's clipped gradient at these weights. ``honest``: how many sites' updates are
    summed before anybody sees them, each with its share of the noise. ``noise_std``: of what the sum should carry.
    ``others``: whom the canary is trained on with, where the finished model is looked at.
    """

    study: Study
    prices: PrivacyPlan
    model: GaitModel
    steps: PrivateSteps
    canary: Person
    gradient: FloatArray
    noise_std: float
    honest: int
    others: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """What the guesser saw: (steps,) each noised sum's length along the canary's gradient."""

    seen: FloatArray


def target(study: Study, study_hash: str, seed: int = 0) -> Target:
    """A study's training with a canary in it. Raises ``audit-no-privacy``, ``audit-no-canary``."""
    prices = plan(study)
    if prices.train is None:
        raise GaitkeeperError("audit-no-privacy", study=study.name)
    model = ModelBundle.initial(ModelSpec.of(study, study_hash)).module()
    # One step at a time: what the accountant counts is each step, seen by itself.
    steps = replace(steps_of(study, prices), steps=1, learning_rate=1.0, momentum=0.0)
    canary, gradient = _canary(model, study, steps, seed)
    honest = prices.honest_sites
    noise_std = prices.train.noise_multiplier * steps.clip_norm
    return Target(study, prices, model, steps, canary, gradient, noise_std, honest, _others(study, seed + 1))


def observe(attacked: Target, count: int, *, present: bool, steps: PrivateSteps) -> Trial:
    """``count`` steps at a site with the canary or without, as the guesser sees them."""
    return watched(attacked, count, lambda there: update_of(attacked, steps, present=there), present=present)


def watched(attacked: Target, count: int, update: Callable[[bool], FloatArray], *, present: bool) -> Trial:
    """The sums of ``update`` over the honest sites, the first of which the canary is at, if anywhere."""
    direction = attacked.gradient / np.linalg.norm(attacked.gradient)
    sums = (sum(update(present and site == 0) @ direction for site in range(attacked.honest)) for _ in range(count))
    return Trial(np.array(list(sums)))


def update_of(attacked: Target, steps: PrivateSteps, *, present: bool) -> FloatArray:
    """(parameters,) the noised sum of one site's step from the weights that were sent; the model is put back."""
    people: Sequence[Person] = (attacked.canary,) if present else ()
    parameters = list(attacked.model.private_parameters())
    start = [parameter.detach().clone() for parameter in parameters]
    dpsgd.train_private(attacked.model, people, steps)
    moved = _flat([old - new.detach() for old, new in zip(start, parameters, strict=True)])
    _reset(attacked.model, start)
    return moved * steps.normaliser


def likelihood(attacked: Target, trial: Trial) -> float:
    """The logarithm of how much likelier what was seen is with the canary than without, if all is as promised: the best
    statistic there is, by the lemma of Neyman and Pearson."""
    size, std = float(np.linalg.norm(attacked.gradient)), attacked.noise_std
    rate = attacked.study.privacy.sample_rate
    exponent = (trial.seen * size - 0.5 * size**2) / std**2
    return float(np.logaddexp(np.log1p(-rate) if rate < 1.0 else -np.inf, np.log(rate) + exponent).sum())


def spread(_: Target, trial: Trial) -> float:
    """How far apart the steps lie: noise that is used again cancels between two of them."""
    return float(np.ptp(trial.seen))


STATISTICS: dict[str, Callable[[Target, Trial], float]] = {"likelihood": likelihood, "spread": spread}


def _canary(model: GaitModel, study: Study, steps: PrivateSteps, seed: int) -> tuple[Person, FloatArray]:
    """Somebody whose gradient is as long as any can get, and the same in each window. Raises ``audit-no-canary``.

    Of a label that counts in full: one whose weight the study lowers has a gradient that short, and shows less.
    """
    generator = np.random.default_rng(seed)
    shape = (1, study.input.window_samples, len(study.input.channels))
    window = generator.normal(size=shape).astype(np.float32)
    weights = steps.class_weights or (1.0,) * len(study.task.labels)
    for label in sorted(range(len(weights)), key=lambda place: -weights[place]):
        scale = 1.0
        while scale <= LARGEST_SCALE:
            windows = np.repeat(window * np.float32(scale), CANARY_WINDOWS, axis=0)
            person = Person("canary", label, windows)
            dpsgd.patient_gradients(model, [dpsgd._Batch.of(person, model)])
            raw = _flat([p.grad_sample[0] for p in model.private_parameters()])  # type: ignore[attr-defined]
            length = float(np.linalg.norm(raw))
            if length >= 1.01 * steps.clip_norm:
                return person, raw * (weights[label] * steps.clip_norm / length)
            scale *= 2.0
    raise GaitkeeperError("audit-no-canary", study=study.name, clip=steps.clip_norm)


def _others(study: Study, seed: int) -> tuple[Person, ...]:
    generator = np.random.default_rng(seed)
    shape = (2, study.input.window_samples, len(study.input.channels))
    classes = len(study.task.labels)
    walks = (generator.normal(size=shape).astype(np.float32) for _ in range(OTHERS))
    return tuple(Person(f"other-{number}", number % classes, walk) for number, walk in enumerate(walks))


def _flat(tensors: Sequence[torch.Tensor]) -> FloatArray:
    return torch.cat([tensor.detach().flatten().double() for tensor in tensors]).numpy()


def _reset(model: GaitModel, values: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(model.private_parameters(), values, strict=True):
            parameter.copy_(value)
