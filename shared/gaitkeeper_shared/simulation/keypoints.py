"""Keypoints of a synthetic walk as a pose estimator would deliver them: projected, noisy, partly hidden.

Noise: independent jitter plus a slow drift per joint, both larger for joints that the body hides; a few low-confidence
gaps; on demand, short spells in which left and right leg are swapped. Magnitudes follow what markerless 2-D pose of
walking shows against marker systems, a few per cent of the leg's length: Stenum et al. 2021,
doi:10.1371/journal.pcbi.1008935.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.simulation.camera import Camera
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS


@dataclass(frozen=True, slots=True)
class KeypointNoise:
    """How noisy keypoints are. ``jitter``, ``drift``: standard deviation as a share of the body's height in the image.

    ``far_factor``: how much worse the hidden side is. ``gaps_per_s``: spells without a joint, each ``gap_s`` long.
    ``swaps_per_s``: spells with left and right leg exchanged.
    """

    jitter: float = 0.004
    drift: float = 0.006
    far_factor: float = 2.0
    gaps_per_s: float = 0.5
    gap_s: float = 0.15
    swaps_per_s: float = 0.0


def noisy_keypoints(
    walk: Walk, camera: Camera, frames_per_second: float, noise: KeypointNoise | None = None, number: int = 0
) -> JointTrajectories:
    """2-D keypoints in pixels (x right, y up) of the walk seen by the camera; ``number`` varies the noise."""
    time_s = np.arange(int(walk.duration_s * frames_per_second) + 1) / frames_per_second
    seed = (walk.patient.seed, 41, number)
    body = (walk.positions(time_s), walk.patient.height_m)
    return noisy_points(*body, camera, frames_per_second, seed, noise, walk.duration_s)


def noisy_points(
    positions: FloatArray,
    height_m: float,
    camera: Camera,
    frames_per_second: float,
    seed: Sequence[int],
    noise: KeypointNoise | None = None,
    duration_s: float | None = None,
) -> JointTrajectories:
    """The same of (T, J, 3) metres, one for each frame, of somebody ``height_m`` tall; what is NaN stays unseen."""
    noise, random = noise or KeypointNoise(), np.random.default_rng(seed)
    time_s = np.arange(positions.shape[0]) / frames_per_second
    duration_s = float(time_s[-1]) if duration_s is None else duration_s
    pixels, depth = camera.project(positions)
    body = height_m * camera.focal_px / float(np.nanmean(depth))
    spread = np.where(_far(camera), noise.far_factor, 1.0)
    confidence = np.clip(random.normal(np.where(_far(camera), 0.78, 0.93), 0.05, (time_s.size, len(JOINTS))), 0.05, 1.0)
    pixels += body * noise.jitter * spread[:, None] * random.normal(size=pixels.shape)
    pixels += body * noise.drift * spread[:, None] * _slow(random, pixels.shape, 0.25 * frames_per_second)
    pixels[..., 1] = camera.height - pixels[..., 1]
    _swap(random, pixels, noise.swaps_per_s * duration_s, max(2, round(0.12 * frames_per_second)))
    _gaps(random, pixels, confidence, noise, duration_s, frames_per_second)
    return JointTrajectories(time_s, pixels, "px", confidence)


def _far(camera: Camera) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    side = "right" if camera.forward[1] < 0.0 else "left"
    return np.array([name.startswith(side) for name in JOINTS])


def _slow(random: np.random.Generator, shape: tuple[int, ...], width: float) -> FloatArray:
    smooth = gaussian_filter1d(random.normal(size=shape), width, axis=0, mode="reflect")
    return np.asarray(smooth / max(1e-9, float(np.std(smooth))))


def _swap(random: np.random.Generator, pixels: FloatArray, expected: float, length: int) -> None:
    for _ in range(int(random.poisson(expected))):
        start = int(random.integers(0, max(1, pixels.shape[0] - length)))
        for name in ("knee", "ankle", "heel", "toe"):
            pair = [JOINT_INDEX[f"left_{name}"], JOINT_INDEX[f"right_{name}"]]
            pixels[start : start + length, pair] = pixels[start : start + length, pair[::-1]]


def _gaps(
    random: np.random.Generator,
    pixels: FloatArray,
    confidence: FloatArray,
    noise: KeypointNoise,
    duration_s: float,
    frames_per_second: float,
) -> None:
    length = max(1, round(noise.gap_s * frames_per_second))
    for _ in range(int(random.poisson(noise.gaps_per_s * duration_s))):
        joint, start = int(random.integers(1, len(JOINTS))), int(random.integers(0, pixels.shape[0]))
        pixels[start : start + length, joint] = np.nan
        confidence[start : start + length, joint] = 0.1
