"""Samples in which a pose network put a leg where none is: on a walking frame, a wheel, a chair, somebody else's leg.

A bone keeps its length: seen from the side, thigh and shank stay within a fifth of what they measure just before and
after; up to 40 degrees off the side, within a third. What is far shorter or longer is no measurement of that leg,
however sure the network is: it was 0.66 sure of a foot that stood on the seat of a walking frame. Laboratory markers
are left alone.
"""

from __future__ import annotations

import numpy as np

from gaitkeeper_client.gait.blends import crosses_the_picture
from gaitkeeper_shared.arrays import BoolArray, FloatArray
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

SHORTEST = 0.6
LONGEST = 1.5
"""Of a thigh or shank, in its usual length at that time. Markers of real walkers, projected without noise, have 0.78
and more at 20 degrees off the side and 0.63 at 40; of 34,000 that the network saw on drawn walkers without an aid one
was below 0.75, and none above 1.2. Knees that are exchanged make a thigh a fifth longer."""
AROUND_S = 0.5
"""Before and after a sample, over which a bone's usual length is taken: who comes nearer grows."""

_AT_ONCE = 2000
"""Samples whose medians are taken together: 4 MB at 60 a second."""
_BONES = (("hip", "knee"), ("knee", "ankle"))
_LEGS = [np.array([JOINT_INDEX[f"{side}_{part}"] for part in ("knee", "ankle", "heel", "toe")]) for side in SIDES]


def misplaced(positions: FloatArray, rate_hz: float) -> BoolArray:
    """(T, 2) true where the left, the right leg of (T, J, 2) points has a thigh or shank that no leg has."""
    out = np.zeros((positions.shape[0], 2), dtype=np.bool_)
    if not crosses_the_picture(positions):
        return out
    width = max(1, round(AROUND_S * rate_hz))
    for upper, lower in _BONES:
        ends = (positions[:, [JOINT_INDEX[f"{side}_{part}"] for side in SIDES]] for part in (upper, lower))
        lengths = np.linalg.norm(np.subtract(*ends), axis=-1)
        share = lengths / _usual(lengths, width)[:, None]
        out |= (share < SHORTEST) | (share > LONGEST)  # not of what is not seen: NaN is neither
    return out


def without_misplaced(positions: FloatArray, rate_hz: float) -> FloatArray:
    """(T, J, D) with knees and feet of misplaced legs as NaN."""
    mask = misplaced(positions, rate_hz)
    if not mask.any():
        return positions
    out = positions.copy()
    for number, leg in enumerate(_LEGS):
        out[np.ix_(np.flatnonzero(mask[:, number]), leg)] = np.nan
    return out


def _usual(lengths: FloatArray, width: int) -> FloatArray:
    """(T,) median of both legs' (T, 2) lengths over ``width`` samples before and after; NaN where none is seen."""
    padded = np.pad(lengths, ((width, width), (0, 0)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * width + 1, axis=0)
    usual = np.full(len(lengths), np.nan)
    for start in range(0, len(lengths), _AT_ONCE):
        both = windows[start : start + _AT_ONCE].reshape(-1, 2 * (2 * width + 1))
        seen = np.flatnonzero(np.isfinite(both).any(axis=1))
        usual[start + seen] = np.nanmedian(both[seen], axis=1)
    return np.where(usual > 0.0, usual, np.nan)
