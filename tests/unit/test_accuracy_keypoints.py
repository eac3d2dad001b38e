"""Walks seen from the side, and gaitkit's detectors on them: the table that compares methods gives each its due."""

from __future__ import annotations

import numpy as np
import pytest
from events_fixtures import agreement, recorded
from tests.accuracy.gaitkit_2d import DETECTORS, gaitkit_events
from tests.accuracy.keypoints import METHODS, OURS, Score, joined
from tests.accuracy.seen import SIZE, seen_from_the_side

from gaitkeeper_client.validation.agreement import EventAgreement
from gaitkeeper_shared.kinematics import midpoint
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX


def moved(walk: JointTrajectories, degrees: float) -> JointTrajectories:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    positions = walk.positions.copy()
    positions[..., 0] = cosine * walk.positions[..., 0] - sine * walk.positions[..., 1] + 30.0
    positions[..., 1] = sine * walk.positions[..., 0] + cosine * walk.positions[..., 1] - 7.0
    return JointTrajectories(walk.time_s, positions, walk.unit, walk.confidence)


@pytest.mark.parametrize("degrees", [90.0, 200.0])
def test_the_laboratorys_axes_do_not_matter(degrees: float) -> None:
    walk, _ = recorded("antalgic")
    seen, other = (seen_from_the_side(one, 30.0, 0) for one in (walk, moved(walk, degrees)))
    assert np.nanmax(np.abs(seen.positions - other.positions)) < 1.0
    assert np.diff(midpoint(seen.positions, "hip")[[0, -1], 0]) < -0.4 * SIZE[0], "from right to left"
    assert np.nanmean(seen.positions[:, JOINT_INDEX["nose"], 1]) > np.nanmean(midpoint(seen.positions, "toe")[:, 1])


def test_a_marker_that_is_missing_is_not_seen_and_costs_no_other() -> None:
    walk, _ = recorded("healthy")
    positions = walk.positions.copy()
    positions[:, JOINT_INDEX["nose"]] = np.nan
    positions[:90] = np.nan
    seen = seen_from_the_side(JointTrajectories(walk.time_s, positions, "m", walk.confidence), 30.0, 0)
    assert np.isnan(seen.positions[:, JOINT_INDEX["nose"]]).all()
    assert np.isfinite(seen.positions[30:, JOINT_INDEX["left_heel"]]).mean() > 0.9


def test_gaitkit_sees_what_it_should() -> None:
    walk, truth = recorded("healthy")
    for kind, one in agreement(gaitkit_events("bike", seen_from_the_side(walk, 60.0, 0)), truth).items():
        assert (len(one.errors_ms), one.false) == (one.n, 0), kind  # each within 200 ms


@pytest.mark.parametrize("name", DETECTORS)
def test_no_detector_fails_or_invents_a_foot(name: str) -> None:
    walk, _ = recorded("parkinsonian")
    seen = seen_from_the_side(walk, 30.0, 0)
    assert {event.side for event in gaitkit_events(name, seen)} <= {"left", "right"}
    seen.positions[:, JOINT_INDEX["left_heel"]] = np.nan
    assert gaitkit_events(name, seen) == ()


def test_scores_add_up() -> None:
    one = Score({"foot_strike": EventAgreement(2, 1, (5.0,)), "foot_off": EventAgreement(1, 0, ())}, 1, 0)
    silent = Score({"foot_strike": EventAgreement(1), "foot_off": EventAgreement(1)}, 1, 1)
    both = joined({"healthy": dict.fromkeys(METHODS, one), "ataxic": dict.fromkeys(METHODS, silent)})[OURS]
    assert (both.walks, both.silent) == (2, 1)
    assert both.events["foot_strike"] == EventAgreement(3, 1, (5.0,))
    assert both.of("foot_strike") == (0.4, 5.0)
    assert both.of("foot_off") == (0.0, float("inf"))
