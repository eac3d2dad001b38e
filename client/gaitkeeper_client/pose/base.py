"""What a pose estimator is, whichever network stands behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.skeleton import JOINTS, Skeleton


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
    has_feet: bool = True
    """Whether the skeleton has heels and toes."""


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
        self._columns: Mapping[str, tuple[int, ...]] = {
            joint: tuple(column[name] for name in names) for joint, names in skeleton.joints.items()
        }
        self.used = tuple(sorted({index for columns in self._columns.values() for index in columns}))
        """Indices of the source's points that are looked at; the others may be anything."""

    def pick(self, points: FloatArray, confidence: FloatArray) -> PersonPose:
        """(P, 2) points and (P,) confidence of the source as a :class:`PersonPose`."""
        out = np.full((len(JOINTS), 2), np.nan)
        sure = np.zeros(len(JOINTS))
        for index, joint in enumerate(JOINTS):
            columns = list(self._columns.get(joint, ()))
            if columns:
                out[index] = points[columns].mean(axis=0)
                sure[index] = confidence[columns].min()
        return PersonPose(out, sure)
