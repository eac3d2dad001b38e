"""There and back again in one clip: the turn is found and cut out, and both ways are pooled."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.gait.bouts import find_bouts, turns
from gaitkeeper_client.gait.clean import clean
from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_client.gait.swaps import repair_swaps
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.simulation.camera import camera_for
from gaitkeeper_shared.simulation.patient import Disorder, draw_patient
from gaitkeeper_shared.simulation.truth import GaitTruth, walk_truth
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX

RATE = 30.0
RADIUS_M = 0.5


def bent(positions: FloatArray, turn_at_m: float) -> FloatArray:
    """A straight walk laid on a path that turns by 180 degrees: planted feet stay planted, timing is untouched."""
    along, aside = positions[..., 0], positions[..., 1]
    angle = np.clip((along - turn_at_m) / RADIUS_M, 0.0, np.pi)
    back = np.clip(along - turn_at_m - np.pi * RADIUS_M, 0.0, None)
    out = positions.copy()
    out[..., 0] = np.minimum(along, turn_at_m) + RADIUS_M * np.sin(angle) - back - aside * np.sin(angle)
    out[..., 1] = RADIUS_M * (1.0 - np.cos(angle)) + aside * np.cos(angle)
    return out


@cache
def there_and_back(disorder: Disorder) -> tuple[JointTrajectories, tuple[float, float], GaitTruth, float]:
    """Keypoints, when the turn begins and ends, the truth, the height."""
    walk = Walk(draw_patient("p", disorder, 3), 17.0 if disorder == "hemiparetic" else 13.0)
    times = np.arange(int(walk.duration_s * RATE)) / RATE
    positions = walk.positions(times)
    hip = positions[:, JOINT_INDEX["left_hip"], 0]
    corner = 0.5 * (hip[0] + hip[-1] - np.pi * RADIUS_M)
    path = bent(positions, corner)
    camera = camera_for(path, (960, 540), "side", "left_to_right")
    pixels, _ = camera.project(path)
    pixels[..., 1] = camera.height - pixels[..., 1]
    pixels += np.random.default_rng(2).normal(0.0, 0.6, pixels.shape)
    turning = np.interp([corner, corner + np.pi * RADIUS_M], hip, times)
    tracks = JointTrajectories(times, pixels, "px", np.ones(pixels.shape[:2]))
    return tracks, (float(turning[0]), float(turning[1])), walk_truth(walk).parameters, walk.patient.height_m


@cache
def analysis_of(disorder: Disorder) -> Analysis:
    tracks, _, _, height = there_and_back(disorder)
    return analyse(tracks, height_m=height, source={})


@pytest.mark.parametrize("disorder", ["healthy", "hemiparetic", "ataxic"])
def test_the_turn_is_cut_out(disorder: Disorder) -> None:
    _, (begins, ends), _, _ = there_and_back(disorder)
    analysis = analysis_of(disorder)
    assert [walk["direction"] for walk in analysis.quality["straight_walks"]] == ["left-to-right", "right-to-left"]
    (turn,) = analysis.quality["turns"]
    # Of the half circle, its middle 90 degrees at least are out; and little of the straight walking.
    quarter = 0.25 * (ends - begins)
    assert begins - 0.6 < turn["start_s"] < begins + quarter
    assert ends - quarter - 0.1 < turn["end_s"] < ends + 0.6
    for cycle in analysis.cycles:
        assert cycle.end_s <= turn["start_s"] or cycle.start_s >= turn["end_s"]


@pytest.mark.parametrize("disorder", ["healthy", "hemiparetic", "ataxic"])
def test_both_ways_are_pooled_and_the_turn_changes_nothing(disorder: Disorder) -> None:
    _, (begins, ends), truth, _ = there_and_back(disorder)
    analysis = analysis_of(disorder)
    assert any(cycle.end_s < begins for cycle in analysis.cycles)
    assert any(cycle.start_s > ends - 0.5 for cycle in analysis.cycles)
    for name, limit in (("cadence", 0.015), ("step_length", 0.05), ("stride_length", 0.03), ("walking_speed", 0.03)):
        assert analysis.parameters[name].value == pytest.approx(getattr(truth, name), rel=limit), name
    for side in ("left", "right"):
        ranges = [np.ptp(c.curves[f"knee_flexion_{side}"]) for c in analysis.cycles if c.side == side]
        assert np.mean(ranges) == pytest.approx(getattr(truth, f"knee_range_{side}"), abs=5.0), side


def test_legs_exchanged_on_the_way_are_put_back_around_a_turn() -> None:
    tracks, (begins, ends), _, _ = there_and_back("healthy")
    parts = ("hip", "knee", "ankle", "heel", "toe")
    left, right = ([JOINT_INDEX[f"{side}_{part}"] for part in parts] for side in ("left", "right"))
    straight = np.flatnonzero((tracks.time_s < begins - 0.5) | (tracks.time_s > ends + 0.5))
    rows = straight[np.random.default_rng(4).random(straight.size) < 0.2]
    crossed = tracks.positions.copy()
    crossed[np.ix_(rows, left)] = tracks.positions[np.ix_(rows, right)]
    crossed[np.ix_(rows, right)] = tracks.positions[np.ix_(rows, left)]
    repaired, _ = repair_swaps(crossed, 30.0)
    ankles = tracks.positions[:, [left[2], right[2]]]
    apart = np.linalg.norm(ankles[:, 0] - ankles[:, 1], axis=1) > 8.0
    right_again = np.isclose(repaired[:, left[2]], tracks.positions[:, left[2]]).all(axis=1)
    assert right_again[rows][apart[rows]].mean() >= 0.95


def test_a_laboratory_walk_around_a_bend_loses_the_bend() -> None:
    walk = Walk(draw_patient("p", "healthy", 3), 8.0)
    times = np.arange(int(8.0 * 60.0)) / 60.0
    positions = walk.positions(times)
    hip = positions[:, JOINT_INDEX["left_hip"], 0]
    path = bent(positions, float(np.median(hip)) - 0.5)
    tracks = JointTrajectories(times, path, "m", np.ones(path.shape[:2]))
    bouts = find_bouts(clean(tracks).tracks)
    headings = [np.degrees(np.arctan2(bout.heading[1], bout.heading[0])) for bout in (bouts[0], bouts[-1])]  # type: ignore[index]
    assert abs(headings[0]) < 10.0
    assert abs(abs(headings[1]) - 180.0) < 10.0
    assert turns(bouts)
