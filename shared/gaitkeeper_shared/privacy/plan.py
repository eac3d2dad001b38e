"""A study's price: which noise its rounds carry and what they cost, from public numbers alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gaitkeeper_shared.federation import evaluation_rounds
from gaitkeeper_shared.privacy.accounting import Budget, Spend, epsilon, noise_multiplier
from gaitkeeper_shared.study import Study

COUNT_SENSITIVITY = math.sqrt(2.0)
"""L2 sensitivity of the pair (evaluated, correct): one patient changes each by at most 1."""
TABLE_SENSITIVITY = 1.0
"""The same of a table of grades, in one cell of which a patient is counted once."""


@dataclass(frozen=True, slots=True)
class PrivacyPlan:
    """What a study's rounds spend. ``train``: one round's steps; ``evaluate``: one evaluation; None without privacy.

    ``train_budget`` and ``evaluate_budget``: what they may cost a patient over the whole study. A patient is either
    trained on or held out, never both, so the two do not add up.

    ``train`` is what the ledger charges and what is promised: of each site's own update with ``trust = "local"``, of
    the sum of all updates with ``trust = "distributed"``. ``honest_sites``: how many shares of noise that sum carries
    at least; 1 with local trust.
    """

    train: Spend | None
    evaluate: Spend | None
    train_budget: Budget
    evaluate_budget: Budget
    evaluations: int
    honest_sites: int = 1
    count_sensitivity: float = COUNT_SENSITIVITY

    @property
    def site_noise_multiplier(self) -> float:
        """Deviation of the noise that each site adds to its clipped sum, in units of the clip norm; 0 without privacy.

        Variances of independent noise add up: ``honest_sites`` shares of sigma / sqrt(honest_sites) make sigma.
        """
        return 0.0 if self.train is None else self.train.noise_multiplier / math.sqrt(self.honest_sites)

    @property
    def local(self) -> Spend | None:
        """One round's steps as somebody would see them who got a site's update alone, with its share of the noise."""
        if self.train is None:
            return None
        return Spend(self.site_noise_multiplier, self.train.sample_rate, self.train.steps)

    @property
    def count_noise_std(self) -> float:
        """Standard deviation of the noise on each count of an evaluation, in patients; 0 without privacy."""
        return 0.0 if self.evaluate is None else self.evaluate.noise_multiplier * self.count_sensitivity


def honest_sites(study: Study) -> int:
    """Sites whose noise the sum carries in any case: the least number in it, less those that collude; 1 locally.

    Every further site that is there adds to the noise and to nothing else that a patient pays.
    """
    if study.privacy.trust == "local":
        return 1
    return study.federation.quorum - study.privacy.colluding


def plan(study: Study) -> PrivacyPlan:
    """The plan of a study. Raises ``privacy-unreachable``; takes about a second for a new combination of numbers."""
    privacy, steps = study.privacy, study.training.local_steps
    train_budget = Budget(privacy.epsilon, privacy.delta)
    evaluate_budget = Budget(study.evaluation.epsilon, privacy.delta)
    evaluations = len(evaluation_rounds(study))
    if math.isinf(privacy.epsilon):
        return PrivacyPlan(None, None, train_budget, evaluate_budget, evaluations)
    noise = noise_multiplier(train_budget, privacy.sample_rate, steps * study.training.rounds)
    train = Spend(noise, privacy.sample_rate, steps)
    honest = honest_sites(study)
    if evaluations == 0 or math.isinf(study.evaluation.epsilon):
        return PrivacyPlan(train, None, train_budget, evaluate_budget, evaluations, honest)
    count_noise = noise_multiplier(evaluate_budget, 1.0, evaluations)
    counts = Spend(count_noise, 1.0, 1)
    sensitivity = TABLE_SENSITIVITY if study.task.kind == "severity" else COUNT_SENSITIVITY
    return PrivacyPlan(train, counts, train_budget, evaluate_budget, evaluations, honest, sensitivity)


def local_epsilon(study: Study, prices: PrivacyPlan) -> float:
    """Epsilon, at the study's delta, of all training rounds against somebody who gets one site's updates unmasked.

    With local trust the same as the promise. Infinite without privacy.
    """
    if prices.local is None:
        return math.inf
    return epsilon([prices.local] * study.training.rounds, study.privacy.delta)
