"""Rendered video of a synthetic walk: a shaded figure in front of a blurred room, drawn with OpenCV."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.simulation.appearance import Appearance, appearance_of
from gaitkeeper_shared.simulation.camera import Camera
from gaitkeeper_shared.simulation.figure import Part, figure_parts
from gaitkeeper_shared.simulation.scene import draw_background, grain
from gaitkeeper_shared.simulation.walker import Walk

Image = NDArray[np.uint8]

_SHIFT = 4
"""Fractional bits of the coordinates handed to OpenCV: sixteenths of a pixel, or the outline would jump."""
_SHADES = ((1.0, 0.0, 0.74), (0.86, 0.10, 0.88), (0.66, 0.20, 1.0), (0.40, 0.30, 1.10))
"""Layers of a rounded part: share of the radius, shift towards the light in radii, brightness."""
_ARC = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 9)


def require_renderer() -> None:
    """Raise ``simulate-no-renderer`` where OpenCV is not installed."""
    if importlib.util.find_spec("cv2") is None:
        raise GaitkeeperError("simulate-no-renderer")


def frames(walk: Walk, camera: Camera, frames_per_second: float) -> Iterator[Image]:
    """The walk's frames in order, BGR (height, width, 3), the first at time 0."""
    import cv2

    look = appearance_of(walk.patient)
    background = draw_background(camera, walk.patient.seed)
    grains = grain(camera, walk.patient.seed)
    times = np.arange(int(walk.duration_s * frames_per_second) + 1) / frames_per_second
    positions = walk.positions(times)
    for number, points in enumerate(positions):
        image = background.copy()
        draw_figure(image, camera, points, look)
        plus, minus = grains[number % len(grains)]
        cv2.add(image, plus, dst=image)
        cv2.subtract(image, minus, dst=image)
        yield image


def draw_figure(image: Image, camera: Camera, points: FloatArray, look: Appearance) -> None:
    """Draw one (J, 3) pose into the image."""
    for part in figure_parts(points, look, camera):
        _draw_part(image, camera, part)


def _draw_part(image: Image, camera: Camera, part: Part) -> None:
    import cv2

    centres, depth = camera.project(part.centres)
    radii = part.radii * camera.focal_px / depth
    light = np.array([-0.35, -1.0])
    for share, shift, brightness in _SHADES if part.rounded else _SHADES[2:3]:
        outline = _capsule(centres + light * (shift * radii)[:, None], radii * share)
        colour = tuple(float(min(255.0, channel * brightness * part.light)) for channel in part.colour)
        fixed = np.round(outline * (1 << _SHIFT)).astype(np.int32)
        if not part.convex:
            cv2.fillPoly(image, [fixed], colour, cv2.LINE_AA, _SHIFT)
        else:
            cv2.fillConvexPoly(image, fixed, colour, cv2.LINE_AA, _SHIFT)


def _capsule(centres: FloatArray, radii: FloatArray) -> FloatArray:
    """Outline of the convex hull of the circles with (N, 2) centres and (N,) radii."""
    if centres.shape[0] == 2:
        along = centres[1] - centres[0]
        angle = np.arctan2(along[1], along[0])
        far = angle + _ARC
        near = angle + np.pi + _ARC
        first = centres[1] + radii[1] * np.stack([np.cos(far), np.sin(far)], axis=-1)
        second = centres[0] + radii[0] * np.stack([np.cos(near), np.sin(near)], axis=-1)
        return np.concatenate([first, second])
    import cv2

    around = np.linspace(0.0, 2.0 * np.pi, 20, endpoint=False)
    circle = np.stack([np.cos(around), np.sin(around)], axis=-1)
    points = (centres[:, None] + radii[:, None, None] * circle).reshape(-1, 2)
    return np.asarray(cv2.convexHull(points.astype(np.float32)), dtype=np.float64)[:, 0]


def write_video(
    path: Path,
    walk: Walk,
    camera: Camera,
    frames_per_second: float,
    on_frame: Callable[[], None] | None = None,
) -> int:
    """Render the walk to an MP4 file and return the number of frames. The file appears only once it is complete."""
    require_renderer()
    import cv2

    part = path.with_name(f".{path.stem}.part.mp4")
    writer = cv2.VideoWriter(
        str(part), cv2.VideoWriter.fourcc(*"mp4v"), frames_per_second, (camera.width, camera.height)
    )
    count = 0
    try:
        if not writer.isOpened():
            raise GaitkeeperError("simulate-write-failed", path=path, detail="OpenCV cannot write MP4 video here")
        for image in frames(walk, camera, frames_per_second):
            writer.write(image)
            count += 1
            if on_frame is not None:
                on_frame()
        writer.release()
        _check_written(path, part, count)
        part.replace(path)
    finally:
        writer.release()
        part.unlink(missing_ok=True)
    return count


def _check_written(path: Path, part: Path, count: int) -> None:
    # OpenCV says nothing when the disk is full: count what can be read back.
    import os

    import cv2

    reader = cv2.VideoCapture(str(part))
    stored = int(reader.get(cv2.CAP_PROP_FRAME_COUNT))
    reader.release()
    if stored != count:
        detail = f"only {stored} of {count} frames arrived on the disk"
        raise GaitkeeperError("simulate-write-failed", path=path, detail=detail)
    with part.open("rb") as file:
        os.fsync(file.fileno())
