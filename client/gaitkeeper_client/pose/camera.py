"""Whether the camera stands still, told by what is behind the people.

Every :data:`EVERY_S` the picture is compared, small and grey, with the one before: corners outside of the people are
followed (Lucas & Kanade's optical flow in a pyramid, forward and back), and the shift and zoom that most of them share
are added up. A wall without any corner tells nothing, and then nothing is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_shared.arrays import FloatArray

EVERY_S = 0.3
SMALL_PX = 320
"""Width of the picture that is compared."""
FEWEST_CORNERS = 8
LARGEST_RETURN_PX = 0.5
"""A corner that does not come back to where it was when followed back was lost."""
SAME_WAY_PX = 0.7
"""Corners within this of the common shift agree with it."""
AGREEING = 0.5
"""Share of the corners that must agree; else too much else moves."""
LEAST_SHIFT_PX = 0.12
"""Below, it is the sensor's grain."""
MARGIN = 0.15
"""By which a person's box is widened, of its size: hair, clothes, a shadow."""
BESIDE = 0.5
"""Heights of a person, within which corners that agree, and that are spread over less than :data:`LEAST_EXTENT` of the
picture's width, are what he moves: the wheelchair that he sits in, the walking frame that he pushes."""
LEAST_EXTENT = 0.3
FOUND_WITHIN = 4
"""Comparisons before and after one in which somebody may be found: who comes in is found a second later."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the whole picture."""


@dataclass(frozen=True, slots=True)
class CameraMotion:
    """How a camera moved.

    ``time_s``: (N,) seconds. ``shift``: (N, 2) way of the background since the start, right and down, in widths of the
    picture. ``zoom``: (N,) its size against the start. ``known``: (N,) false where nothing told, and it is taken as
    still.
    """

    time_s: FloatArray
    shift: FloatArray
    zoom: FloatArray
    known: NDArray[np.bool_]

    def range_between(self, start_s: float, end_s: float) -> tuple[float, float]:
        """Largest extent of the shift (widths of the picture) and of the zoom (share) between two times; 0 unknown."""
        rows = np.flatnonzero((self.time_s >= start_s - EVERY_S) & (self.time_s <= end_s + EVERY_S))
        if rows.size < 2:
            return 0.0, 0.0
        extent = np.ptp(self.shift[rows], axis=0)
        return float(np.hypot(*extent)), float(np.ptp(np.log(self.zoom[rows])))

    @property
    def known_share(self) -> float:
        """Share of the time in which the background told."""
        return float(self.known.mean()) if self.known.size else 0.0


@dataclass(slots=True)
class CameraWatch:
    """Feed frames in order with :meth:`see`; :meth:`motion` says what they showed."""

    _times: list[float] = field(default_factory=list)
    _shifts: list[FloatArray] = field(default_factory=list)
    _zooms: list[float] = field(default_factory=list)
    _known: list[bool] = field(default_factory=list)
    _together: list[FloatArray | None] = field(default_factory=list)
    """The corners that agreed, where they were near each other."""
    _people: list[list[Any]] = field(default_factory=list)
    _before: NDArray[np.uint8] | None = None
    _boxes_before: Sequence[Box] = ()

    def due(self, time_s: float) -> bool:
        """Whether a frame at this time would be looked at."""
        return not self._times or time_s - self._times[-1] >= EVERY_S - 1e-6

    def see(self, image: NDArray[np.uint8], time_s: float, boxes: Sequence[Box]) -> None:
        """Take in a frame, (H, W, 3) or (H, W), with the boxes of the people in it; frames that are not due are free.

        Costs about 4 ms for a frame that is due.
        """
        if not self.due(time_s):
            return
        small = _small(image)
        scale = small.shape[1] / image.shape[1]
        hidden = [tuple(scale * edge for edge in box) for box in (*self._boxes_before, *boxes)]
        found = None
        if self._before is not None and self._before.shape == small.shape:
            found = _common_motion(self._before, small, hidden)
        shift, zoom, agreeing = found if found is not None else (np.zeros(2), 1.0, None)
        apart = agreeing is None or _extent(agreeing) >= LEAST_EXTENT * small.shape[1]
        self._together.append(None if apart else agreeing)
        self._people.append(hidden)
        self._times.append(time_s)
        self._shifts.append(shift / small.shape[1])
        self._zooms.append(zoom)
        self._known.append(found is not None)
        self._before, self._boxes_before = small, tuple(boxes)

    def motion(self) -> CameraMotion:
        """What was seen so far."""
        count = len(self._times)
        shifts = np.array(self._shifts).reshape(count, 2)
        known = np.array(self._known, dtype=np.bool_)
        grown = np.array(self._zooms, dtype=np.float64)
        for number, corners in enumerate(self._together):
            around = self._people[max(0, number - FOUND_WITHIN) : number + FOUND_WITHIN + 1]
            if corners is not None and _beside(corners, [box for boxes in around for box in boxes]):
                shifts[number], grown[number], known[number] = 0.0, 1.0, False
        if count > 1:
            known[0] = known[1]
        zooms: FloatArray = np.cumprod(grown, dtype=np.float64)
        return CameraMotion(np.array(self._times), np.cumsum(shifts, axis=0), zooms, known)


def boxes_of(points: Sequence[FloatArray]) -> list[Box]:
    """Boxes around people given as (J, 2) points each; NaN points are left out."""
    boxes: list[Box] = []
    for person in points:
        seen = person[np.isfinite(person).all(axis=1)]
        if seen.size:
            low, high = seen.min(axis=0), seen.max(axis=0)
            more = MARGIN * float((high - low).max())
            boxes.append((float(low[0]) - more, float(low[1]) - more, float(high[0]) + more, float(high[1]) + more))
    return boxes


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    height, width = image.shape[:2]
    every = max(1, width // (2 * SMALL_PX))
    thinned = image[::every, ::every]
    size = (SMALL_PX, max(16, round(SMALL_PX * height / width)))
    grey = cv2.cvtColor(thinned, cv2.COLOR_RGB2GRAY) if thinned.ndim == 3 else np.ascontiguousarray(thinned)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _common_motion(
    before: NDArray[np.uint8], after: NDArray[np.uint8], hidden: Sequence[Any]
) -> tuple[FloatArray, float, FloatArray] | None:
    """(2,) shift in small pixels at the picture's middle, and zoom, shared by most corners; None where none is.

    And (N, 2) those corners.
    """
    import cv2

    mask = np.full(before.shape, 255, dtype=np.uint8)
    for left, top, right, bottom in hidden:
        mask[max(0, int(top)) : max(0, int(bottom) + 1), max(0, int(left)) : max(0, int(right) + 1)] = 0
    corners = cv2.goodFeaturesToTrack(before, 50, 0.01, 7, mask=mask, blockSize=5)
    if corners is None or len(corners) < FEWEST_CORNERS:
        return None
    start = np.asarray(corners, dtype=np.float64).reshape(-1, 2)
    end, found = _followed(before, after, start)
    back, again = _followed(after, before, end)
    good = found & again & (np.linalg.norm(back - start, axis=1) <= LARGEST_RETURN_PX)
    if np.count_nonzero(good) < FEWEST_CORNERS:
        return None
    return _agreed(start[good], end[good], np.array([before.shape[1], before.shape[0]]) / 2.0)


def _followed(
    before: NDArray[np.uint8], after: NDArray[np.uint8], points: FloatArray
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """(N, 2) points of the one picture in the other, and which were found."""
    import cv2

    single = points.astype(np.float32)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, single, single.copy(), winSize=(21, 21), maxLevel=2)
    return np.asarray(moved, dtype=np.float64).reshape(-1, 2), np.asarray(found).ravel() == 1


def _agreed(start: FloatArray, end: FloatArray, middle: FloatArray) -> tuple[FloatArray, float, FloatArray] | None:
    shift = np.median(end - start, axis=0)
    zoom = 1.0
    for _ in range(3):
        # Zoom about the middle and shift, by turns: medians, so that what else moves has no say.
        arms = start - middle
        reach = np.linalg.norm(arms, axis=1)
        far = reach > 0.2 * float(middle[0])
        if np.count_nonzero(far) >= FEWEST_CORNERS:
            grown = ((end - shift - middle)[far] * arms[far]).sum(axis=1) / reach[far] ** 2
            zoom = float(np.median(grown))
        shift = np.median(end - middle - zoom * arms, axis=0)
    agree = np.linalg.norm(end - middle - zoom * (start - middle) - shift, axis=1) <= SAME_WAY_PX
    if float(agree.mean()) < AGREEING:
        return None
    if abs(zoom - 1.0) * float(middle[0]) < LEAST_SHIFT_PX:
        zoom = 1.0
    return (shift if float(np.linalg.norm(shift)) >= LEAST_SHIFT_PX else np.zeros(2)), zoom, start[agree]


def _extent(corners: FloatArray) -> float:
    """How far four fifths of (N, 2) corners are spread."""
    return float(np.hypot(*np.ptp(np.percentile(corners, (10.0, 90.0), axis=0), axis=0)))


def _beside(corners: FloatArray, people: Sequence[Any]) -> bool:
    """Whether four fifths of (N, 2) corners are within reach of people's boxes."""
    near = np.zeros(len(corners), dtype=np.bool_)
    for left, top, right, bottom in people:
        reach = BESIDE * (bottom - top)
        low, high = np.array([left - reach, top - reach]), np.array([right + reach, bottom + reach])
        near |= ((corners >= low) & (corners <= high)).all(axis=1)
    return float(near.mean()) >= 0.8
