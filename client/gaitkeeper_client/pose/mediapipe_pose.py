"""BlazePose through MediaPipe's ``PoseLandmarker``, on the CPU."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_client.capture.quiet import silent_stderr
from gaitkeeper_client.pose.base import EstimatorIdentity, PersonPose, PointPicker
from gaitkeeper_client.pose.skeletons import BLAZEPOSE_33
from gaitkeeper_client.pose.weights import ESTIMATOR_NAME, FILES, pose_task_path

PEOPLE = 4
"""How many people are looked for at once. A walker need not be the biggest, or the first that the detector finds."""


class MediaPipePose:
    """A :class:`~gaitkeeper_client.pose.base.PoseEstimator`.

    Finding takes about twice the time of following: the person detector runs besides the landmark network. Following
    one person per landmarker is both faster and steadier than MediaPipe's own following of several.
    """

    def __init__(self) -> None:
        self._finder: Any = None
        self._followers: list[MediaPipeFollower] = []

    @property
    def identity(self) -> EstimatorIdentity:
        """Name, version and weights of the landmark network."""
        return EstimatorIdentity(ESTIMATOR_NAME, BLAZEPOSE_33.name, FILES[1].sha256)

    def __enter__(self) -> MediaPipePose:
        self._finder = _landmarker("IMAGE", PEOPLE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with silent_stderr():
            self._finder.close()
            for follower in self._followers:
                follower.close()

    def find(self, image: NDArray[np.uint8]) -> tuple[PersonPose, ...]:
        """Everyone seen in an (H, W, 3) RGB image."""
        with silent_stderr():
            result = self._finder.detect(_mediapipe_image(image))
        return _poses(result, image)

    def follower(self) -> MediaPipeFollower:
        """A new follower."""
        follower = MediaPipeFollower()
        self._followers.append(follower)
        return follower


class MediaPipeFollower:
    """One landmarker in video mode. Its clock is its own: MediaPipe wants whole, strictly rising milliseconds."""

    _FORGET_MS = 10_000

    def __init__(self) -> None:
        self._landmarker = _landmarker("VIDEO", 1)
        self._clock_ms = 0

    def follow(self, image: NDArray[np.uint8], seconds: float) -> PersonPose | None:
        """The person in the cut-out."""
        self._clock_ms += max(1, round(seconds * 1000.0))
        with silent_stderr():
            result = self._landmarker.detect_for_video(_mediapipe_image(image), self._clock_ms)
        people = _poses(result, image)
        return people[0] if people else None

    def forget(self) -> None:
        """An empty picture makes the landmarker let go of the person it follows."""
        self.follow(np.zeros((64, 64, 3), dtype=np.uint8), self._FORGET_MS / 1000.0)

    def close(self) -> None:
        """Free the network."""
        self._landmarker.close()


def _landmarker(mode: str, people: int) -> Any:
    path = pose_task_path()
    with silent_stderr():
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(path)),
            running_mode=vision.RunningMode[mode],
            num_poses=people,
        )
        return vision.PoseLandmarker.create_from_options(options)


def _mediapipe_image(image: NDArray[np.uint8]) -> Any:
    import mediapipe

    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)


_PICKER = PointPicker(BLAZEPOSE_33)


def _poses(result: Any, image: NDArray[np.uint8]) -> tuple[PersonPose, ...]:
    height, width = image.shape[:2]
    people = []
    for landmarks in result.pose_landmarks:
        points = np.array([(mark.x * width, mark.y * height) for mark in landmarks])
        people.append(_PICKER.pick(points, np.array([mark.visibility for mark in landmarks])))
    return tuple(people)
