"""Rendered video of a synthetic walk: a shaded figure in front of a blurred room, drawn with OpenCV."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.simulation.appearance import appearance_of
from gaitkeeper_shared.simulation.camera import Camera
from gaitkeeper_shared.simulation.figure import Group, figure_groups
from gaitkeeper_shared.simulation.scene import draw_background, grain
from gaitkeeper_shared.simulation.walker import Walk

Image = NDArray[np.uint8]

_SHIFT = 4
"""Fractional bits of the coordinates handed to OpenCV: sixteenths of a pixel, or the outline would jump."""
_SHADES = ((1.06, 0.0, 0.46), (0.97, 0.03, 0.76), (0.82, 0.11, 0.90), (0.62, 0.20, 1.0), (0.36, 0.30, 1.09))
"""Layers of a rounded body, outermost first: share of the radius, shift towards the light in radii, brightness. The
outermost is a dark rim, which sets the near leg off from the far one."""
_FLAT = ((1.0, 0.0, 1.0),)
_LIGHT = np.array([-0.35, -1.0])
"""Where the light comes from, in the image (x right, y down)."""
_ARC = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 9)


@dataclass(frozen=True, slots=True)
class _Layer:
    """One colour of one group: (T, capsules, corners, 2) outlines in 1/16 pixel."""

    outlines: NDArray[np.int32]
    colour: tuple[float, float, float]


def require_renderer() -> None:
    """Raise ``simulate-no-renderer`` where OpenCV is not installed."""
    if importlib.util.find_spec("cv2") is None:
        raise GaitkeeperError("simulate-no-renderer")


def frames(walk: Walk, camera: Camera, frames_per_second: float) -> Iterator[Image]:
    """The walk's frames in order, BGR (height, width, 3), the first at time 0."""
    times = np.arange(int(walk.duration_s * frames_per_second) + 1) / frames_per_second
    groups = figure_groups(walk.positions(times), appearance_of(walk.patient), camera)
    yield from drawn(groups, camera, times.size, walk.patient.seed)


def drawn(groups: Sequence[Group], camera: Camera, count: int, seed: int) -> Iterator[Image]:
    """``count`` frames of the groups, later ones over earlier ones, in the room and with the grain of ``seed``."""
    import cv2

    background = draw_background(camera, seed)
    grains = grain(camera, seed)
    layers = [layer for group in groups for layer in _layers(group, camera)]
    for number in range(count):
        image = background.copy()
        for layer in layers:
            for outline in layer.outlines[number]:
                cv2.fillConvexPoly(image, outline, layer.colour, cv2.LINE_AA, _SHIFT)
        plus, minus = grains[number % len(grains)]
        cv2.add(image, plus, dst=image)
        cv2.subtract(image, minus, dst=image)
        yield image


def _layers(group: Group, camera: Camera) -> list[_Layer]:
    projected = [
        (*_circle(capsule.start, capsule.start_radius, camera), *_circle(capsule.end, capsule.end_radius, camera))
        for capsule in group.capsules
    ]
    layers = []
    for share, shift, brightness in _FLAT if group.flat else _SHADES:
        outlines = np.stack([_outline(*circles, share, shift) for circles in projected], axis=1)
        blue, green, red = (min(255.0, channel * brightness * group.light) for channel in group.colour)
        layers.append(_Layer(np.round(outlines * (1 << _SHIFT)).astype(np.int32), (blue, green, red)))
    return layers


def _circle(centre: FloatArray, radius: float, camera: Camera) -> tuple[FloatArray, FloatArray]:
    pixels, depth = camera.project(centre)
    return pixels, radius * camera.focal_px / depth


def _outline(
    start: FloatArray, start_radius: FloatArray, end: FloatArray, end_radius: FloatArray, share: float, shift: float
) -> FloatArray:
    """(T, corners, 2) outline of the hull of two circles with (T, 2) centres and (T,) radii."""
    along = end - start
    angle = np.arctan2(along[:, 1], along[:, 0])[:, None]
    halves = []
    for centre, radius, turn in ((end, end_radius, 0.0), (start, start_radius, np.pi)):
        direction = np.stack([np.cos(angle + turn + _ARC), np.sin(angle + turn + _ARC)], axis=-1)
        middle = centre + _LIGHT * shift * radius[:, None]
        halves.append(middle[:, None] + share * radius[:, None, None] * direction)
    return np.concatenate(halves, axis=1)


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
    import cv2

    reader = cv2.VideoCapture(str(part))
    stored = int(reader.get(cv2.CAP_PROP_FRAME_COUNT))
    reader.release()
    if stored != count:
        detail = f"only {stored} of {count} frames arrived on the disk"
        raise GaitkeeperError("simulate-write-failed", path=path, detail=detail)
    with part.open("rb") as file:
        os.fsync(file.fileno())
