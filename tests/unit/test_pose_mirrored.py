"""Every other picture goes to the pose network in a mirror, and comes back as if it had not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gaitkeeper_client.gait.clean import cutoff_hz, low_pass
from gaitkeeper_client.pose.base import PersonPose
from gaitkeeper_client.pose.mediapipe_pose import MediaPipePose
from gaitkeeper_client.pose.mirrored import mirrored, turned_back
from gaitkeeper_shared.simulation.camera import camera_for
from gaitkeeper_shared.simulation.disorders import pattern_of
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.render import frames
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS

FRAME_S = 1.0 / 30.0


@pytest.fixture(scope="module")
def walker() -> NDArray[np.uint8]:
    """(H, W, 3) of somebody in the middle of a walk to the right."""
    patient = draw_patient("mirror", "healthy", 3)
    walk = Walk(patient, 2.1 * pattern_of(patient).stride_time)
    camera = camera_for(walk.trajectories(100.0).positions, (640, 360), "side", "left_to_right")
    images = list(frames(walk, camera, 10.0))
    return np.ascontiguousarray(images[len(images) // 2][..., ::-1])


def test_turned_back_twice_is_as_it_was_and_once_changes_the_sides() -> None:
    rng = np.random.default_rng(0)
    pose = PersonPose(rng.uniform(0.0, 100.0, (len(JOINTS), 2)), rng.uniform(0.0, 1.0, len(JOINTS)))
    once = turned_back(pose, 100)
    left, right, nose = (JOINT_INDEX[name] for name in ("left_wrist", "right_wrist", "nose"))
    assert once.points[left] == pytest.approx([100.0 - pose.points[right, 0], pose.points[right, 1]])
    assert once.points[nose] == pytest.approx([100.0 - pose.points[nose, 0], pose.points[nose, 1]])
    assert once.confidence[left] == pose.confidence[right]
    twice = turned_back(once, 100)
    assert twice.points == pytest.approx(pose.points)
    assert twice.confidence == pytest.approx(pose.confidence)


def test_the_second_look_is_that_of_the_mirror_image_turned_back(walker: NDArray[np.uint8]) -> None:
    with MediaPipePose() as estimator:
        plain, other = estimator.follower(), estimator.follower()
        first, second = plain.follow(walker, FRAME_S), plain.follow(walker, FRAME_S)
        seen_in_mirror = other.follow(mirrored(walker), FRAME_S)
    assert first is not None
    assert second is not None
    assert seen_in_mirror is not None
    assert second.points == pytest.approx(turned_back(seen_in_mirror, walker.shape[1]).points, abs=1e-6)
    apart = np.linalg.norm(first.points - second.points, axis=1)
    size = float(np.ptp(first.points[:, 1]))
    assert 0.0 < np.median(apart) < 0.03 * size  # two readings of one person, and not the same one twice


@pytest.mark.parametrize("rate_hz", [25.0, 30.0, 50.0, 60.0])
def test_what_changes_at_every_sample_is_smoothed_away(rate_hz: float) -> None:
    time_s = np.arange(120) / rate_hz
    walk = np.sin(2.0 * np.pi * 1.0 * time_s)
    difference = 0.1 * (1.0 + np.sin(2.0 * np.pi * 1.0 * time_s + 1.0))  # as errors are: other ones at other phases
    turns = np.where(np.arange(120) % 2 == 0, 1.0, -1.0)
    seen = (walk + turns * difference)[:, None]
    left = low_pass(seen, rate_hz, cutoff_hz(rate_hz))[10:-10, 0] - walk[10:-10]
    assert np.abs(left).max() < 0.1 * difference.max()
