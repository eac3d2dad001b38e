"""Accounting: PRV against RDP and against closed forms, calibration, composition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import PRVAccountant
from scipy import stats

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.privacy.accounting import (
    Budget,
    Spend,
    compose,
    epsilon,
    epsilon_rdp,
    noise_multiplier,
    within,
)
from gaitkeeper_shared.privacy.noise import gaussian, poisson_sample, uniform

DELTA = 1e-4
SPENDS = st.builds(
    Spend,
    st.sampled_from([0.8, 1.5, 4.0, 20.0]),
    st.sampled_from([0.05, 0.3, 0.5, 1.0]),
    st.integers(1, 50),
)


def gaussian_epsilon(noise: float, steps: int, delta: float) -> float:
    """Exact epsilon of composed Gaussians (Balle & Wang 2018, doi:10.48550/arXiv.1805.06530), by bisection."""
    mu = math.sqrt(steps) / noise
    low, high = 0.0, 200.0
    for _ in range(100):
        middle = (low + high) / 2
        cost = stats.norm.cdf(mu / 2 - middle / mu) - math.exp(middle) * stats.norm.cdf(-mu / 2 - middle / mu)
        low, high = (middle, high) if cost > delta else (low, middle)
    return high


@given(st.lists(SPENDS, min_size=1, max_size=3))
@settings(max_examples=12, deadline=None)
def test_prv_is_tighter_than_rdp_and_grows_with_every_step(spends: list[Spend]) -> None:
    cost = epsilon(spends, DELTA)
    assert 0 < cost <= epsilon_rdp(spends, DELTA) + 0.05
    more = [*spends, Spend(4.0, 0.3, 5)]
    assert epsilon(more, DELTA) > cost - 0.01
    assert epsilon(spends[::-1], DELTA) == cost


@pytest.mark.parametrize(("noise", "steps"), [(1.0, 1), (3.0, 10), (9.3, 41), (30.0, 500)])
def test_without_sampling_it_is_the_closed_form(noise: float, steps: int) -> None:
    cost = epsilon([Spend(noise, 1.0, steps)], DELTA)
    exact = gaussian_epsilon(noise, steps, DELTA)
    assert exact <= cost <= exact + 0.03


def test_the_fast_grid_gives_opacus_numbers() -> None:
    accountant = PRVAccountant()
    accountant.history = [(1.7, 0.5, 40), (3.0, 0.2, 10)]
    expected = accountant.get_epsilon(DELTA)
    assert epsilon([Spend(1.7, 0.5, 40), Spend(3.0, 0.2, 10)], DELTA) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("target", "rate", "steps"), [(8.0, 0.5, 40), (2.0, 0.25, 100), (2.0, 1.0, 41), (0.5, 0.1, 7)])
def test_calibrated_noise_keeps_the_budget_and_wastes_little(target: float, rate: float, steps: int) -> None:
    budget = Budget(target, DELTA)
    noise = noise_multiplier(budget, rate, steps)
    assert within([Spend(noise, rate, steps)], budget)
    assert not within([Spend(noise, rate, steps + max(1, steps // 8))], budget)
    assert epsilon([Spend(noise, rate, steps)], DELTA) > 0.95 * target
    assert within([Spend(noise, rate, 1)] * steps, budget)


def test_an_unreachable_budget_is_refused_and_an_infinite_one_needs_no_noise() -> None:
    with pytest.raises(GaitkeeperError) as error:
        noise_multiplier(Budget(0.001, DELTA), 0.5, 10)
    assert error.value.code == "privacy-unreachable"
    assert noise_multiplier(Budget(math.inf, DELTA), 0.5, 10) == 0.0


def test_composition_adds_equal_mechanisms() -> None:
    assert compose([Spend(1.0, 0.5, 2), Spend(2.0, 0.5, 1), Spend(1.0, 0.5, 3)]) == (
        Spend(1.0, 0.5, 5),
        Spend(2.0, 0.5, 1),
    )
    assert epsilon([], DELTA) == 0.0


def test_noise_is_gaussian_and_never_repeats() -> None:
    drawn = gaussian(200_000, 3.0)
    assert stats.kstest(drawn / 3.0, "norm").pvalue > 1e-4
    assert not np.array_equal(gaussian(8, 1.0), gaussian(8, 1.0))
    assert np.all(gaussian(8, 0.0) == 0.0)
    numbers = uniform(100_000)
    assert numbers.min() > 0.0
    assert numbers.max() < 1.0
    assert poisson_sample(100_000, 0.3).mean() == pytest.approx(0.3, abs=0.01)
    assert poisson_sample(1000, 1.0).all()
