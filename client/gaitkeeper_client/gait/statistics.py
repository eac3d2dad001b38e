"""Means with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student_t


def mean_with_ci95(values: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """Mean and its 95 % interval by Student's t over the values (strides, steps); None for a single value."""
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if array.size < 2:
        return mean, None
    half = float(student_t.ppf(0.975, array.size - 1)) * float(array.std(ddof=1)) / math.sqrt(array.size)
    return mean, (mean - half, mean + half)


def cv_with_ci95(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Coefficient of variation in % and its 95 % interval (Vangel 1996, doi:10.1080/00031305.1996.10473537)."""
    from scipy.stats import chi2

    array = np.asarray(values, dtype=np.float64)
    n = array.size
    ratio = float(array.std(ddof=1) / array.mean())
    limits = []
    for share in (0.975, 0.025):
        u = float(chi2.ppf(share, n - 1))
        under = ((u + 2.0) / n - 1.0) * ratio**2 + u / (n - 1)
        limits.append(100.0 * ratio / math.sqrt(max(under, 1e-12)))
    return 100.0 * ratio, (limits[0], limits[1])
