"""Pose networks that a site gives as a file, behind the interface of all estimators.

Such a network looks at one person whom somebody else has found. Here BlazePose's detector finds people in the whole
picture every now and then; from there on each is followed in the cut-out that moves along with him.
"""

from __future__ import annotations

from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_client.pose.base import EstimatorIdentity, PersonPose, PointPicker, PoseEstimator
from gaitkeeper_client.pose.crop import Crop
from gaitkeeper_client.pose.onnx_network import PoseNetwork
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.skeleton import JOINT_INDEX

LEAST_CONFIDENCE = 0.3
"""A trunk whose surer shoulder and hip are seen less surely than this is nobody's."""
GUESS = 0.1
"""What is seen less surely than this may be anywhere in the crop."""
BODY_IN_CUTOUT = 0.64
"""Height of a body over the side of the cut-out that follows it (``people.CUTOUT`` body sizes)."""

_TRUNK = [JOINT_INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "hip")]


class OnnxPose:
    """A :class:`~gaitkeeper_client.pose.base.PoseEstimator` that owns and closes its ``finder``."""

    def __init__(self, network: PoseNetwork, finder: PoseEstimator) -> None:
        self._network = network
        self._finder = finder
        self._picker = PointPicker(network.skeleton)

    @property
    def identity(self) -> EstimatorIdentity:
        """The network's own name; the SHA-256 of its file."""
        skeleton = self._network.skeleton
        return EstimatorIdentity(self._network.path.stem, skeleton.name, self._network.sha256)

    def __enter__(self) -> OnnxPose:
        self._finder.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finder.__exit__(kind, value, trace)

    def find(self, image: NDArray[np.uint8]) -> tuple[PersonPose, ...]:
        """Everyone whom the finder sees in an (H, W, 3) RGB image and the network sees, too."""
        found = (self._look(image, *_box(pose)) for pose in self._finder.find(image))
        return tuple(pose for pose in found if pose is not None)

    def follower(self) -> OnnxFollower:
        """A new follower."""
        return OnnxFollower(self)

    def in_cutout(self, image: NDArray[np.uint8]) -> PersonPose | None:
        """Who is in the middle of a square cut-out."""
        side = float(image.shape[0])
        return self._look(image, np.array([side / 2, side / 2]), np.array([0.0, BODY_IN_CUTOUT * side]))

    def _look(self, image: NDArray[np.uint8], center: FloatArray, extent: FloatArray) -> PersonPose | None:
        crop = Crop.around(center, self._network.card.padding * extent, self._network.size)
        pose = self._picker.pick(*self._network.points(image, crop))
        if float(np.maximum(*pose.confidence[_TRUNK].reshape(2, 2)).mean()) < LEAST_CONFIDENCE:
            return None
        return _without_guesses(pose)


class OnnxFollower:
    """Remembers nothing: the cut-out is where the person is, and the network sees each for itself."""

    def __init__(self, pose: OnnxPose) -> None:
        self._pose = pose

    def follow(self, image: NDArray[np.uint8], seconds: float) -> PersonPose | None:
        """The person in the cut-out."""
        return self._pose.in_cutout(image)

    def forget(self) -> None:
        """There is nothing to forget."""


def _without_guesses(pose: PersonPose) -> PersonPose:
    """The pose without points that are mere guesses.

    By the trunk a person is followed: a shoulder or hip that the other side hides is put there, with its low
    confidence, for which it is left out later.
    """
    unsure = pose.confidence < GUESS
    points = np.where(unsure[:, None], np.nan, pose.points)
    for part in ("shoulder", "hip"):
        left, right = JOINT_INDEX[f"left_{part}"], JOINT_INDEX[f"right_{part}"]
        points[left], points[right] = (
            points[right] if unsure[left] else points[left],
            points[left] if unsure[right] else points[right],
        )
        for joint in (left, right):
            if not np.isfinite(points[joint]).all():
                points[joint] = pose.points[joint]
    return PersonPose(points, pose.confidence)


def _box(pose: PersonPose) -> tuple[FloatArray, FloatArray]:
    """Centre and extent of a pose's points."""
    low, high = np.nanmin(pose.points, axis=0), np.nanmax(pose.points, axis=0)
    return (low + high) / 2.0, high - low
