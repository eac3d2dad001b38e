"""Events of points in a picture: frame rates of phones and cameras, over ground and on a treadmill."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from events_fixtures import KINDS, SECONDS, agreement, walker

from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_client.validation.agreement import EventAgreement
from gaitkeeper_shared.recording import EventType, JointTrajectories
from gaitkeeper_shared.simulation.camera import camera_for
from gaitkeeper_shared.simulation.keypoints import KeypointNoise, noisy_keypoints
from gaitkeeper_shared.simulation.patient import DISORDERS
from gaitkeeper_shared.skeleton import JOINT_INDEX

HIPS = [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]


def in_one_place(seen: JointTrajectories) -> JointTrajectories:
    hips = np.nanmean(seen.positions[:, HIPS, 0], axis=1)
    drift = np.polyval(np.polyfit(seen.time_s, hips, 1), seen.time_s)
    positions = seen.positions.copy()
    positions[..., 0] += (480.0 - drift)[:, None]
    return JointTrajectories(seen.time_s, positions, seen.unit, seen.confidence)


def every_disorder(rate_hz: float, *, belt: bool) -> dict[EventType, EventAgreement]:
    total = {kind: EventAgreement() for kind in KINDS}
    for disorder in DISORDERS:
        walk, truth = walker(disorder, 3)
        camera = camera_for(walk.positions(np.linspace(0.0, SECONDS, 50)), (960, 540), "side", "right_to_left")
        seen = noisy_keypoints(walk, camera, rate_hz, KeypointNoise())
        analysis = analyse(in_one_place(seen) if belt else seen, height_m=1.7, source={})
        assert analysis.quality["constant_place"] == belt
        for kind, one in agreement(analysis.events, truth).items():
            total[kind] += one
    return total


def errors(one: EventAgreement) -> tuple[float, float]:
    """F1 at 50 ms and the mean absolute error in ms."""
    row = one.to_json()
    assert isinstance(row["f1_50ms"], float)
    assert isinstance(row["mae_ms"], float)
    return row["f1_50ms"], row["mae_ms"]


@pytest.mark.parametrize(("rate_hz", "belt"), [(25.0, False), (60.0, False), (30.0, True)])
def test_events_of_all_disorders(rate_hz: float, *, belt: bool) -> None:
    limits: Sequence[float] = (20.0, 15.0)
    for (kind, one), limit in zip(every_disorder(rate_hz, belt=belt).items(), limits, strict=True):
        f1, mae_ms = errors(one)
        assert f1 >= 0.95, kind
        assert mae_ms <= limit, kind
