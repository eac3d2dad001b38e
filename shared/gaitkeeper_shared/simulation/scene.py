"""The blurred room behind a synthetic patient, and the grain of the sensor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_shared.simulation.camera import Camera

Image = NDArray[np.uint8]

_GRAINS = 4
_GRAIN_SIGMA = 2.0


def draw_background(camera: Camera, seed: int) -> Image:
    """A wall, a floor and a few pieces of furniture, out of focus; (height, width, 3), the same for the same seed."""
    import cv2

    random = np.random.default_rng([seed, 31])
    height, width = camera.height, camera.width
    # The wall stands 3 m behind the walkway.
    wall_depth = float(np.linalg.norm(camera.position[:2])) + 3.0
    edge = int(0.5 * height + camera.focal_px * camera.position[2] / wall_depth)
    image = np.zeros((height, width, 3), np.uint8)
    wall = random.uniform(168, 215) + random.uniform(-10, 10, size=3)
    floor = random.uniform(110, 150) + random.uniform(-10, 10, size=3)
    rows = np.linspace(0.0, 1.0, height)[:, None, None]
    image[:] = np.clip(wall * (1.04 - 0.10 * rows), 0, 255).astype(np.uint8)
    below = np.linspace(0.92, 1.08, max(1, height - edge))[:, None, None]
    image[edge:] = np.clip(floor * below, 0, 255).astype(np.uint8)
    unit = camera.focal_px / wall_depth
    for _ in range(int(random.integers(3, 6))):
        left, wide, tall = (
            int(random.uniform(0, width)),
            random.uniform(0.4, 1.4) * unit,
            random.uniform(0.7, 2.1) * unit,
        )
        shade = wall * random.uniform(0.72, 1.10)
        foot = edge if random.random() < 0.6 else int(edge - random.uniform(0.6, 1.2) * unit)
        colour = tuple(float(np.clip(channel, 0, 255)) for channel in shade)
        cv2.rectangle(image, (left, int(foot - tall)), (int(left + wide), foot), colour, -1)
    cv2.line(image, (0, edge), (width, edge), tuple(float(channel) for channel in 0.8 * wall), max(2, height // 120))
    blur = 2 * (height // 60) + 1
    return np.asarray(cv2.GaussianBlur(image, (blur, blur), 0), dtype=np.uint8)


def grain(camera: Camera, seed: int) -> list[tuple[Image, Image]]:
    """A few noise images to cycle through, each as what to add and what to subtract."""
    random = np.random.default_rng([seed, 37])
    grains = []
    for _ in range(_GRAINS):
        noise = np.round(random.normal(0.0, _GRAIN_SIGMA, (camera.height, camera.width, 1))).astype(np.int8)
        both = np.repeat(noise, 3, axis=2)
        grains.append(
            (np.clip(both, 0, None).astype(np.uint8), np.clip(-both.astype(np.int16), 0, None).astype(np.uint8))
        )
    return grains
