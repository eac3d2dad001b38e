"""Skeletons as data: which points a source delivers and what they are called in Gaitkeeper.

Everything downstream of a reader speaks the names of :data:`JOINTS`; a source that lacks a point delivers NaN for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

JOINTS: tuple[str, ...] = (
    "nose",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_toe",
    "right_toe",
)
"""The points that every part of Gaitkeeper understands. ``toe`` is the tip of the foot (big toe)."""

JOINT_INDEX: Mapping[str, int] = {name: index for index, name in enumerate(JOINTS)}

SIDES: tuple[str, str] = ("left", "right")

BONES: tuple[tuple[str, str], ...] = (
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
    *(
        (f"{side}_{start}", f"{side}_{end}")
        for side in SIDES
        for start, end in (
            ("shoulder", "elbow"),
            ("elbow", "wrist"),
            ("shoulder", "hip"),
            ("hip", "knee"),
            ("knee", "ankle"),
            ("ankle", "heel"),
            ("ankle", "toe"),
            ("heel", "toe"),
        )
    ),
)
"""Pairs of :data:`JOINTS` that are drawn as segments."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The points of one source, in its order, and the joint that each feeds.

    ``points`` are the source's own names. ``joints`` maps a name of :data:`JOINTS` to the source's points whose mean
    it is (one name for most; hips of a marker set, for example, may be the mean of two).
    """

    name: str
    points: tuple[str, ...]
    joints: Mapping[str, tuple[str, ...]]


def other_side(side: str) -> str:
    """``left`` for ``right`` and back."""
    return "right" if side == "left" else "left"
