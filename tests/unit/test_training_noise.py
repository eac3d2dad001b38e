"""The noise of rounds and of counts: as large as promised, fresh each time, and from the cryptographic source alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from training_fixtures import STUDY, people

from gaitkeeper_client.training.dataset import SiteDataset
from gaitkeeper_client.training.dpsgd import PrivateSteps, train_private
from gaitkeeper_client.training.site_round import _evaluate
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.privacy import noise
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.study import parse_study, study_hash

SPEC = ModelSpec.of(parse_study(STUDY), study_hash(STUDY))


def test_the_noise_of_counts_pays_for_one_patient_in_both() -> None:
    """One patient changes both counts by one: a step of length sqrt(2). Exact delta of so many Gaussian mechanisms
    (Balle & Wang 2018, doi:10.48550/arXiv.1805.06530), by another way than the accountant's."""
    study = parse_study(STUDY)
    prices = plan(study)
    assert prices.evaluate is not None
    assert prices.count_noise_std == pytest.approx(math.sqrt(2.0) * prices.evaluate.noise_multiplier)
    assert prices.evaluations == 3
    mu = math.sqrt(prices.evaluations) * math.sqrt(2.0) / prices.count_noise_std
    limit = study.evaluation.epsilon
    delta = norm.cdf(mu / 2 - limit / mu) - math.exp(limit) * norm.cdf(-mu / 2 - limit / mu)
    assert 0.5 * study.privacy.delta < delta <= study.privacy.delta


def test_counts_spread_as_the_plan_says() -> None:
    study = parse_study(STUDY)
    prices = plan(study)
    model = ModelBundle.initial(SPEC).module()
    site = SiteDataset((), people(1, "h"))
    rows = [_evaluate(model, study, site, prices) for _ in range(1500)]
    for name, truths in (("evaluated", (1.0,)), ("correct", (0.0, 1.0))):
        values = np.array([row[name] for row in rows])
        assert values.std() == pytest.approx(prices.count_noise_std, rel=0.08)
        error = 4.5 * prices.count_noise_std / math.sqrt(len(rows))
        assert min(abs(values.mean() - truth) for truth in truths) < error
    both = np.array([[row["evaluated"], row["correct"]] for row in rows])
    assert abs(np.corrcoef(both.T)[0, 1]) < 0.13  # independent, or their difference would be exact
    assert {row["noise_std"] for row in rows} == {prices.count_noise_std}


def one_round() -> np.ndarray[Any, Any]:
    """What a round of two private steps does to the model, all in one row; all seeds are the same each time."""
    np.random.seed(7)  # the seeds that must not matter
    torch.manual_seed(7)
    model = ModelBundle.initial(SPEC).module()
    before = torch.cat([p.detach().flatten().clone() for p in model.private_parameters()])
    train_private(model, people(4, "t"), PrivateSteps(2, 1.0, 0.0, 0.5, 0.5, 4.0, 3.0))
    return (torch.cat([p.detach().flatten() for p in model.private_parameters()]) - before).numpy()


def test_no_round_uses_the_noise_of_another() -> None:
    first, second = one_round(), one_round()
    assert first.size > 100
    assert not np.any(first == second)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / math.sqrt(first.size)


def test_noise_comes_from_the_cryptographic_source_and_from_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the operating system's random bytes replaced, and nothing else, two rounds are equal to the last bit."""

    class Counted:
        def __init__(self) -> None:
            self.generator, self.drawn = np.random.default_rng(1), 0

        def __call__(self, size: int) -> bytes:
            self.drawn += size
            return self.generator.bytes(size)

    rounds, sources = [], []
    for _ in range(2):
        source = Counted()
        monkeypatch.setattr(noise.secrets, "token_bytes", source)
        rounds.append(one_round())
        sources.append(source)
    assert np.array_equal(rounds[0], rounds[1])
    assert sources[0].drawn == 2 * 2 * 32  # a fresh key for whom to draw and one for the noise, in each of two steps
