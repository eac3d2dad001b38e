"""Walks in space as a pose network would see them from the side: keypoints in a picture, with a network's errors."""

from __future__ import annotations

import numpy as np

from gaitkeeper_client.gait.bouts import find_bouts
from gaitkeeper_client.gait.clean import clean
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import leg_length, midpoint
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.simulation.camera import camera_for
from gaitkeeper_shared.simulation.keypoints import noisy_points
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.walker import Walk

SIZE = (960, 540)
SEED = 97


def seen_from_the_side(walk: JointTrajectories, rate_hz: float, number: int) -> JointTrajectories:
    """The walk at so many frames a second, from right to left through the picture; ``number`` varies the noise.

    Between samples the markers are taken to go straight on, which at 100 samples a second and more is less than a
    millimetre off.
    """
    length_s = float(walk.time_s[-1] - walk.time_s[0])
    times = walk.time_s[0] + np.arange(int(length_s * rate_hz) + 1) / rate_hz
    flat = _forward(walk).reshape(walk.time_s.size, -1)
    moved = np.stack([np.interp(times, walk.time_s, column) for column in flat.T], axis=1)
    positions = moved.reshape(times.size, -1, 3)
    camera = camera_for(_there(positions), SIZE, "side", "right_to_left")
    return noisy_points(positions, _height_m(positions), camera, rate_hz, (SEED, number))


def _there(positions: FloatArray) -> FloatArray:
    """Points for a camera to be set up for: a marker that is missing counts as the middle of the others."""
    some = positions[np.isfinite(positions).any(axis=(1, 2))]
    return np.where(np.isfinite(some), some, np.nanmean(some, axis=1, keepdims=True))


def _forward(walk: JointTrajectories) -> FloatArray:
    """(T, J, 3) with the way that is walked along the first axis, and the walker above it."""
    bout = max(find_bouts(clean(walk).tracks), key=lambda one: one.duration_s)
    assert isinstance(bout.heading, tuple)
    along = np.array(bout.heading) / np.hypot(*bout.heading)
    turned = walk.positions.copy()
    turned[..., 0] = walk.positions[..., :2] @ along
    turned[..., 1] = walk.positions[..., :2] @ np.array([-along[1], along[0]])
    turned[..., 1] -= np.nanmedian(midpoint(turned, "hip")[:, 1])
    return turned


def _height_m(positions: FloatArray) -> float:
    """Nobody wrote the heights of the laboratories' people down: from the leg, as in a simulated person."""
    patient = draw_patient("measure", "healthy", 0)
    share = leg_length(Walk(patient, 1.0).positions(np.array([0.0, 0.5]))) / patient.height_m
    return leg_length(positions) / share
