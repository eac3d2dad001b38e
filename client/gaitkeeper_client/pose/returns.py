"""Who walks to and fro, out of the picture and back again, is one person.

A recording of several passes shows the walker in pieces, with seconds between them in which he is not seen. A piece is
the walker's if he is not seen elsewhere meanwhile, and it walks, and its body has the walker's size and proportions.
Nothing in a silhouette proves it: it is told when he came back, and where two would fit, neither is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaitkeeper_client.pose.tracking import (
    LEAST_SIGHT_S,
    Track,
    joined,
    seconds_seen,
    usual_size,
    walker,
    walking_score,
)
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

SAME_SIZE = 1.12
"""Of the medians of two passes, in the picture. Adults' heights have a standard deviation of 4 %; somebody who comes
back a metre nearer to a camera 8 m away looks an eighth larger."""
SAME_BUILD = 1.1
"""Of leg over trunk, which does not depend on the distance."""
LEAST_STEPS = 1.0
"""Score of :func:`~gaitkeeper_client.pose.tracking.walking_score`: two steps that get somewhere."""


@dataclass(frozen=True, slots=True)
class Walker:
    """``track``: all that is taken for the walker's. ``pieces``: as they were; ``returns_s``: when he came back."""

    track: Track
    pieces: tuple[Track, ...]

    @property
    def returns_s(self) -> tuple[float, ...]:
        """Seconds at which he came back into sight."""
        return tuple(round(piece.times[0], 3) for piece in self.pieces[1:])


def walker_with_returns(tracks: Sequence[Track]) -> Walker | None:
    """The walker and the pieces that are his; None where nobody was seen."""
    first = walker(tracks)
    if first is None:
        return None
    fitting = [track for track in tracks if track is not first and _may_be(track, first)]
    alone = [track for track in fitting if not any(_overlap(track, other) for other in fitting if other is not track)]
    pieces = tuple(sorted([first, *alone], key=lambda track: track.times[0]))
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = joined(whole, piece)
    return Walker(whole, pieces)


def _may_be(track: Track, first: Track) -> bool:
    if _overlap(track, first) or seconds_seen(track) < LEAST_SIGHT_S or walking_score(track) < LEAST_STEPS:
        return False
    for measure, same in ((_size, SAME_SIZE), (_build, SAME_BUILD)):
        ratio = measure(track) / measure(first)
        if not 1.0 / same < ratio < same:  # nor where it is not known
            return False
    return True


def _overlap(one: Track, other: Track) -> bool:
    return one.frames[0] <= other.frames[-1] and other.frames[0] <= one.frames[-1]


def _size(track: Track) -> float:
    return usual_size(track, range(len(track.frames)))


def _build(track: Track) -> float:
    """Thigh and shank over trunk, each the median of both sides."""
    points = np.stack(track.points)

    def length(upper: str, lower: str) -> float:
        ends = [points[:, JOINT_INDEX[f"{side}_{upper}"]] - points[:, JOINT_INDEX[f"{side}_{lower}"]] for side in SIDES]
        sizes: FloatArray = np.linalg.norm(np.concatenate(ends), axis=1)
        return float(np.nanmedian(sizes)) if np.isfinite(sizes).any() else float("nan")

    return (length("hip", "knee") + length("knee", "ankle")) / max(length("shoulder", "hip"), 1e-9)
