"""Markers in space that cameras lose for a while, put back from those that they are fixed to.

Interpolation between a gap's ends is good for a quarter of a second at most. A foot is rigid: where two of ankle, heel
and tip are seen, the third stands where it stood before and after the gap, seen from the two and across the line of the
hips. And one hip moves with the other, whose distance changes slowly. What is put back counts as filled, not as seen.

Of half a second of real walks, heels and ankles came back to 4 mm, toes to 7, hips to 8 (medians; largest 14, 28, 36).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gaitkeeper_client.gait.clean import LOWEST_CONFIDENCE, CleanTracks, clean, nearest_samples, stretches
from gaitkeeper_shared.arrays import BoolArray, FloatArray
from gaitkeeper_shared.kinematics import joint
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES, other_side

LONGEST_S = 1.0
"""Of what is put back: a skin marker wanders by a centimetre within a step."""
FOOT = ("ankle", "heel", "toe")
GUESSED = 0.5
"""Confidence of what is put back."""


def clean_walk(raw: JointTrajectories) -> CleanTracks:
    """The cleaned tracks of one person, with lost markers put back; points of a picture are cleaned as they are."""
    if raw.dimensions != 3:
        return clean(raw)
    seen = np.where(raw.confidence[..., None] >= LOWEST_CONFIDENCE, raw.positions, np.nan)
    whole = with_lost_markers(seen, raw.time_s)
    back = np.isfinite(whole[..., 0]) & ~np.isfinite(seen[..., 0])
    if not back.any():
        return clean(raw)
    confidence = np.where(back, GUESSED, raw.confidence)
    found = clean(JointTrajectories(raw.time_s, whole, raw.unit, confidence))
    as_seen = clean(raw)
    return replace(
        found,
        filled=found.filled | back[nearest_samples(raw, found.tracks.time_s)],
        seen_share=as_seen.seen_share,
        longest_gap_s=as_seen.longest_gap_s,
    )


def with_lost_markers(positions: FloatArray, time_s: FloatArray) -> FloatArray:
    """(T, J, 3) positions with gaps up to :data:`LONGEST_S` of feet and hips closed from their neighbours."""
    out = positions.copy()
    for side in SIDES:
        at, other = JOINT_INDEX[f"{side}_hip"], JOINT_INDEX[f"{other_side(side)}_hip"]
        offset = positions[:, at] - positions[:, other]
        for start, stop in _gaps(offset, np.isfinite(positions[:, other, 0]), time_s):
            out[start:stop, at] = positions[start:stop, other] + _between(offset, time_s, start, stop)
    across = joint(out, "left_hip") - joint(out, "right_hip")
    for side in SIDES:
        for number, part in enumerate(FOOT):
            one, two = (JOINT_INDEX[f"{side}_{FOOT[(number + k) % 3]}"] for k in (1, 2))
            at = JOINT_INDEX[f"{side}_{part}"]
            frame = _frames(positions[:, two] - positions[:, one], across)
            # (T, 3): where the third stands, in the axes of the other two.
            place = np.einsum("tik,tk->ti", frame, positions[:, at] - positions[:, one])
            for start, stop in _gaps(place, np.isfinite(frame[:, 0, 0]), time_s):
                there = _between(place, time_s, start, stop)
                back = np.einsum("tik,ti->tk", frame[start:stop], there)
                out[start:stop, at] = positions[start:stop, one] + back
    return out


def _gaps(values: FloatArray, neighbours: BoolArray, time_s: FloatArray) -> list[tuple[int, int]]:
    """(start, stop) of gaps that are short enough, have values on both sides, and neighbours throughout."""
    lost = np.asarray(~np.isfinite(values).all(axis=1))
    return [
        (start, stop)
        for start, stop in stretches(lost)
        if start > 0
        and stop < lost.size
        and time_s[stop] - time_s[start - 1] <= LONGEST_S
        and neighbours[start:stop].all()
    ]


def _between(values: FloatArray, time_s: FloatArray, start: int, stop: int) -> FloatArray:
    """(stop - start, 3) from the last value before to the first after."""
    ends = [start - 1, stop]
    return np.stack(
        [np.interp(time_s[start:stop], time_s[ends], values[ends, axis]) for axis in range(values.shape[1])], axis=1
    )


def _frames(along: FloatArray, across: FloatArray) -> FloatArray:
    """(T, 3, 3) unit axes in rows: along a segment, across it near the line of the hips, and upright to both."""
    with np.errstate(invalid="ignore", divide="ignore"):  # two markers in one place have no direction
        first = along / np.linalg.norm(along, axis=1, keepdims=True)
        second = across - (across * first).sum(axis=1, keepdims=True) * first
        second /= np.linalg.norm(second, axis=1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=1)
