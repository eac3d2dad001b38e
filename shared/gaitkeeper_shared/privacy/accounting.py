"""What private steps cost: composition of Poisson-sampled Gaussian mechanisms over rounds, runs and studies.

The number that counts comes from the PRV accountant (Gopi et al. 2021, doi:10.48550/arXiv.2106.02848) as an upper
bound; the RDP accountant (Mironov et al. 2019, doi:10.48550/arXiv.1908.10530) is the looser cross-check. Both are
Opacus'. Neighbouring data sets differ by one patient, added or removed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from gaitkeeper_shared.errors import GaitkeeperError

EPSILON_ERROR = 0.01
"""Width that the PRV accountant adds to its estimate, so that what it returns is a bound."""
MAX_NOISE = 10_000.0
_TOLERANCE = 1e-9
_LEAST_PRV_NOISE = 0.3
"""Below it a single step costs more than any epsilon of use, and the PRV accountant's grid becomes huge."""


@dataclass(frozen=True, slots=True, order=True)
class Spend:
    """``steps`` Gaussian steps: noise of ``noise_multiplier`` times the sensitivity, each patient in it with
    probability ``sample_rate``."""

    noise_multiplier: float
    sample_rate: float
    steps: int

    def __post_init__(self) -> None:
        if not (0 < self.noise_multiplier < math.inf and 0 < self.sample_rate <= 1 and self.steps >= 1):
            raise ValueError(f"no such mechanism: {self}")


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent: epsilon at delta."""

    epsilon: float
    delta: float


def compose(spends: Iterable[Spend]) -> tuple[Spend, ...]:
    """The same spends with equal mechanisms added up, in a fixed order; the cost does not depend on the order."""
    steps: dict[tuple[float, float], int] = {}
    for spend in spends:
        key = (spend.noise_multiplier, spend.sample_rate)
        steps[key] = steps.get(key, 0) + spend.steps
    return tuple(sorted(Spend(noise, rate, count) for (noise, rate), count in steps.items()))


def epsilon(spends: Iterable[Spend], delta: float) -> float:
    """Epsilon at ``delta`` of everything in ``spends`` together, an upper bound; 0 for nothing."""
    return _prv(compose(spends), delta)


def epsilon_rdp(spends: Iterable[Spend], delta: float) -> float:
    """The same by Rényi differential privacy: looser, computed in another way, so a check on :func:`epsilon`."""
    from opacus.accountants import RDPAccountant

    history = _history(compose(spends))
    if not history:
        return 0.0
    accountant = RDPAccountant()
    accountant.history = history
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "optimal order is the largest alpha": still a bound
        return float(accountant.get_epsilon(delta))


def within(spends: Iterable[Spend], budget: Budget) -> bool:
    """Whether ``spends`` together cost at most ``budget``."""
    combined = compose(spends)
    if len(combined) == 1 and _known_within(combined[0], budget):
        return True
    return _prv(combined, budget.delta) <= budget.epsilon + _TOLERANCE


@lru_cache(maxsize=256)
def noise_multiplier(budget: Budget, sample_rate: float, steps: int) -> float:
    """The least noise multiplier, rounded up to four digits, with which ``steps`` steps cost at most ``budget``.

    0 for an infinite epsilon. Raises ``privacy-unreachable``.
    """
    if math.isinf(budget.epsilon):
        return 0.0
    if budget.epsilon <= EPSILON_ERROR:
        _unreachable(budget, sample_rate, steps, f"an epsilon at or below {EPSILON_ERROR} cannot be accounted for")
    low, high = 0.0, 1.0
    while not _affordable(high, sample_rate, steps, budget):
        low, high = high, high * 2
        if high > MAX_NOISE:
            _unreachable(budget, sample_rate, steps, f"noise beyond {MAX_NOISE:g} times the clip norm is refused")
    while high - low > 2e-3 * high:
        middle = (low + high) / 2
        if _affordable(middle, sample_rate, steps, budget):
            high = middle
        else:
            low = middle
    scale = 10.0 ** (3 - math.floor(math.log10(high)))
    noise = math.ceil(high * scale) / scale
    _planned[noise, sample_rate, budget] = max(steps, _planned.get((noise, sample_rate, budget), 0))
    return noise


_planned: dict[tuple[float, float, Budget], int] = {}
"""Steps that :func:`noise_multiplier` has shown to be within a budget: fewer of the same are too (monotone)."""


def _known_within(spend: Spend, budget: Budget) -> bool:
    return spend.steps <= _planned.get((spend.noise_multiplier, spend.sample_rate, budget), 0)


def _affordable(noise: float, sample_rate: float, steps: int, budget: Budget) -> bool:
    if noise < _LEAST_PRV_NOISE:
        return False
    return _prv((Spend(noise, sample_rate, steps),), budget.delta) <= budget.epsilon


def _unreachable(budget: Budget, sample_rate: float, steps: int, why: str) -> None:
    raise GaitkeeperError(
        "privacy-unreachable",
        steps=steps,
        sample_rate=sample_rate,
        epsilon=budget.epsilon,
        delta=budget.delta,
        why=why,
    )


@lru_cache(maxsize=4096)
def _prv(spends: tuple[Spend, ...], delta: float) -> float:
    if not spends:
        return 0.0
    if min(spend.noise_multiplier for spend in spends) < _LEAST_PRV_NOISE:
        return epsilon_rdp(spends, delta)
    from gaitkeeper_shared.privacy.prv import FastPrvAccountant

    accountant = FastPrvAccountant()
    accountant.history = _history(spends)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # logarithms of zero at a sample rate of 1
        try:
            return float(accountant.get_epsilon(delta, eps_error=EPSILON_ERROR))
        except (RuntimeError, ValueError, MemoryError):
            # The grid cannot hold so extreme a case; the looser bound still is one.
            return epsilon_rdp(spends, delta)


def _history(spends: tuple[Spend, ...]) -> list[tuple[float, float, int]]:
    return [(spend.noise_multiplier, spend.sample_rate, spend.steps) for spend in spends]
