"""The part of a picture that a network looks at, and the way back from the network's pixels to the picture's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_shared.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class Crop:
    """An upright rectangle of a picture and the network's input of the same shape.

    Pixel ``u`` of the input (from 0 at its left edge) shows the picture at ``center + (u / input - 1/2) * extent``,
    in both directions, as the networks were trained.

    ``center``, ``extent``: (2,) x and y in pixels of the picture; ``size``: width and height of the input.
    """

    center: FloatArray
    extent: FloatArray
    size: tuple[int, int]

    @staticmethod
    def around(center: FloatArray, extent: FloatArray, size: tuple[int, int]) -> Crop:
        """The smallest crop of the input's shape that holds a box of ``extent`` around ``center``."""
        width, height = max(float(extent[0]), 1.0), max(float(extent[1]), 1.0)
        shape = size[0] / size[1]
        whole = np.array([max(width, height * shape), max(height, width / shape)])
        return Crop(np.asarray(center, dtype=np.float64), whole, size)

    @property
    def scale(self) -> float:
        """Pixels of the picture per pixel of the input."""
        return float(self.extent[0]) / self.size[0]

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(height, width, 3) what the network sees; black where it reaches over the edge."""
        import cv2

        if self.scale > 2.0:
            # Linear interpolation looks at 2 x 2 pixels: further reduced, thin limbs would flicker.
            return self._reduced(image)
        return self._warp(image, self.center, self.scale, cv2.INTER_LINEAR)

    def _reduced(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import cv2

        height, width = image.shape[:2]
        factor = 1.0 / int(self.scale)
        small = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        ratio = np.array([small.shape[1] / width, small.shape[0] / height])
        # Pixel centres: x lies at (x + 1/2) * ratio - 1/2 in the small picture.
        return self._warp(small, (self.center + 0.5) * ratio - 0.5, self.scale * factor, cv2.INTER_LINEAR)

    def _warp(self, image: NDArray[np.uint8], center: FloatArray, scale: float, how: int) -> NDArray[np.uint8]:
        import cv2

        corner = center - 0.5 * scale * np.array(self.size)
        matrix = np.array([[scale, 0.0, corner[0]], [0.0, scale, corner[1]]])
        out = cv2.warpAffine(image, matrix, self.size, flags=how | cv2.WARP_INVERSE_MAP)
        return np.asarray(out, dtype=np.uint8)

    def back(self, points: FloatArray) -> FloatArray:
        """(P, 2) pixels of the input as pixels of the picture."""
        out: FloatArray = self.center + (points / np.array(self.size) - 0.5) * self.extent
        return out
