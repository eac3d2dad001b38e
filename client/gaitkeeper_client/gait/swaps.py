"""Legs that a pose network took for one another are put back.

In a side view the legs cross twice a stride and networks exchange them there: the whole leg, or only the knee, or only
the foot. Every sample has four readings (foot and knee as they are, or exchanged), and the best sequence of readings
wins (Viterbi over the readings of two successive samples). A sample that misses a joint is read by its neighbours. What
speaks for a reading:

- the points move on as they came (straight continuation of the last two samples);
- thigh and shank keep their length, which tells a knee that hangs on the other leg's ankle or hip;
- in walking the feet pass each other in turn. How far they are apart is the same in either reading, so the steps can
  be counted without knowing which foot is which. It decides where the legs hide each other as they cross, so that
  both readings are equally smooth; it yields to a clear sight of feet that do not pass each other.

The first two are weighed by how steady the clip's own points and lengths are. Measured in leg lengths alone, a
network's noise was as heavy as the knees' distance in an oblique view, and the fixed costs decided.

The reading of most samples is taken as right, since nothing in a silhouette says which leg is which. Laboratory markers
have names, and are left alone.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from gaitkeeper_shared.arrays import BoolArray, FloatArray
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

UNSTEADY_WEIGHT = 0.02
"""Of a point that is off its way by its usual unsteadiness; twice as far off weighs four times as much."""
UNSTEADY_CAP = 25.0
"""Five times its usual unsteadiness is the most that counts: a single wild point must not outvote the others."""
LENGTH_WEIGHT = 0.02
LENGTH_CAP = 16.0
"""The same of a thigh or shank that has not its usual length."""
LEAST_UNSTEADY = 0.01
LEAST_SPREAD = 0.02
"""In leg lengths: points and lengths are not known better, whatever a clip says."""
CHANGE_COST = 0.3
"""Of going from one reading to the other, for feet and knees each: a point four times as unsteady as usual."""
EXCHANGED_COST = 0.02
"""Per exchanged foot or knee of a sample: with all else equal, the network is right."""
MIXED_COST = 0.02
"""Per sample whose knees are exchanged and feet are not, or the other way round: the rarer mistake."""
APART = 0.15
"""The feet are clearly apart along the way, in leg lengths."""
TURN_COST = 1.2
"""Of a step that the wrong foot takes. A clear sight of two feet that do not pass each other outweighs it."""
LONGEST_BETWEEN_S = 0.25
"""Between two samples that are seen whole; a foot's way is about straight for so long."""
BETWEEN_MARGIN = 0.1
"""Leg lengths by which the points of such a sample are nearer to the other leg's way before they are taken for it."""
NEAR_IN_TIME = 15
"""Samples on either side over which the size of the picture of a leg is taken: who comes nearer grows."""

_PARTS = ("hip", "knee", "ankle", "heel", "toe")
_FEET = ("ankle", "heel", "toe")
_STATES = 4  # two bits: feet exchanged, knees exchanged
_READINGS = 8  # of one part in three successive samples
_MAD_TO_SIGMA = 1.4826


def repair_swaps(positions: FloatArray, rate_hz: float) -> tuple[FloatArray, BoolArray]:
    """(T, J, D) positions with legs put back, and (T,) true where a part of them was exchanged."""
    touched = np.zeros(positions.shape[0], dtype=np.bool_)
    pairs = {part: np.array([JOINT_INDEX[f"{side}_{part}"] for side in SIDES]) for part in _PARTS}
    needed = np.concatenate([pairs["hip"], pairs["knee"], pairs["ankle"]])
    seen = np.flatnonzero(np.isfinite(positions[:, needed]).all(axis=(1, 2)))
    if seen.size < 5 or positions.shape[2] == 3:
        return positions, touched
    legs = {part: positions[np.ix_(seen, pairs[part])] for part in _PARTS}  # (N, 2, D) each
    leg = _leg_length(legs)
    hips = _hips(legs["hip"] / leg)
    legs["hip"] = np.where(hips[:, None, None], legs["hip"][:, ::-1], legs["hip"])
    feet, knees = _best_reading(legs, seen, leg)
    repaired = positions.copy()
    for exchanged, parts in ((feet, _FEET), (knees, ("knee",)), (hips, ("hip",))):
        _put_back(repaired, positions, seen[exchanged], [pairs[part] for part in parts])
    touched[seen] = feet | knees
    longest = max(2, round(LONGEST_BETWEEN_S * rate_hz))
    for parts in (_FEET, ("knee",)):
        of_parts = [pairs[part] for part in parts]
        rows = _exchanged_between(repaired, seen, of_parts, leg, longest)
        _put_back(repaired, positions, rows, of_parts)
        touched[rows] = True
    return repaired, touched


def _put_back(repaired: FloatArray, seen: FloatArray, rows: NDArray[np.intp], pairs: list[NDArray[np.intp]]) -> None:
    for pair in pairs:
        repaired[np.ix_(rows, pair)] = seen[np.ix_(rows, pair[::-1])]


def _exchanged_between(
    repaired: FloatArray, whole: NDArray[np.intp], pairs: list[NDArray[np.intp]], leg: float, longest: int
) -> NDArray[np.intp]:
    """Samples of which a part is not seen, and whose other points are nearer to the other leg's way.

    ``whole``: samples that are seen whole and have been read; the way between two of them that are at most ``longest``
    apart is taken as straight.
    """
    rows = np.setdiff1d(np.arange(whole[0], whole[-1]), whole)
    after = np.searchsorted(whole, rows)
    rows = rows[whole[after] - whole[after - 1] <= longest]
    cost = np.zeros((2, rows.size))
    for pair in pairs:
        way = np.empty((2, repaired.shape[2], rows.size))
        for leg_number, axis in np.ndindex(way.shape[:2]):
            way[leg_number, axis] = np.interp(rows, whole, repaired[whole, pair[leg_number], axis])
        seen = repaired[np.ix_(rows, pair)].transpose(1, 2, 0)  # (2, D, R) as the way
        for reading in range(2):
            off = np.linalg.norm((seen[::-1] if reading else seen) - way, axis=1) / leg
            cost[reading] += np.nan_to_num(off).sum(axis=0)
    return np.asarray(rows[cost[1] + BETWEEN_MARGIN < cost[0]])


def _leg_length(legs: dict[str, FloatArray]) -> float:
    hips = legs["hip"].mean(axis=1, keepdims=True)
    return float(np.median(np.linalg.norm(legs["ankle"] - hips, axis=-1))) or 1.0


def _best_reading(legs: dict[str, FloatArray], frames: np.ndarray, leg: float) -> tuple[BoolArray, BoolArray]:
    """(N,) each: whether feet and knees are exchanged. ``frames``: number of each sample in the recording."""
    feet = np.stack([legs[part] for part in _FEET], axis=2) / leg
    knees = legs["knee"][:, :, None] / leg
    unsteady = (_unsteadiness(feet, frames), _unsteadiness(knees, frames))
    own = _own_cost(legs, leg)
    count = own.shape[0]
    bits = np.arange(_STATES)
    foot, knee = bits >> 1, bits & 1
    change = CHANGE_COST * ((foot[:, None] != foot) + (knee[:, None] != knee).astype(np.float64))
    # best[a, b]: cost of the best sequence that ends with reading a at t-1 and b at t.
    best = own[0][:, None] + own[1] + change
    back = np.zeros((count, _STATES, _STATES), dtype=np.int8)
    index = (slice(None), slice(None), slice(None))
    of_feet = unsteady[0][index][:, foot[:, None, None], foot[:, None], foot]
    of_knees = unsteady[1][index][:, knee[:, None, None], knee[:, None], knee]
    for t in range(2, count):
        total = best[:, :, None] + of_feet[t - 2] + of_knees[t - 2]
        back[t] = total.argmin(axis=0)
        best = total.min(axis=0) + change + own[t]
    reading = np.zeros(count, dtype=np.int8)
    reading[count - 2], reading[count - 1] = np.unravel_index(int(best.argmin()), (_STATES, _STATES))
    for t in range(count - 1, 1, -1):
        reading[t - 2] = back[t, reading[t - 1], reading[t]]
    feet_out, knees_out = (reading >> 1).astype(np.bool_), (reading & 1).astype(np.bool_)
    if (feet_out & knees_out).mean() > 0.5:
        return ~feet_out, ~knees_out
    return feet_out, knees_out


def _unsteadiness(points: FloatArray, frames: np.ndarray) -> FloatArray:
    """(N-2, 2, 2, 2): how far the points of a sample are from where the last two, so read, would carry them.

    In units of what is usual for each point where the readings agree best, squared: most samples may be exchanged.
    """
    readings = np.stack([points, points[:, ::-1]])  # (2, N, legs, points, D)
    ahead = (frames[2:] - frames[1:-1]) / (frames[1:-1] - frames[:-2])
    reach = np.minimum(ahead, 2.0)[:, None, None, None]
    miss = np.zeros((points.shape[0] - 2, 2, 2, 2, *points.shape[1:3]))
    for a, b, c in np.ndindex(2, 2, 2):
        expected = readings[b, 1:-1] + reach * (readings[b, 1:-1] - readings[a, :-2])
        miss[:, a, b, c] = np.linalg.norm(readings[c, 2:] - expected, axis=-1)
    flat = miss.reshape(miss.shape[0], _READINGS, *points.shape[1:3])
    steadiest = np.nansum(flat, axis=(2, 3)).argmin(axis=1)
    best = flat[np.arange(flat.shape[0]), steadiest]
    seen = np.isfinite(best).any(axis=0)  # of 17 COCO points none is a heel or a toe
    usual = np.ones(points.shape[1:3])
    usual[seen] = np.nanmedian(best[:, seen], axis=0)
    return UNSTEADY_WEIGHT * _squares(miss, np.maximum(usual, LEAST_UNSTEADY), UNSTEADY_CAP)


def _squares(off: FloatArray, usual: FloatArray, cap: float) -> FloatArray:
    """Sum of squares over the last two axes (the legs' points), in units of what is usual; what is not seen is 0."""
    out: FloatArray = np.minimum(np.nan_to_num((off / usual) ** 2), cap).sum(axis=(-2, -1))
    return out


def _own_cost(legs: dict[str, FloatArray], leg: float) -> FloatArray:
    """(N, 4): what speaks against each reading of a sample by itself."""
    cost = np.zeros((legs["hip"].shape[0], _STATES))
    size = _size(legs)
    shank, thigh = (_length_misfit(legs[part], legs["knee"], size) for part in ("ankle", "hip"))
    out_of_turn = _turns(legs, leg)
    for state in range(_STATES):
        feet, knees = state >> 1, state & 1
        cost[:, state] = EXCHANGED_COST * (feet + knees) + MIXED_COST * (feet != knees)
        cost[:, state] += shank[int(feet != knees)] + thigh[knees] + out_of_turn[feet]
    return cost


def _size(legs: dict[str, FloatArray]) -> FloatArray:
    """(N,) length of a leg in the picture, as it is at about that time."""
    hips = legs["hip"].mean(axis=1, keepdims=True)
    reach = np.linalg.norm(legs["ankle"] - hips, axis=-1).max(axis=1)
    size: FloatArray = median_filter(reach, size=2 * NEAR_IN_TIME + 1, mode="nearest")
    return np.maximum(size, 1e-9)


def _length_misfit(ends: FloatArray, knees: FloatArray, size: FloatArray) -> FloatArray:
    """(2, N) how unusually long the bones between (N, 2, D) knees and their other ends are, as read and exchanged."""
    own, exchanged = (np.linalg.norm(ends - other, axis=-1) / size[:, None] for other in (knees, knees[:, ::-1]))
    usual = np.median(own, axis=0)
    spread = np.maximum(_MAD_TO_SIGMA * np.median(np.abs(own - usual), axis=0), LEAST_SPREAD)
    off = np.stack([own, exchanged])[..., None] - usual[:, None]
    return LENGTH_WEIGHT * _squares(off, spread[:, None], LENGTH_CAP)


def _turns(legs: dict[str, FloatArray], leg: float) -> FloatArray:
    """(2, N): cost of reading the feet as they are, and exchanged, by whose turn it is to be ahead."""
    ahead = (legs["ankle"][:, 0] - legs["ankle"][:, 1])[:, 0] / leg
    cost = np.zeros((2, ahead.size))
    steps = [np.asarray(step) for step in _steps(ahead)]
    for number, step in enumerate(steps):
        mean = float(np.sign(ahead[step]).mean()) * (1 if number % 2 == 0 else -1)
        steps[number] = step
        cost[0, step] = mean
    if not steps:
        return cost
    # The order that most steps have is the right one, but one false step must not turn round all after it: each step
    # is judged against its neighbours.
    agreement = np.array([cost[0, step[0]] for step in steps])
    cost[:] = 0.0
    for number, step in enumerate(steps):
        around = np.r_[agreement[max(0, number - 2) : number], agreement[number + 1 : number + 3]]
        if around.size < 2 or abs(around.mean()) < 0.5:
            continue
        expected = np.sign(around.mean()) * (1 if number % 2 == 0 else -1)
        against = expected * np.sign(ahead[step]) < 0
        cost[0, step[against]] = TURN_COST / step.size
        cost[1, step[~against]] = TURN_COST / step.size
    return cost


def _steps(ahead: FloatArray) -> list[np.ndarray]:
    """Samples of each step: between two passings of the feet, told by their distance alone, whichever foot is which."""
    apart = np.abs(ahead) > APART
    edges = np.flatnonzero(np.diff(np.concatenate([[0], apart.astype(np.int8), [0]])))
    runs = list(zip(edges[0::2], edges[1::2], strict=True))
    if not runs:
        return []
    typical = float(np.median([stop - start for start, stop in runs]))
    # Of a step that a clip's end cuts off, two samples are enough.
    ends = {0, ahead.size}
    runs = [
        (start, stop)
        for start, stop in runs
        if stop - start >= (2.0 if ends & {int(start), int(stop)} else max(2.0, 0.3 * typical))
    ]
    # A gap in sight may hide a passing: then the turn is not known, and what follows is counted as it comes.
    return [np.arange(start, stop) for start, stop in runs] if len(list(pairwise(runs))) else []


def _hips(hips: FloatArray) -> BoolArray:
    """(N,) whether the hips are exchanged: told by their side-by-side distance, which changes slowly."""
    across = hips[:, 0] - hips[:, 1]
    usual = np.median(across, axis=0)
    if float(np.linalg.norm(usual)) < APART / 2:
        return np.zeros(hips.shape[0], dtype=np.bool_)
    return np.asarray(across @ usual < 0.0)
