"""How a camera that does not stand square to the walk foreshortens it, and the walk as seen square from the side.

Upright lines of the plane that somebody walks in stay upright in a level camera's picture, and their size there, ``s``,
changes linearly with the picture's column ``x`` from its middle: ``s = s0 (1 + k x)`` with ``k = tan(azimuth) / f``,
``f`` the focal length in pixels (pinhole camera; Hartley & Zisserman, Multiple View Geometry in Computer Vision, 2004,
ISBN 978-0-521-54051-3, chapter 8). The walker is the measuring rod: shoulders over the standing foot. With ``k``, a
point at ``(x, y)``, ``y`` counted from the horizon, lies at ``x / ((1 + k x) cos(azimuth))`` along the way and at
``y / (1 + k x)`` above the eye's height, in pixels of the picture's middle.

``k`` is measured; the azimuth needs ``f`` too. What cameras are usually like and how wide the shoulders look say about
the same, and both are used, weighted by their errors: with a camera 28 degrees off the side that nothing is known of,
the azimuth is good to about 5 degrees and a length along the way to 5 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint, midpoint
from gaitkeeper_shared.skeleton import JOINTS, SIDES

USUAL_FOCAL = 1.0
"""Focal length over the picture's longer side: a phone's main camera filming has about 0.8, a camcorder from a few
metres 1.0 to 1.4. 53 degrees of view."""
FOCAL_SD = 0.22
"""Of its logarithm: fields of view of 36 to 75 degrees are within two of it."""
WIDTH_SD_DEG = 8.0
"""Of the azimuth by the shoulders' width: rendered walkers 28 degrees off the side were given 25 to 38."""
LEAST_TRAVEL = 1.5
"""Body sizes that somebody has to travel across the picture before growth tells a direction from bobbing."""
STEP_S = 0.55
"""About a step: what the size does beside the trend repeats with it, so that a step is one observation."""
HORIZON_SD = 0.25
"""Of the horizon's height about the picture's middle, in picture heights, before the walker says anything."""
HALF_APART = {"shoulder": 0.11, "elbow": 0.11, "wrist": 0.11, "hip": 0.05, "knee": 0.04}
"""Of left and right points from the walker's middle, in heights of the body (after Winter 2009)."""
FEET_HALF_APART = 0.03
"""Half a step's width, 0.1 m of a walker of 1.7 m."""
SHARES = {"shoulder": 0.818, "hip": 0.530}
"""Height over the ground, in heights of the body (Winter 2009, doi:10.1002/9780470549148, figure 4.1)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Size of the camera's picture in pixels; its middle is where the camera looks."""

    width: int
    height: int

    @property
    def usual_focal_px(self) -> float:
        """Focal length of a usual camera."""
        return USUAL_FOCAL * max(self.width, self.height)


@dataclass(frozen=True, slots=True)
class Perspective:
    """``growth``: ``k`` of the module, per pixel, with its standard deviation ``growth_sd``.

    ``azimuth_deg``: positive where the right end of the walk is nearer; ``azimuth_sd_deg``: of its size.
    ``focal_px``: the likeliest. ``horizon_px``: its height, y up. ``body_px``: the body's, in the picture's middle.
    """

    picture: Picture
    growth: float
    growth_sd: float
    azimuth_deg: float
    azimuth_sd_deg: float
    focal_px: float
    horizon_px: float
    body_px: float

    @property
    def length_sd(self) -> float:
        """Standard deviation of a length along the way, as a share of it."""
        return math.tan(math.radians(abs(self.azimuth_deg))) * math.radians(self.azimuth_sd_deg)


def perspective_of(positions: FloatArray, picture: Picture, duration_s: float, width_deg: float) -> Perspective | None:
    """The perspective of (T, J, 2) image points (x right, y up) of one straight walk; None where it cannot be told.

    It cannot where the walker does not travel far enough across the picture for a trend of size. ``width_deg``: the
    azimuth by the width of the shoulders, NaN where they are not seen.
    """
    column = _column(positions) - 0.5 * picture.width
    size, share = _rod(positions)
    known = np.isfinite(column) & np.isfinite(size) & (size > 0.0)
    if np.count_nonzero(known) < 10:
        return None
    x, rod = column[known], size[known]
    if float(np.ptp(x)) < LEAST_TRAVEL * float(np.median(rod)):
        return None
    start, slope, scatter = _line(x, rod)
    if start <= 0.0 or min(start + slope * x.min(), start + slope * x.max()) <= 0.0:
        return None
    steps = max(2.0, duration_s / STEP_S)
    growth_sd = scatter / start / (float(x.std()) * math.sqrt(steps))
    growth = slope / start
    azimuth, azimuth_sd, focal = _azimuth(growth, growth_sd, picture.usual_focal_px, width_deg)
    horizon = _horizon(positions, 1.0 + growth * column, picture)
    return Perspective(picture, growth, growth_sd, azimuth, azimuth_sd, focal, horizon, start / share)


def square(positions: FloatArray, seen: Perspective) -> FloatArray:
    """(T, J, 2) image points as a camera square to the walk would see them, in pixels of the picture's middle.

    Points of the side that is nearer to the camera look larger than those of the other, and are brought to the
    walker's own plane: who walks to the right shows the right side.
    """
    relative = positions - np.array([0.5 * seen.picture.width, seen.horizon_px])
    hips = midpoint(positions, "hip")[:, 0]
    way = hips[np.isfinite(hips)]
    to_right = way.size < 2 or way[-1] >= way[0]
    cosine = math.cos(math.radians(seen.azimuth_deg))
    flat: FloatArray = relative / (1.0 + seen.growth * relative[..., :1])
    flat[..., 0] /= cosine
    away = _away(to_right) * seen.body_px
    flat *= (1.0 + away * cosine / seen.focal_px)[:, None]
    # Beside the walker's plane is also before or behind along the way, seen obliquely.
    flat[..., 0] -= away * math.tan(math.radians(seen.azimuth_deg))
    return flat


def _away(to_right: bool) -> FloatArray:
    """(J,) how far each joint is behind the walker's middle, seen from the camera, in heights of the body."""
    away = np.zeros(len(JOINTS))
    for index, name in enumerate(JOINTS):
        side, _, part = name.partition("_")
        if side in SIDES:
            nearer = (side == "right") == to_right
            away[index] = (-1.0 if nearer else 1.0) * HALF_APART.get(part, FEET_HALF_APART)
    return away


def _column(positions: FloatArray) -> FloatArray:
    """(T,) where the walker is; of the hip that is seen where only one is."""
    hips: FloatArray = np.stack([joint(positions, f"{side}_hip")[:, 0] for side in SIDES])
    return _known_mean(hips)


def _rod(positions: FloatArray) -> tuple[FloatArray, float]:
    """(T,) shoulders over the lower foot, and their share of the body's height; hips where no shoulders are seen."""
    feet = [joint(positions, f"{side}_{part}")[:, 1] for side in SIDES for part in ("heel", "ankle")]
    low = np.fmin(np.fmin(feet[0], feet[1]), np.fmin(feet[2], feet[3]))
    tops = {
        part: _known_mean(np.stack([joint(positions, f"{side}_{part}")[:, 1] for side in SIDES])) for part in SHARES
    }
    part = "shoulder" if np.isfinite(tops["shoulder"]).mean() >= 0.5 else "hip"
    return np.asarray(tops[part] - low), SHARES[part]


def _height(positions: FloatArray, part: str) -> FloatArray:
    """(T,) of a joint, of that side that is seen where only one is."""
    return _known_mean(np.stack([joint(positions, f"{side}_{part}")[:, 1] for side in SIDES]))


def _known_mean(values: FloatArray) -> FloatArray:
    """(T,) mean over the first axis of what is known; NaN where nothing is."""
    count = np.isfinite(values).sum(axis=0)
    total = np.where(np.isfinite(values), values, 0.0).sum(axis=0)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _line(x: FloatArray, y: FloatArray) -> tuple[float, float, float]:
    """Start at x = 0, slope, and scatter of the line with the least absolute distances (reweighted least squares)."""
    design = np.stack([np.ones_like(x), x / max(1.0, float(np.abs(x).max()))], axis=1)
    weight: FloatArray = np.ones_like(x)
    found: FloatArray = np.zeros(2)
    for _ in range(8):
        root = np.sqrt(weight)
        found = np.asarray(np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0], dtype=np.float64)
        weight = 1.0 / np.maximum(np.abs(y - design @ found), 1e-3 * float(np.median(y)))
    scatter = 1.4826 * float(np.median(np.abs(y - design @ found)))
    return float(found[0]), float(found[1]) / max(1.0, float(np.abs(x).max())), scatter


def _azimuth(growth: float, growth_sd: float, usual_focal: float, width_deg: float) -> tuple[float, float, float]:
    """Azimuth and its standard deviation in degrees, and the focal length, that agree best with all that is known."""
    logs = np.linspace(-3.0 * FOCAL_SD, 3.0 * FOCAL_SD, 121)
    focal = usual_focal * np.exp(logs)
    azimuth = np.degrees(np.arctan(np.abs(growth) * focal))
    against = (logs / FOCAL_SD) ** 2
    if math.isfinite(width_deg):
        against = against + ((azimuth - width_deg) / WIDTH_SD_DEG) ** 2
    weight = np.exp(-0.5 * (against - against.min()))
    weight /= weight.sum()
    mean = float(weight @ azimuth)
    by_focal = float(weight @ (azimuth - mean) ** 2)
    by_growth = math.degrees(growth_sd * usual_focal) * math.cos(math.radians(mean)) ** 2
    likeliest = math.tan(math.radians(mean)) / abs(growth) if abs(growth) > 1e-12 else usual_focal
    return math.copysign(mean, growth), math.sqrt(by_focal + by_growth**2), likeliest


def _horizon(positions: FloatArray, size: FloatArray, picture: Picture) -> float:
    """Height of the horizon: where lines that are level along the way meet, as far as the walk's growth shows it."""
    middle = 0.5 * picture.height
    rows, sizes, groups = [], [], []
    for number, part in enumerate(("shoulder", "hip", "ankle")):
        height = _height(positions, part)
        known = np.isfinite(height) & np.isfinite(size)
        rows.append(height[known] - middle)
        sizes.append(size[known])
        groups.append(np.full(int(known.sum()), number))
    heights, group, scale = np.concatenate(rows), np.concatenate(groups), np.concatenate(sizes)
    if heights.size < 10:
        return middle
    design = np.concatenate([np.ones((heights.size, 1)), (group[:, None] == np.arange(3)) * scale[:, None]], axis=1)
    # Steps, not samples, are the observations; bobbing is a fiftieth of the body.
    spread = 0.02 * float(np.ptp(heights)) * math.sqrt(heights.size / 30.0)
    design = np.concatenate([design / spread, [[1.0 / (HORIZON_SD * picture.height), 0.0, 0.0, 0.0]]])
    found = np.linalg.lstsq(design, np.append(heights / spread, 0.0), rcond=None)[0]
    return middle + float(found[0])
