"""Video files as a stream of upright RGB frames with true time stamps.

Frames are decoded in a thread while the pose network works on the last one, through a short queue: neither waits for
the other, and memory stays the same however long the video is.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_client.capture.container import check_container, looks_like_video, presented_seconds
from gaitkeeper_client.capture.quiet import silent_stderr
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    import cv2

QUEUE_FRAMES = 6
LONGEST_SIDE_PX = 1920
"""Larger frames are reduced: the network looks at 256 px of a person, and to convert 4K costs more than to run it."""
LARGEST_LOSS = 0.05
"""Share of the promised frames that may be missing (edit lists, rounded durations) before a file counts as damaged."""
DECODE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One upright frame. ``image``: (H, W, 3) uint8 RGB; ``time_s``: its presentation time from the first frame."""

    index: int
    time_s: float
    image: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What the container promises. ``width`` and ``height`` are those of the delivered, upright frames in pixels."""

    width: int
    height: int
    frame_rate_hz: float
    frames: int
    rotation_deg: int


class FrameSource(Protocol):
    """What frames come from: a file, or a stretch of a camera's day."""

    @property
    def info(self) -> VideoInfo:
        """What is known of the frames before they come."""

    def __iter__(self) -> Iterator[Frame]:
        """The frames in order; times rise."""


class VideoFile:
    """A video that opens, as context manager and iterator of :class:`Frame`. Iterate once.

    Raises ``video-not-found``, ``video-empty``, ``not-a-video`` or ``video-truncated``; the last also while iterating,
    when far fewer frames can be decoded than the file promises.
    """

    def __init__(self, path: Path) -> None:
        check_container(path)
        self.path = path
        self._stop = threading.Event()
        self._queue: queue.Queue[Frame | BaseException | None] = queue.Queue(QUEUE_FRAMES)
        self._capture = _open(path)
        self._thread: threading.Thread | None = None
        self.info = self._read_info()

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the decoding thread and let go of the file."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(DECODE_TIMEOUT_S)
        self._capture.release()

    def __iter__(self) -> Iterator[Frame]:
        self._thread = threading.Thread(target=self._decode, name="decode", daemon=True)
        self._thread.start()
        while True:
            try:
                item = self._queue.get(timeout=DECODE_TIMEOUT_S)
            except queue.Empty as error:
                detail = f"no frame could be decoded for {DECODE_TIMEOUT_S:.0f} s"
                raise GaitkeeperError("video-truncated", path=self.path, detail=detail) from error
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def _read_info(self) -> VideoInfo:
        import cv2

        width, height = (int(self._capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        scale = min(1.0, LONGEST_SIDE_PX / max(width, height, 1))
        return VideoInfo(
            round(width * scale),
            round(height * scale),
            float(self._capture.get(cv2.CAP_PROP_FPS)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)),
            int(self._capture.get(cv2.CAP_PROP_ORIENTATION_META)),
        )

    def _decode(self) -> None:
        try:
            decoded, last = 0, -np.inf
            first: float | None = None
            while not self._stop.is_set():
                frame = self._next_frame(decoded)
                if frame is None:
                    break
                first = frame.time_s if first is None else first
                time_s = frame.time_s - first
                decoded += 1
                if time_s <= last:  # a container with equal stamps: the frame shows nothing that has a time of its own
                    continue
                last = time_s
                self._put(Frame(frame.index, time_s, frame.image))
            self._check_count(decoded)
            self._put(None)
        except BaseException as error:  # handed to the consumer, who raises it
            self._put(error)

    def _next_frame(self, index: int) -> Frame | None:
        import cv2

        ok, image = self._capture.read()
        if not ok:
            return None
        time_s = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000.0
        height, width = image.shape[:2]
        scale = LONGEST_SIDE_PX / max(height, width)
        if scale < 1.0:
            image = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        return Frame(index, time_s, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8))

    def _check_count(self, decoded: int) -> None:
        if self._stop.is_set():
            return
        promised = self.info.frames
        shown = presented_seconds(self.path)
        if shown is not None and self.info.frame_rate_hz > 0.0:
            promised = min(promised, int(shown * self.info.frame_rate_hz))
        if decoded == 0:
            raise GaitkeeperError("not-a-video", path=self.path, detail="not one frame can be decoded")
        if promised > 0 and promised - decoded > max(3.0, LARGEST_LOSS * promised):
            detail = f"it promises {promised} frames and only {decoded} can be decoded"
            raise GaitkeeperError("video-truncated", path=self.path, detail=detail)

    def _put(self, item: Frame | BaseException | None) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.2)
                return
            except queue.Full:
                continue


def _open(path: Path) -> cv2.VideoCapture:
    # The decoder library writes to the terminal past Python unless told not to before it is first used.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    log: Any = cv2.utils.logging
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        with silent_stderr():
            capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    except cv2.error as error:
        raise GaitkeeperError("not-a-video", path=path, detail="the decoder failed on it") from error
    if not capture.isOpened():
        with path.open("rb") as file:
            head = file.read(16)
        known = looks_like_video(head)
        detail = "its container is known but its content is broken" if known else "its content is of no video format"
        raise GaitkeeperError("not-a-video", path=path, detail=detail)
    return capture
