"""Legs that a pose network took for one another are put back.

In a side view the legs cross twice a stride and networks exchange them there. Both readings of every sample (as it is,
or exchanged) are compared by how smoothly the legs move on, and the smoothest sequence of readings wins (Viterbi over
the readings of two successive samples). Where a foot passes the other both readings can be equally smooth; there it
decides that in walking the feet pass each other in turn. The reading of most samples is taken as right, since nothing
in a silhouette says which leg is which. Laboratory markers have names, and are left alone.
"""

from __future__ import annotations

import numpy as np

from gaitkeeper_shared.arrays import BoolArray, FloatArray
from gaitkeeper_shared.skeleton import JOINT_INDEX

_PARTS = ("hip", "knee", "ankle", "heel", "toe")
_JUDGED = ("knee", "ankle", "heel", "toe")
CHANGE_COST = 0.2
"""Of going from one reading to the other, in leg lengths of unsteadiness summed over eight points."""
EXCHANGED_COST = 0.08
"""Per exchanged sample: with all else equal, the network is right."""
SHORTEST_TURN = 12
"""Samples; a shorter exchange is told by its jumps alone."""
PASS_AMPLITUDE = 0.15
"""A foot has passed the other when it is this far ahead of it, in leg lengths."""
LARGEST_JUMP = 0.35
"""Of one point, in leg lengths: a single wild point must not outvote the others."""


def repair_swaps(positions: FloatArray) -> tuple[FloatArray, BoolArray]:
    """(T, J, D) positions with legs put back, and (T,) true where they were exchanged."""
    left = np.array([JOINT_INDEX[f"left_{part}"] for part in _PARTS])
    right = np.array([JOINT_INDEX[f"right_{part}"] for part in _PARTS])
    exchanged = np.zeros(positions.shape[0], dtype=np.bool_)
    seen = np.flatnonzero(np.isfinite(positions[:, np.concatenate([left, right])]).all(axis=(1, 2)))
    if seen.size < 5 or positions.shape[2] == 3:
        return positions, exchanged
    exchanged[seen] = _in_turn(positions[seen], _best_reading(positions[seen]))
    if exchanged[seen].mean() > 0.5:
        exchanged[seen] = ~exchanged[seen]
    repaired = positions.copy()
    rows = np.flatnonzero(exchanged)
    repaired[np.ix_(rows, left)] = positions[np.ix_(rows, right)]
    repaired[np.ix_(rows, right)] = positions[np.ix_(rows, left)]
    return repaired, exchanged


def _in_turn(positions: FloatArray, exchanged: BoolArray) -> BoolArray:
    """Undo an exchange of a half stride or longer where the feet then pass each other more often."""
    hips = 0.5 * (positions[:, JOINT_INDEX["left_hip"]] + positions[:, JOINT_INDEX["right_hip"]])
    ankles = [positions[:, JOINT_INDEX[f"{side}_ankle"]] for side in ("left", "right")]
    leg = float(np.median(np.linalg.norm(ankles[0] - hips, axis=1))) or 1.0
    ahead = (ankles[0] - ankles[1])[:, 0] / leg
    best = exchanged.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], exchanged.astype(np.int8), [0]])))
    for start, stop in zip(edges[0::2], edges[1::2], strict=True):
        if stop - start < SHORTEST_TURN:
            continue
        trial = best.copy()
        trial[start:stop] = False
        if _passes(np.where(trial, -ahead, ahead)) > _passes(np.where(best, -ahead, ahead)):
            best = trial
    return best


def _passes(ahead: FloatArray) -> int:
    state = np.where(ahead > PASS_AMPLITUDE, 1, np.where(ahead < -PASS_AMPLITUDE, -1, 0))
    return int(np.count_nonzero(np.diff(state[state != 0])))


def _best_reading(positions: FloatArray) -> BoolArray:
    left = positions[:, [JOINT_INDEX[f"left_{part}"] for part in _JUDGED]]
    right = positions[:, [JOINT_INDEX[f"right_{part}"] for part in _JUDGED]]
    hips = 0.5 * (positions[:, JOINT_INDEX["left_hip"]] + positions[:, JOINT_INDEX["right_hip"]])
    ankles = positions[:, [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]]
    leg = float(np.median(np.linalg.norm(ankles - hips[:, None], axis=-1))) or 1.0
    readings = np.stack([np.stack([left, right], axis=1), np.stack([right, left], axis=1)]) / leg  # (2, T, 2, 4, D)
    count = positions.shape[0]
    # best[a, b]: cost of the best sequence that ends with reading a at t-1 and b at t.
    best = np.zeros((2, 2)) + EXCHANGED_COST * (np.arange(2)[:, None] + np.arange(2)[None, :])
    best += CHANGE_COST * (np.arange(2)[:, None] != np.arange(2)[None, :])
    back = np.zeros((count, 2, 2), dtype=np.int8)
    for t in range(2, count):
        # cost[z, a, b] of readings z, a, b at t-2, t-1, t: how far b is from a's straight continuation.
        expected = 2.0 * readings[None, :, t - 1] - readings[:, None, t - 2]
        miss = np.linalg.norm(readings[None, None, :, t] - expected[:, :, None], axis=-1)
        cost = np.minimum(miss, LARGEST_JUMP).sum(axis=(-1, -2))
        total = best[:, :, None] + cost
        back[t] = total.argmin(axis=0)
        best = total.min(axis=0) + EXCHANGED_COST * np.arange(2)[None, :]
        best += CHANGE_COST * (np.arange(2)[:, None] != np.arange(2)[None, :])
    reading = np.zeros(count, dtype=np.int8)
    reading[count - 2], reading[count - 1] = np.unravel_index(int(best.argmin()), (2, 2))
    for t in range(count - 1, 1, -1):
        reading[t - 2] = back[t, reading[t - 1], reading[t]]
    return reading.astype(np.bool_)
