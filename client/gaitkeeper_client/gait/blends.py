"""Samples in which a pose network could not decide which leg is which, and put both between the two.

Networks regress a point's mean: on the way from one reading of the legs to the exchanged one, a sample or two have both
feet in the middle, where no foot is. They are recognised as feet that are suddenly nearer to each other than just
before and just after, in the middle of a step. Real feet close in over a fifth of a second; what is dropped here does
so within :data:`WINDOW_S`, or within :data:`LONG_WINDOW_S` with a leap. Knees and feet of such samples are no
measurement. Knees are also blended where the feet are not: about the foot strike of rendered walkers, which then seemed
to have knees bent backwards by 10 to 25 degrees. There the knees alone are dropped.
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
WIDE = 0.58
"""Only where the feet are this far apart before and after, of their widest distance; nearer, feet may be passing."""
LEAST_WIDTH = 0.25
"""Leg lengths; feet that are never farther apart along the picture tell nothing."""
KNEES_OF_NEIGHBOURS = 0.8
KNEES_WIDE = 0.7
"""The same of knees alone, over the longer window: they are never as far apart as feet, and look nearer by noise."""
CLEAR = 0.93
"""Between two blends, feet at least this share as far apart as those before and after are where they are seen."""

_LEG = np.array([JOINT_INDEX[f"{side}_{part}"] for side in SIDES for part in ("knee", "ankle", "heel", "toe")])
_KNEES = np.array([JOINT_INDEX[f"{side}_knee"] for side in SIDES])


def blended(positions: FloatArray, rate_hz: float) -> BoolArray:
    """(T,) true where the legs of (T, J, 2) points are blended; three-dimensional points never are."""
    apart, widest = _apart(positions, "ankle")
    known = np.nan_to_num(apart)
    change = np.diff(apart, append=np.nan)
    furthest = LEAP_PER_S / rate_hz * widest
    leap = np.abs(np.diff(known, append=known[-1:])) > furthest
    out: BoolArray = np.zeros(positions.shape[0], dtype=np.bool_)
    # Together and apart again within two samples: no feet pass each other so, however near they were.
    out[1:] = (change[:-1] < -furthest) & (change[1:] > furthest)
    for window_s, always in ((WINDOW_S, True), (LONG_WINDOW_S, False)):
        around, width = _around(apart, window_s, rate_hz)
        near_leap = np.asarray(maximum_filter1d(leap, size=2 * width + 1), dtype=np.bool_)
        out = out | ((around > WIDE * widest) & (apart < OF_NEIGHBOURS * around) & (always | near_leap))
    return out


def blended_knees(positions: FloatArray, rate_hz: float) -> BoolArray:
    """(T,) true where the knees of (T, J, 2) points are blended, whatever the feet are; as :func:`blended`."""
    apart, widest = _apart(positions, "knee")
    around, _ = _around(apart, LONG_WINDOW_S, rate_hz)
    return np.asarray((around > KNEES_WIDE * widest) & (apart < KNEES_OF_NEIGHBOURS * around))


def _apart(positions: FloatArray, part: str) -> tuple[FloatArray, float]:
    """(T,) left from right along the picture, NaN where not seen, and the widest: infinite where that tells nothing."""
    silent = np.zeros(positions.shape[0])
    if positions.shape[2] == 3:
        return silent, np.inf
    pair, ankles, hips = (
        positions[:, [JOINT_INDEX[f"{side}_{name}"] for side in SIDES]] for name in (part, "ankle", "hip")
    )
    apart = np.abs(pair[:, 0, 0] - pair[:, 1, 0])
    known = np.isfinite(apart)
    reach = np.linalg.norm(ankles - hips, axis=-1)
    if np.count_nonzero(known) < 10 or not np.isfinite(reach).any():
        return silent, np.inf
    widest = float(np.percentile(apart[known], 95))
    return (silent, np.inf) if widest < LEAST_WIDTH * float(np.nanmedian(reach)) else (apart, widest)


def crosses_the_picture(positions: FloatArray) -> bool:
    """Whether the feet of (T, J, 2) points part along the picture: not of who comes nearer; never in space."""
    return bool(np.isfinite(_apart(positions, "ankle")[1]))


def _around(apart: FloatArray, window_s: float, rate_hz: float) -> tuple[FloatArray, int]:
    """(T,) the lesser of the largest distances in a window before and in one after, and how many samples it has."""
    width = max(1, round(window_s * rate_hz))
    known = np.nan_to_num(apart)
    return np.minimum(_largest(known, width), _largest(known[::-1], width)[::-1]), width


def without_blends(positions: FloatArray, rate_hz: float) -> FloatArray:
    """(T, J, D) with knees and feet of blended samples as NaN."""
    mask = blended(positions, rate_hz)
    # What is seen for a moment between two blends is often in the middle of a change, too.
    width = 2 * max(1, round(WINDOW_S * rate_hz)) - 1
    group = mask | binary_closing(np.pad(mask, width), np.ones(width + 1, dtype=np.bool_))[width:-width]
    legs = np.flatnonzero(mask | (group & ~_clear(positions, group)))
    knees = np.flatnonzero(blended_knees(positions, rate_hz))
    if legs.size == knees.size == 0:
        return positions
    out = positions.copy()
    out[np.ix_(legs, _LEG)] = np.nan
    out[np.ix_(knees, _KNEES)] = np.nan
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
