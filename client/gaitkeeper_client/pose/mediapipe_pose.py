"""BlazePose through MediaPipe's ``PoseLandmarker``: several people per frame, tracked from frame to frame."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_client.pose.base import PersonPose, PointPicker
from gaitkeeper_client.pose.skeletons import BLAZEPOSE_33
from gaitkeeper_client.pose.weights import ESTIMATOR_NAME, pose_task_path

PEOPLE = 3
"""How many people are followed at once. A walker need not be the biggest or the first that the detector finds."""


class MediaPipePose:
    """A :class:`~gaitkeeper_client.pose.base.PoseEstimator` on the CPU."""

    def __init__(self, people: int = PEOPLE) -> None:
        self._people = people
        self._picker = PointPicker(BLAZEPOSE_33)
        self._landmarker: Any = None
        self._frame_type: Any = None
        self._last_ms = -1

    @property
    def name(self) -> str:
        """Name and version of the network."""
        return ESTIMATOR_NAME

    def __enter__(self) -> MediaPipePose:
        path = pose_task_path()
        with _silent_stderr():
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision

            options = vision.PoseLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(path)),
                running_mode=vision.RunningMode.VIDEO,
                num_poses=self._people,
            )
            self._landmarker = vision.PoseLandmarker.create_from_options(options)
            self._frame_type = lambda image: mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _silent_stderr():
            self._landmarker.close()

    def detect(self, image: NDArray[np.uint8], time_s: float) -> tuple[PersonPose, ...]:
        """Everyone seen in an (H, W, 3) RGB image at ``time_s``."""
        height, width = image.shape[:2]
        # The landmarker takes whole, strictly rising milliseconds; they only order the frames.
        stamp = max(round(time_s * 1000.0), self._last_ms + 1)
        self._last_ms = stamp
        with _silent_stderr():
            result = self._landmarker.detect_for_video(self._frame_type(image), stamp)
        people = []
        for landmarks in result.pose_landmarks:
            points = np.array([(mark.x * width, mark.y * height) for mark in landmarks])
            people.append(self._picker.pick(points, np.array([mark.visibility for mark in landmarks])))
        return tuple(people)


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keep the C++ library's log lines from the user: it writes to the file descriptor, past Python (20 us a call)."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, not a path
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
