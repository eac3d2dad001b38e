"""What a pose estimator is, whichever network stands behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS, Skeleton


@dataclass(frozen=True, slots=True)
class PersonPose:
    """One person in one frame.

    ``points``: (J, 2) pixels of :data:`JOINTS`, x to the right, y **down**, NaN where the network has no such point.
    ``confidence``: (J,) in 0..1.
    """

    points: FloatArray
    confidence: FloatArray


@dataclass(frozen=True, slots=True)
class EstimatorIdentity:
    """Which network it was, for provenance. ``sha256``: of its weights' file."""

    name: str
    skeleton: str
    sha256: str
    body_share: float = 1.0
    """Trunk, thigh and shank as the network sees them, summed, over those of the body's height (Winter 2009)."""
    takes_turns: bool = False
    """Whether every other picture is seen in a mirror."""


class PoseFollower(Protocol):
    """Follows one person from frame to frame through cut-outs of the picture that move along."""

    def follow(self, image: NDArray[np.uint8], seconds: float) -> PersonPose | None:
        """The person in an (H, W, 3) RGB cut-out, ``seconds`` after the last one; None where nobody is seen."""

    def forget(self) -> None:
        """Be ready for another person, or for another place in time."""


class PoseEstimator(Protocol):
    """A network that finds people and follows them. A context manager; use a fresh one per recording."""

    @property
    def identity(self) -> EstimatorIdentity:
        """Which network it is."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def find(self, image: NDArray[np.uint8]) -> tuple[PersonPose, ...]:
        """Everyone seen in an (H, W, 3) RGB image, whatever came before."""

    def follower(self) -> PoseFollower:
        """A new follower; it lives until the estimator is closed."""


class PointPicker:
    """Turns a source's points into :data:`JOINTS` by its skeleton table; joints that it lacks become NaN."""

    def __init__(self, skeleton: Skeleton) -> None:
        column = {name: index for index, name in enumerate(skeleton.points)}
        joints = {joint: [column[name] for name in names] for joint, names in skeleton.joints.items() if names}
        counts = {len(columns) for joint, columns in joints.items() if joint in JOINT_INDEX}
        self._groups = tuple(_group(joints, count) for count in sorted(counts))
        self.used = tuple(sorted({index for columns in joints.values() for index in columns}))
        """Indices of the source's points that are looked at; the others may be anything."""

    def pick(self, points: FloatArray, confidence: FloatArray) -> PersonPose:
        """(P, 2) points and (P,) confidence of the source as a :class:`PersonPose`."""
        out = np.full((len(JOINTS), 2), np.nan)
        sure = np.zeros(len(JOINTS))
        for rows, columns in self._groups:
            out[rows] = points[columns].mean(axis=1)
            sure[rows] = confidence[columns].min(axis=1)
        return PersonPose(out, sure)


def _group(joints: Mapping[str, Sequence[int]], count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of :data:`JOINTS` that are the middle of ``count`` points each, and (rows, count) columns of those."""
    named = [joint for joint in JOINTS if len(joints.get(joint, ())) == count]
    rows = np.array([JOINT_INDEX[joint] for joint in named], dtype=np.intp)
    return rows, np.array([joints[joint] for joint in named], dtype=np.intp)
