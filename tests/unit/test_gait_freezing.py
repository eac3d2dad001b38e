"""The freezing index of a picture: trembling is measured, what a pose network trembles is not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from gaitkeeper_client.gait.analysis import Parameter
from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import leg_length
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.simulation.camera import camera_for
from gaitkeeper_shared.simulation.keypoints import KeypointNoise, noisy_keypoints
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

RATE = 60.0
TREMBLES_HZ = 5.3


@cache
def seen() -> JointTrajectories:
    """A healthy walker of 13.5 s from the side, each point exactly where it is."""
    walk = Walk(draw_patient("p", "healthy", 3), 13.5)
    camera = camera_for(walk.trajectories(100.0).positions, (1920, 540), "side", "left_to_right")
    return noisy_keypoints(walk, camera, RATE, KeypointNoise(jitter=0.0, drift=0.0, gaps_per_s=0.0))


def index_of(moved: dict[str, FloatArray]) -> Parameter:
    """The index where joints of both legs are moved by (T, 2) leg lengths; names as ``left_knee``."""
    positions = seen().positions.copy()
    leg = leg_length(positions)
    for name, way in moved.items():
        positions[:, JOINT_INDEX[name]] += leg * way
    analysis = analyse(replace(seen(), positions=positions), source={})
    assert analysis.status == "analysed"
    return analysis.parameters["freezing_index"]


@pytest.mark.parametrize("amplitude", [0.01, 0.02])
def test_legs_that_tremble_are_measured(amplitude: float) -> None:
    """By 9 and 18 mm: knee, ankle and foot go up and down together, and the shank keeps its length."""
    up = np.stack([np.zeros_like(seen().time_s), np.sin(2.0 * np.pi * TREMBLES_HZ * seen().time_s)], axis=1)
    parts = [f"{side}_{part}" for side in SIDES for part in ("knee", "ankle", "heel", "toe")]
    found = index_of(dict.fromkeys(parts, amplitude * up))
    assert found.value is not None
    assert found.value > 5.0


@pytest.mark.parametrize("spread", [0.005, 0.01, 0.02, 0.03])
def test_what_a_network_trembles_is_withheld_however_much_it_is(spread: float) -> None:
    """A network's errors last for some frames: they lie in the band itself, and the more there are, the less of that
    band is explained by white noise of a usual size."""
    rng = np.random.default_rng(0)
    band = butter(2, (3.0, 8.0), btype="band", fs=RATE, output="sos")
    moved = {}
    for name in (f"{side}_{part}" for part in ("knee", "ankle") for side in SIDES):
        errors = sosfiltfilt(band, rng.normal(size=(seen().time_s.size, 2)), axis=0)
        moved[name] = spread * errors / errors.std()
    refused = index_of(moved).refused
    assert refused is not None
    assert refused.code == "too-noisy"
