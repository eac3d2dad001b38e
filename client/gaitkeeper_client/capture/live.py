"""Cameras that never end (RTSP, USB): frames as they come, and the stretches of the day in which something moves.

Frames live for as long as they are looked at: nothing here writes or gathers them. A camera that goes away is opened
again, with growing pauses, until somebody stops it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_client.capture.video import LONGEST_SIDE_PX, Frame, VideoInfo

if TYPE_CHECKING:
    import cv2

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
OPEN_MS, READ_MS = 10_000, 10_000
"""So long a stream may take to open, and a frame to come."""
LONGEST_STEP_S = 60.0
"""A stream's clock that makes a larger step counts something else."""
MOST_EARLY_S = 1.0
"""The first frame of a connection may be late by so much: those after it then seem early."""
QUIET_S = 1.5
LONGEST_BOUT_S = 90.0
"""A walk past a camera is shorter; somebody who stays in the picture is cut into such pieces."""
SHORTEST_BOUT_S = 2.0
_LARGEST_GAP_S = 1.0
_SMALL = (96, 54)
_LEARN = 0.02
_DIFFERENT = 18.0
_MOVING_SHARE = 0.003
_FRAMES_TO_START = 3


@dataclass(slots=True)
class CameraTally:
    """``frames`` that came; ``reconnects``: how often the camera had to be opened again."""

    frames: int = 0
    reconnects: int = 0


class Camera:
    """One camera. ``source``: ``rtsp://...``, ``usb:0``, or ``file:PATH`` for a rehearsal, which ends with its file."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.tally = CameraTally()

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """Frames with seconds since the start; a gap in time is what a lost connection leaves. Ends with ``stop``."""
        started, pause, index = time.monotonic(), FIRST_PAUSE_S, 0
        rehearsal = self._source.startswith("file:")
        while not stop.is_set():
            capture, clock = _opened(self._source), StreamClock()
            try:
                while not stop.is_set() and (image := _next(capture)) is not None:
                    own = _milliseconds(capture) / 1000.0
                    yield Frame(index, own if rehearsal else clock.time_of(own, time.monotonic() - started), image)
                    index, pause = index + 1, FIRST_PAUSE_S
                    self.tally.frames += 1
            finally:
                capture.release()
            if rehearsal:
                return
            self.tally.reconnects += 1
            stop.wait(pause)
            pause = min(2.0 * pause, LONGEST_PAUSE_S)


class StreamClock:
    """When a frame was taken, in seconds since the start: by the stream's own clock, as long as it has one.

    Frames wait in buffers while the one before is looked at, and then come all at once: when a frame arrives says
    little of when it was taken, and steps are timed by it. One clock for one connection: what another one counts from
    is another moment.
    """

    def __init__(self) -> None:
        self._ahead: float | None = None
        self._own, self._told, self._trusted = -np.inf, -np.inf, True

    def time_of(self, own_s: float, arrived_s: float) -> float:
        """``own_s``: by the stream; ``arrived_s``: since the start. Never earlier than the frame before."""
        if self._ahead is None:
            self._ahead = arrived_s - own_s
        elif own_s <= self._own or own_s - self._own > LONGEST_STEP_S:
            self._trusted = False  # a camera that counts nothing, or begins anew
        self._own = own_s
        found = own_s + self._ahead if self._trusted else arrived_s
        if found > arrived_s + MOST_EARLY_S:  # nothing comes before it happens: the camera's clock runs too fast
            self._ahead, found = arrived_s - own_s, arrived_s
        self._told = max(found, self._told)
        return self._told


class Bout:
    """A stretch of frames in which something moves; iterate once, and to its end, before the next one is asked for.

    Times of its frames begin at 0. ``start_s``: of its first frame, by the camera's own time.
    """

    def __init__(self, first: Frame, more: Iterator[Frame]) -> None:
        self._first, self._more = first, more
        height, width = first.image.shape[:2]
        self.info = VideoInfo(width, height, 0.0, 0, 0)
        self.start_s, self.end_s = first.time_s, first.time_s

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(0, 0.0, self._first.image)
        for number, frame in enumerate(self._more, start=1):
            self.end_s = frame.time_s
            yield Frame(number, frame.time_s - self.start_s, frame.image)

    @property
    def duration_s(self) -> float:
        """Of what was iterated so far."""
        return self.end_s - self.start_s


class Motion:
    """Whether a frame shows something that was not there: against a background that is learned as it changes."""

    def __init__(self) -> None:
        self._background: NDArray[np.float32] | None = None

    def see(self, image: NDArray[np.uint8]) -> bool:
        """One frame, (H, W, 3) uint8."""
        import cv2

        grey = cv2.cvtColor(cv2.resize(image, _SMALL, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        small = grey.astype(np.float32)
        if self._background is None or self._background.shape != small.shape:
            self._background = small
            return False
        different = np.abs(small - self._background)
        # A lamp switched on changes everything at once: what all pixels share is no person.
        different = np.abs(different - np.median(different))
        self._background = (1.0 - _LEARN) * self._background + _LEARN * small
        return bool(np.mean(different > _DIFFERENT) > _MOVING_SHARE)


def bouts(frames: Iterator[Frame]) -> Iterator[Bout]:
    """The bouts in a camera's frames, one after the other. What nobody iterates of one is passed over."""
    motion, moving, previous = Motion(), 0, -np.inf
    for frame in frames:
        moving = moving + 1 if motion.see(frame.image) and frame.time_s - previous < _LARGEST_GAP_S else 0
        previous = frame.time_s
        if moving >= _FRAMES_TO_START:
            more = _until_quiet(frame, frames, motion)
            yield Bout(frame, more)
            for _ in more:  # whatever was left of it
                pass
            moving = 0


def _until_quiet(first: Frame, frames: Iterator[Frame], motion: Motion) -> Iterator[Frame]:
    moved_at, previous = first.time_s, first.time_s
    for frame in frames:
        if frame.time_s - previous > _LARGEST_GAP_S:
            return
        previous = frame.time_s
        if motion.see(frame.image):
            moved_at = frame.time_s
        yield frame
        if frame.time_s - moved_at > QUIET_S or frame.time_s - first.time_s > LONGEST_BOUT_S:
            return


def _opened(source: str) -> cv2.VideoCapture:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    if source.startswith("usb:"):
        return cv2.VideoCapture(int(source.removeprefix("usb:")))
    if source.startswith("file:"):
        return cv2.VideoCapture(source.removeprefix("file:"), cv2.CAP_FFMPEG)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_MS]
    return cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)


def _next(capture: cv2.VideoCapture) -> NDArray[np.uint8] | None:
    import cv2

    ok, image = capture.read() if capture.isOpened() else (False, None)
    if not ok or image is None:
        return None
    scale = LONGEST_SIDE_PX / max(image.shape[:2])
    if scale < 1.0:
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _milliseconds(capture: cv2.VideoCapture) -> float:
    import cv2

    return float(capture.get(cv2.CAP_PROP_POS_MSEC))
