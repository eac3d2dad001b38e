"""Samples in which a pose network could not decide which leg is which, and put both between the two.

Networks regress a point's mean: on the way from one reading of the legs to the exchanged one, a sample or two have both
feet in the middle, where no foot is. They are recognised as feet that are suddenly nearer to each other than just
before and just after, in the middle of a step. Real feet close in over a fifth of a second; what is dropped here does
so within :data:`WINDOW_S`, or within :data:`LONG_WINDOW_S` with a leap. Knees and feet of such samples are no
measurement.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_closing, maximum_filter1d

from gaitkeeper_shared.arrays import BoolArray, FloatArray
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

WINDOW_S = 0.07
"""Before and after a sample: two frames at 25 or 30 a second."""
LONG_WINDOW_S = 0.11
LEAP_PER_S = 13.0
"""Feet whose distance changes faster, in their widest distance per second, leap; those of a fast walker have 8."""
OF_NEIGHBOURS = 0.85
"""Feet nearer to each other than this share of their distance just before and just after are blended."""
WIDE = 0.6
"""Only where the feet are this far apart before and after, of their widest distance; nearer, feet may be passing."""
LEAST_WIDTH = 0.25
"""Leg lengths; feet that are never farther apart along the picture tell nothing."""

CLEAR = 0.93
"""Between two blends, feet at least this share as far apart as those before and after are where they are seen."""

_LEG = np.array([JOINT_INDEX[f"{side}_{part}"] for side in SIDES for part in ("knee", "ankle", "heel", "toe")])


def blended(positions: FloatArray, rate_hz: float) -> BoolArray:
    """(T,) true where the legs of (T, J, 2) points are blended; three-dimensional points never are."""
    none = np.zeros(positions.shape[0], dtype=np.bool_)
    if positions.shape[2] == 3:
        return none
    ankles = positions[:, [JOINT_INDEX[f"{side}_ankle"] for side in SIDES]]
    hips = positions[:, [JOINT_INDEX[f"{side}_hip"] for side in SIDES]]
    apart = np.abs(ankles[:, 0, 0] - ankles[:, 1, 0])
    known = np.isfinite(apart)
    reach = np.linalg.norm(ankles - hips, axis=-1)
    if np.count_nonzero(known) < 10 or not np.isfinite(reach).any():
        return none
    widest = float(np.percentile(apart[known], 95))
    if widest < LEAST_WIDTH * float(np.nanmedian(reach)):
        return none
    filled = np.where(known, apart, 0.0)
    leap = np.abs(np.diff(filled, append=filled[-1])) > LEAP_PER_S / rate_hz * widest
    out = none
    for window_s, always in ((WINDOW_S, True), (LONG_WINDOW_S, False)):
        width = max(1, round(window_s * rate_hz))
        around = np.minimum(_largest(filled, width), _largest(filled[::-1], width)[::-1])
        near_leap = np.asarray(maximum_filter1d(leap, size=2 * width + 1), dtype=np.bool_)
        out = out | (known & (around > WIDE * widest) & (filled < OF_NEIGHBOURS * around) & (always | near_leap))
    return out


def without_blends(positions: FloatArray, rate_hz: float) -> FloatArray:
    """(T, J, D) with knees and feet of blended samples as NaN."""
    mask = blended(positions, rate_hz)
    # What is seen for a moment between two blends is often in the middle of a change, too.
    width = 2 * max(1, round(WINDOW_S * rate_hz)) - 1
    group = mask | binary_closing(np.pad(mask, width), np.ones(width + 1, dtype=np.bool_))[width:-width]
    rows = np.flatnonzero(mask | (group & ~_clear(positions, group)))
    if rows.size == 0:
        return positions
    out = positions.copy()
    out[np.ix_(rows, _LEG)] = np.nan
    return out


def _clear(positions: FloatArray, group: BoolArray) -> BoolArray:
    """(T,) where the feet are as far apart as they should be on the way from before a group of samples to after it.

    Networks also go to and fro between two clear readings, with a blend at each change.
    """
    if positions.shape[2] == 3 or not group.any():
        return np.zeros_like(group)
    ankles = positions[:, [JOINT_INDEX[f"{side}_ankle"] for side in SIDES], 0]
    apart = np.abs(ankles[:, 0] - ankles[:, 1])
    sure = np.flatnonzero(np.isfinite(apart) & ~group)
    if sure.size < 2:
        return np.zeros_like(group)
    expected = np.interp(np.arange(apart.size), sure, apart[sure])
    return np.asarray(np.isfinite(apart) & (apart >= CLEAR * expected))


def _largest(values: FloatArray, width: int) -> FloatArray:
    """Largest of the ``width`` values before each one; 0 before the first."""
    shifted = np.concatenate([[0.0], values[:-1]])
    out: FloatArray = maximum_filter1d(shifted, size=width, origin=(width - 1) // 2, mode="constant", cval=0.0)
    return out
