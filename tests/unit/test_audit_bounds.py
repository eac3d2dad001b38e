"""The statistics of the audit: intervals that hold, and bounds that stay below what is true."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm

from gaitkeeper_client.proof.bounds import epsilon_of, lower_bounds, rate_interval


@given(count=st.integers(0, 60), more=st.integers(0, 60))
def test_an_intervals_end_is_passed_as_rarely_as_said(count: int, more: int) -> None:
    trials = count + more
    if trials == 0:
        return
    low, high = rate_interval(count, trials, 0.01)
    assert low <= count / trials <= high
    # At either end of the interval, so many or so few are as rare as said.
    assert low == 0.0 if count == 0 else binom.sf(count - 1, trials, low) == pytest.approx(0.01)
    assert high == 1.0 if more == 0 else binom.cdf(count, trials, high) == pytest.approx(0.01)


def test_known_counts_give_the_known_bound() -> None:
    alpha = 0.002
    low, high = 0.001 ** (1 / 1000), 1 - 0.001 ** (1 / 1000)  # all of 1000, none of 1000
    assert epsilon_of(1000, 1000, 0, 1000, 0.0, alpha) == pytest.approx(math.log(low / high))
    assert epsilon_of(500, 1000, 500, 1000, 0.0, alpha) == 0.0
    assert epsilon_of(900, 1000, 100, 1000, 0.0, alpha) == pytest.approx(
        epsilon_of(900, 1000, 100, 1000, 0.01, alpha), abs=0.02
    )
    assert epsilon_of(900, 1000, 100, 1000, 0.01, alpha) < epsilon_of(900, 1000, 100, 1000, 0.0, alpha)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Of two normal distributions ``mu`` apart (Balle & Wang 2018), by bisection."""
    low, high = 0.0, 50.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        spent = norm.cdf(mu / 2 - middle / mu) - math.exp(middle) * norm.cdf(-mu / 2 - middle / mu)
        low, high = (middle, high) if spent > delta else (low, middle)
    return high


def test_bounds_of_a_known_mechanism_are_close_below_the_truth_and_never_above() -> None:
    generator = np.random.default_rng(3)
    deltas = (1e-3, 0.05, 0.2)
    best = dict.fromkeys(deltas, 0.0)
    for _ in range(12):
        inside, outside = generator.normal(1.0, 1.0, 2000), generator.normal(0.0, 1.0, 2000)
        for bound in lower_bounds("it", inside, outside, deltas, 1e-3):
            assert bound.epsilon <= gaussian_epsilon(1.0, bound.delta)
            best[bound.delta] = max(best[bound.delta], bound.epsilon)
    assert best[0.05] > 0.5 * gaussian_epsilon(1.0, 0.05)


@pytest.mark.parametrize("values", [np.zeros(30), np.repeat([0.0, 1.0], 15)])
def test_a_statistic_that_tells_nothing_shows_nothing(values: np.ndarray) -> None:  # type: ignore[type-arg]
    assert all(bound.epsilon == 0.0 for bound in lower_bounds("it", values, values.copy(), (0.01, 0.2), 1e-3))


def test_two_clear_groups_are_told_apart() -> None:
    (bound,) = lower_bounds("it", np.ones(900), np.zeros(900), (1e-3,), 1e-3)
    assert bound.epsilon == pytest.approx(math.log((0.0005 ** (1 / 600) - 1e-3) / (1 - 0.0005 ** (1 / 600))))
