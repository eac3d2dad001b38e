"""A study's price: which noise its rounds carry and what they cost, from public numbers alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gaitkeeper_shared.federation import evaluation_rounds
from gaitkeeper_shared.privacy.accounting import Budget, Spend, noise_multiplier
from gaitkeeper_shared.study import Study

COUNT_SENSITIVITY = math.sqrt(2.0)
"""L2 sensitivity of the pair (evaluated, correct): one patient changes each by at most 1."""


@dataclass(frozen=True, slots=True)
class PrivacyPlan:
    """What a study's rounds spend. ``train``: one round's steps; ``evaluate``: one evaluation; None without privacy.

    ``train_budget`` and ``evaluate_budget``: what they may cost a patient over the whole study. A patient is either
    trained on or held out, never both, so the two do not add up.
    """

    train: Spend | None
    evaluate: Spend | None
    train_budget: Budget
    evaluate_budget: Budget
    evaluations: int

    @property
    def count_noise_std(self) -> float:
        """Standard deviation of the noise on each count of an evaluation, in patients; 0 without privacy."""
        return 0.0 if self.evaluate is None else self.evaluate.noise_multiplier * COUNT_SENSITIVITY


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
    if evaluations == 0 or math.isinf(study.evaluation.epsilon):
        return PrivacyPlan(train, None, train_budget, evaluate_budget, evaluations)
    count_noise = noise_multiplier(evaluate_budget, 1.0, evaluations)
    return PrivacyPlan(train, Spend(count_noise, 1.0, 1), train_budget, evaluate_budget, evaluations)
