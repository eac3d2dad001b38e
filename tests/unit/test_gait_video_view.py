"""A view from the side, told from one that is not, however narrow the walker looks."""

from __future__ import annotations

import numpy as np
import pytest

from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_client.gait.view import estimate_view
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.simulation.camera import View, camera_for
from gaitkeeper_shared.simulation.patient import DISORDERS, Disorder, draw_patient
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX

SECONDS = 6.0


def seen(disorder: Disorder, view: View, width: float) -> JointTrajectories:
    """Keypoints without noise; ``width`` of shoulders and hips against the true one, as networks shrink it."""
    walk = Walk(draw_patient("p", disorder, 8), SECONDS)
    camera = camera_for(walk.positions(np.linspace(0.0, SECONDS, 50)), (960, 540), view, "right_to_left")
    times = np.arange(int(SECONDS * 30.0)) / 30.0
    pixels, _ = camera.project(walk.positions(times))
    pixels[..., 1] = camera.height - pixels[..., 1]
    for part in ("shoulder", "hip"):
        pair = [JOINT_INDEX[f"{side}_{part}"] for side in ("left", "right")]
        middle = pixels[:, pair, 0].mean(axis=1, keepdims=True)
        pixels[:, pair, 0] = middle + width * (pixels[:, pair, 0] - middle)
    return JointTrajectories(times, pixels, "px", np.ones(pixels.shape[:2]))


@pytest.mark.parametrize("disorder", DISORDERS)
@pytest.mark.parametrize("width", [0.5, 1.0])
def test_who_comes_nearer_is_not_seen_from_the_side(disorder: Disorder, width: float) -> None:
    assert estimate_view(seen(disorder, "side", width).positions).name == "side"
    assert estimate_view(seen(disorder, "oblique", width).positions).name == "oblique"


def test_no_length_is_printed_for_a_narrow_walker_who_comes_nearer() -> None:
    analysis = analyse(seen("hemiparetic", "oblique", 0.5), height_m=1.7, source={})
    for name in ("step_length", "stride_length", "walking_speed"):
        why = analysis.parameters[name].refused
        assert why is not None
        assert why.code == "view-unfit"
    assert analysis.parameters["cadence"].value is not None
