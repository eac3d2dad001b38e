"""Means, spreads and ratios with their uncertainty.

An interval says how well the recording's own strides tell the walker's mean. Strides of left and right are kept apart:
that a limp makes every second step longer is a pattern, not an uncertainty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import chi2
from scipy.stats import t as student_t

from gaitkeeper_shared.arrays import FloatArray

Interval = tuple[float, float]

RESAMPLES = 1000


def mean_with_ci95(values: Sequence[float], least_sd: float = 0.0) -> tuple[float, Interval | None]:
    """Mean and its 95 % interval by Student's t over the values (strides, steps); None for a single value.

    ``least_sd``: the scatter that the measurement alone makes; two strides that happen to be equal are no certainty.
    """
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if array.size < 2:
        return mean, None
    sd = max(float(array.std(ddof=1)), least_sd)
    half = float(student_t.ppf(0.975, array.size - 1)) * sd / math.sqrt(array.size)
    return mean, (mean - half, mean + half)


def mean_of_sides(
    sides: Sequence[Sequence[float]], least_sd: float = 0.0, overlapping: bool = False
) -> tuple[float, Interval | None]:
    """Mean of the sides' means and its 95 % interval (Welch's degrees of freedom).

    ``overlapping``: values of whole strides. A left stride shares a step with the right strides before and after, so
    that the second foot's strides add hardly anything to what the first foot's tell. Where a side has fewer than two
    values, all values are taken as one group.
    """
    groups = [np.asarray(values, dtype=np.float64) for values in sides if len(values)]
    if len(groups) < 2 or min(group.size for group in groups) < 2:
        return mean_with_ci95([float(value) for group in groups for value in group], least_sd)
    mean = float(np.mean([group.mean() for group in groups]))
    variances = np.array([max(float(group.var(ddof=1)), least_sd**2) / group.size for group in groups])
    error = float(np.sqrt(variances).mean()) if overlapping else math.sqrt(float(variances.sum())) / len(groups)
    if error == 0.0:
        return mean, (mean, mean)
    freedom = float(variances.sum()) ** 2 / float(
        sum(v**2 / (group.size - 1) for v, group in zip(variances, groups, strict=True))
    )
    half = float(student_t.ppf(0.975, freedom)) * error
    return mean, (mean - half, mean + half)


def widened(value: float, interval: Interval | None, systematic_sd: float) -> Interval | None:
    """An interval with an error that all strides share, of this standard deviation between recordings."""
    if interval is None or systematic_sd <= 0.0:
        return interval
    shared = 1.96 * systematic_sd
    return value - math.hypot(value - interval[0], shared), value + math.hypot(interval[1] - value, shared)


def sd_with_ci95(values: Sequence[float]) -> tuple[float, Interval]:
    """Standard deviation and its 95 % interval (chi-square)."""
    array = np.asarray(values, dtype=np.float64)
    sd, freedom = float(array.std(ddof=1)), array.size - 1
    low, high = (sd * math.sqrt(freedom / float(chi2.ppf(share, freedom))) for share in (0.975, 0.025))
    return sd, (low, high)


def cv_with_ci95(values: Sequence[float]) -> tuple[float, Interval]:
    """Coefficient of variation in % and its 95 % interval (Vangel 1996, doi:10.1080/00031305.1996.10473537)."""
    array = np.asarray(values, dtype=np.float64)
    n = array.size
    ratio = float(array.std(ddof=1) / array.mean())
    limits = []
    for share in (0.975, 0.025):
        u = float(chi2.ppf(share, n - 1))
        under = ((u + 2.0) / n - 1.0) * ratio**2 + u / (n - 1)
        limits.append(100.0 * ratio / math.sqrt(max(under, 1e-12)))
    return 100.0 * ratio, (limits[0], limits[1])


def around_side_means(sides: Sequence[Sequence[float]]) -> list[float]:
    """All values, each side moved onto the mean of the sides' means: what is left varies from stride to stride only.

    Each side's deviations are stretched by sqrt(n / (n - 1)), so that taking the mean out of them costs no spread.
    """
    groups = [np.asarray(values, dtype=np.float64) for values in sides if len(values) >= 2]
    if not groups:
        return []
    middle = float(np.mean([group.mean() for group in groups]))
    total = sum(group.size for group in groups)
    out: list[float] = []
    for group in groups:
        # The pooled deviations will be divided by total - 1; they have total - (number of groups) degrees of freedom.
        stretch = math.sqrt((total - 1) / (total - len(groups))) if total > len(groups) else 1.0
        out += [middle + stretch * float(value) for value in group - group.mean()]
    return out


def difference_with_ci95(
    left: Sequence[float], right: Sequence[float], of: Callable[[float, float], float], least_sd: float = 0.0
) -> tuple[float, Interval | None]:
    """``of(mean left, mean right)`` and its 95 % interval, by the law of propagation with Welch's degrees of freedom.

    For differences and ratios that run smoothly through equality. None where a side has one value only.
    """
    groups = [np.asarray(side, dtype=np.float64) for side in (left, right)]
    means = [float(group.mean()) for group in groups]
    value = of(*means)
    if min(group.size for group in groups) < 2:
        return value, None
    terms = []
    for index, group in enumerate(groups):
        step = 1e-4 * max(abs(means[index]), 1e-6)
        moved = [list(means), list(means)]
        moved[0][index] += step
        moved[1][index] -= step
        slope = (of(*moved[0]) - of(*moved[1])) / (2.0 * step)
        terms.append(slope**2 * max(float(group.var(ddof=1)), least_sd**2) / group.size)
    error = math.sqrt(sum(terms))
    if error == 0.0:
        return value, (value, value)
    freedom = sum(terms) ** 2 / sum(term**2 / (group.size - 1) for term, group in zip(terms, groups, strict=True))
    half = float(student_t.ppf(0.975, freedom)) * error
    return value, (value - half, value + half)


def jackknife_ci95(left_out: FloatArray, value: float) -> Interval | None:
    """95 % interval of a smooth function of n strides from its (n,) values with one of them left out; None below three.

    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ISBN 0-412-04231-2, chapter 11.
    """
    count = left_out.size
    if count < 3:
        return None
    error = math.sqrt((count - 1) / count * float(((left_out - left_out.mean()) ** 2).sum()))
    half = float(student_t.ppf(0.975, count - 1)) * error
    return value - half, value + half


def resampled_ci95(groups: Sequence[FloatArray], of: Callable[..., FloatArray], value: float) -> Interval:
    """95 % interval by resampling each group's strides; it always holds ``value``.

    ``of`` takes an array (:data:`RESAMPLES`, n) of drawn values for each group and gives (:data:`RESAMPLES`,) results.
    Seeded, so that one recording has one interval.
    """
    draw = np.random.default_rng(0)
    samples = of(*(group[draw.integers(0, group.size, (RESAMPLES, group.size))] for group in groups))
    low, high = (float(limit) for limit in np.percentile(samples, [2.5, 97.5]))
    return min(low, value), max(high, value)
