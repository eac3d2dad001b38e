"""A pinhole camera beside the walkway, set back far enough that the whole walk is in view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gaitkeeper_shared.arrays import FloatArray

View = Literal["side", "oblique"]
Direction = Literal["left_to_right", "right_to_left"]
VIEWS: tuple[View, ...] = ("side", "oblique")
DIRECTIONS: tuple[Direction, ...] = ("left_to_right", "right_to_left")

OBLIQUE_DEG = 28.0
"""How far an oblique camera stands off the walk's perpendicular, towards where the walker goes."""
FIELD_OF_VIEW_DEG = 50.0
"""Horizontal; a phone's or camcorder's, set back until the walk is in view."""
_CAMERA_HEIGHT_M = 1.2
_BODY_MARGIN_M = 0.30
_TALLEST_SHARE = 0.60


@dataclass(frozen=True, slots=True)
class Camera:
    """``position`` and unit vectors ``right``, ``forward`` in metres of the walk; focal length and size in pixels."""

    position: FloatArray
    right: FloatArray
    forward: FloatArray
    focal_px: float
    width: int
    height: int

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(..., 3) metres to (..., 2) pixels (column, row from the top left) and (...) depth in metres."""
        relative = points - self.position
        depth = relative @ self.forward
        column = 0.5 * self.width + self.focal_px * (relative @ self.right) / depth
        row = 0.5 * self.height - self.focal_px * relative[..., 2] / depth
        return np.stack([column, row], axis=-1), depth


def camera_for(positions: FloatArray, size: tuple[int, int], view: View, direction: Direction) -> Camera:
    """A level camera that keeps all of (T, J, 3) ``positions`` in an image of ``size`` (width, height).

    Positions that are not known are a ``ValueError``: no camera shows them, however far back it stands.
    """
    if not np.isfinite(positions).all():
        raise ValueError("a camera needs positions that are all known, and some are not finite")
    width, height = size
    middle = 0.5 * (np.min(positions[:, :, 0]) + np.max(positions[:, :, 0]))
    # Standing at the walker's right, one sees them go from left to right.
    side = -1.0 if direction == "left_to_right" else 1.0
    angle = np.radians(OBLIQUE_DEG) if view == "oblique" else 0.0
    away = np.array([np.sin(angle), side * np.cos(angle), 0.0])
    forward = -away
    right = np.array([forward[1], -forward[0], 0.0])
    focal = 0.5 * width / np.tan(np.radians(0.5 * FIELD_OF_VIEW_DEG))
    head_to_foot = float(np.max(positions[:, :, 2])) + 0.1
    distance = head_to_foot / _TALLEST_SHARE * focal / height
    corners = _body_corners(positions)
    while True:
        position = np.array([middle, 0.0, _CAMERA_HEIGHT_M]) + distance * away
        camera = Camera(position, right, forward, float(focal), width, height)
        pixels, depth = camera.project(corners)
        inside = (pixels > 4.0) & (pixels < np.array([width, height]) - 4.0)
        if bool(np.all(inside)) and bool(np.all(depth > 1.0)):
            return camera
        distance *= 1.03


def _body_corners(positions: FloatArray) -> FloatArray:
    # The drawn body reaches beyond its joints.
    low, high = positions - _BODY_MARGIN_M, positions + _BODY_MARGIN_M
    return np.concatenate([low.reshape(-1, 3), high.reshape(-1, 3)])
