"""BlazePose through MediaPipe's ``PoseLandmarker``, on the CPU."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_client.capture.quiet import silent_stderr
from gaitkeeper_client.pose.base import EstimatorIdentity, PersonPose, PointPicker
from gaitkeeper_client.pose.mirrored import InTurns
from gaitkeeper_client.pose.no_uploads import keep_silent
from gaitkeeper_client.pose.skeletons import BLAZEPOSE_33
from gaitkeeper_client.pose.weights import ESTIMATOR_NAME, FILES, pose_task_path

BODY_SHARE = 0.983
"""Hips 20 to 30 mm too low, ankles 15 to 20 too high, shoulders right: of 33 drawn walkers the sum came out 1.6 % short
from the side and 2.0 % obliquely; steps of the one person on real video who was measured by hand 1.5 to 4 % long."""
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
        self._loader: ThreadPoolExecutor | None = None
        self._next: InTurns | None = None

    @property
    def identity(self) -> EstimatorIdentity:
        """Name, version and weights of the landmark network."""
        return EstimatorIdentity(
            ESTIMATOR_NAME, BLAZEPOSE_33.name, FILES[1].sha256, body_share=BODY_SHARE, takes_turns=True
        )

    def __enter__(self) -> MediaPipePose:
        _mediapipe()
        self._loader = ThreadPoolExecutor(2, "load-pose")
        # Somebody will have to be followed: his networks load while the first frame is decoded and searched.
        self._next = self._new_follower(self._loader)
        self._finder = _landmarker("IMAGE", PEOPLE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with silent_stderr():
            self._finder.close()
            for follower in self._followers:
                follower.close()
        if self._loader is not None:
            self._loader.shutdown()

    def find(self, image: NDArray[np.uint8]) -> tuple[PersonPose, ...]:
        """Everyone seen in an (H, W, 3) RGB image."""
        with silent_stderr():
            result = self._finder.detect(_mediapipe_image(image))
        return _poses(result, image)

    def follower(self) -> InTurns:
        """A new follower, which has a network for the picture and one for its mirror image."""
        if self._loader is None:
            raise RuntimeError("the estimator is a context manager, and was not entered")
        ready, self._next = self._next, None
        return ready or self._new_follower(self._loader)

    def _new_follower(self, loader: ThreadPoolExecutor) -> InTurns:
        plain, mirror = (MediaPipeFollower(loader.submit(_landmarker, "VIDEO", 1)) for _ in range(2))
        self._followers += [plain, mirror]
        return InTurns(plain, mirror)


class MediaPipeFollower:
    """One landmarker in video mode. Its clock is its own: MediaPipe wants whole, strictly rising milliseconds."""

    _FORGET_MS = 10_000

    def __init__(self, loading: Future[Any]) -> None:
        self._loading = loading
        self._clock_ms = 0

    def follow(self, image: NDArray[np.uint8], seconds: float) -> PersonPose | None:
        """The person in the cut-out."""
        self._clock_ms += max(1, round(seconds * 1000.0))
        landmarker = self._loading.result()
        with silent_stderr():
            result = landmarker.detect_for_video(_mediapipe_image(image), self._clock_ms)
        people = _poses(result, image)
        return people[0] if people else None

    def forget(self) -> None:
        """An empty picture makes the landmarker let go of the person it follows."""
        self.follow(np.zeros((64, 64, 3), dtype=np.uint8), self._FORGET_MS / 1000.0)

    def close(self) -> None:
        """Free the network."""
        if self._loading.exception() is None:
            self._loading.result().close()


_NOT_NEEDED = ("matplotlib", "matplotlib.pyplot", "sounddevice")
"""What MediaPipe's package imports for drawing and for microphones: a second of start-up that no pose needs."""
_loading = threading.Lock()


@cache
def _mediapipe() -> ModuleType:
    """MediaPipe; what it needs only to draw and to listen stays out unless somebody else has it already."""
    with _loading, silent_stderr():
        empty = {name: ModuleType(name) for name in _NOT_NEEDED if name not in sys.modules}
        sys.modules.update(empty)
        try:
            import mediapipe
        finally:
            for name, module in empty.items():
                if sys.modules.get(name) is module:
                    del sys.modules[name]
        keep_silent(Path(mediapipe.__file__).parent)
    return mediapipe  # type: ignore[no-any-return]  # not typed


def _landmarker(mode: str, people: int) -> Any:
    path = pose_task_path()
    tasks = _mediapipe().tasks
    options = tasks.vision.PoseLandmarkerOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(path)),
        running_mode=tasks.vision.RunningMode[mode],
        num_poses=people,
    )
    with silent_stderr():
        return tasks.vision.PoseLandmarker.create_from_options(options)


def _mediapipe_image(image: NDArray[np.uint8]) -> Any:
    mediapipe = _mediapipe()
    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)


_PICKER = PointPicker(BLAZEPOSE_33)


def _poses(result: Any, image: NDArray[np.uint8]) -> tuple[PersonPose, ...]:
    size = np.array([image.shape[1], image.shape[0]])
    return tuple(_pose(landmarks, size) for landmarks in result.pose_landmarks)


def _pose(landmarks: Sequence[Any], size: NDArray[np.int64]) -> PersonPose:
    values = np.full((len(landmarks), 3), np.nan)
    for index in _PICKER.used:
        mark = landmarks[index]
        values[index] = mark.x, mark.y, mark.visibility
    return _PICKER.pick(values[:, :2] * size, values[:, 2])
