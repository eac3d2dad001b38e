"""From guesses to a lower bound on epsilon: how well somebody told two data sets apart that differ by one patient.

(epsilon, delta)-differential privacy bounds every guesser: P(says "in" | in) <= e^epsilon P(says "in" | out) + delta,
and likewise for "out" (Kairouz et al. 2015, doi:10.48550/arXiv.1311.0776). Turned round, the rates that a guesser
reaches bound epsilon from below (Jagielski et al. 2020, doi:10.48550/arXiv.2006.07709). The rates are counted, so each
is replaced by its worse end of an exact binomial interval (Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from gaitkeeper_shared.arrays import FloatArray

_MARGIN = 3.0
"""Of no event in n trials, a rate of 3/n is still excluded with 95 %: the rule of three."""


@dataclass(frozen=True, slots=True)
class LowerBound:
    """``epsilon`` is exceeded with the stated confidence at ``delta``; 0 where nothing was shown.

    ``hits`` of ``inside`` trials with the patient, and ``false_alarms`` of ``outside`` trials without, were called
    "in" by a guesser that compares its statistic with ``threshold``.
    """

    statistic: str
    delta: float
    epsilon: float
    threshold: float
    hits: int
    inside: int
    false_alarms: int
    outside: int


def rate_interval(count: int, trials: int, alpha: float) -> tuple[float, float]:
    """(low, high): each end is passed by the true rate with probability at most ``alpha``."""
    low = 0.0 if count == 0 else float(beta.ppf(alpha, count, trials - count + 1))
    high = 1.0 if count == trials else float(beta.ppf(1.0 - alpha, count + 1, trials - count))
    return low, high


def epsilon_of(hits: int, inside: int, false_alarms: int, outside: int, delta: float, alpha: float) -> float:
    """The epsilon that these counts exclude at ``delta``; wrong with probability at most ``alpha``."""
    hit_low, _ = rate_interval(hits, inside, alpha / 2)
    _, alarm_high = rate_interval(false_alarms, outside, alpha / 2)
    ways = ((hit_low - delta, alarm_high), (1.0 - alarm_high - delta, 1.0 - hit_low))
    return max((math.log(seen / base) for seen, base in ways if seen > base > 0.0), default=0.0)


def lower_bounds(
    statistic: str, inside: FloatArray, outside: FloatArray, deltas: Sequence[float], alpha: float
) -> tuple[LowerBound, ...]:
    """A bound at each of ``deltas`` from (trials,) values of a statistic with and without the patient.

    The threshold is chosen on the first third of the trials and judged on the rest, so that choosing costs no
    confidence. Each bound fails with probability at most ``alpha``.
    """
    cut_in, cut_out = len(inside) // 3, len(outside) // 3
    judged_in, judged_out = inside[cut_in:], outside[cut_out:]
    found = []
    for delta in deltas:
        chosen = _threshold(inside[:cut_in], outside[:cut_out], delta)
        hits, alarms = int((judged_in > chosen).sum()), int((judged_out > chosen).sum())
        value = epsilon_of(hits, len(judged_in), alarms, len(judged_out), delta, alpha)
        found.append(LowerBound(statistic, delta, value, chosen, hits, len(judged_in), alarms, len(judged_out)))
    return tuple(found)


def _threshold(inside: FloatArray, outside: FloatArray, delta: float) -> float:
    """The threshold that promises most at ``delta``; rates are kept from 0 by what so few trials leave open."""
    values = np.unique(np.concatenate([inside, outside]))
    # Between two values: where a statistic takes few values, a threshold upon one of them is arbitrary.
    candidates = 0.5 * (values[1:] + values[:-1])
    if candidates.size == 0:
        return float(values[0]) if values.size else 0.0
    open_in, open_out = _MARGIN / max(len(inside), 1), _MARGIN / max(len(outside), 1)
    hits = 1.0 - np.searchsorted(np.sort(inside), candidates, side="right") / max(len(inside), 1) - open_in
    alarms = 1.0 - np.searchsorted(np.sort(outside), candidates, side="right") / max(len(outside), 1) + open_out
    with np.errstate(divide="ignore", invalid="ignore"):
        ways = [
            np.log(np.maximum(hits - delta, 1e-9) / alarms),
            np.log(np.maximum(1.0 - alarms - delta, 1e-9) / (1.0 - hits)),
        ]
    return float(candidates[int(np.argmax(np.maximum(*ways)))])
