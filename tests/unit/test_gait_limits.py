"""Walks at the limits of what is analysed: backwards, very slow, too short, nobody there."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tests.accuracy.seen import seen_from_the_side
from tests.unit.events_fixtures import on_a_belt, recorded

from gaitkeeper_client.gait.analysis import Parameter
from gaitkeeper_client.gait.events.base import stride_period_s
from gaitkeeper_client.gait.events.contact import Contact
from gaitkeeper_client.gait.lost_markers import clean_walk, with_lost_markers
from gaitkeeper_client.gait.parameters_body import LARGEST_DEG, _humanly
from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_client.lab.options import ReadOptions
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_shared.kinematics import midpoint
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.simulation.camera import camera_for
from gaitkeeper_shared.simulation.keypoints import KeypointNoise, noisy_keypoints
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX

SECONDS = 7.0


@cache
def walk() -> Walk:
    return Walk(draw_patient("p", "healthy", 3), SECONDS)


def reversed_in_time(tracks: JointTrajectories) -> JointTrajectories:
    return replace(tracks, positions=tracks.positions[::-1].copy(), confidence=tracks.confidence[::-1].copy())


def keypoints() -> JointTrajectories:
    camera = camera_for(walk().positions(np.linspace(0.0, SECONDS, 50)), (960, 540), "side", "right_to_left")
    return noisy_keypoints(walk(), camera, 30.0, KeypointNoise())


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_walk_that_goes_backwards_is_refused_as_such(dimensions: int) -> None:
    tracks = keypoints() if dimensions == 2 else walk().trajectories(60.0)
    assert tracks.dimensions == dimensions
    forwards = analyse(tracks, source={}, method=Contact())
    assert forwards.status == "analysed"
    assert "walks_backwards" not in forwards.quality
    backwards = analyse(reversed_in_time(tracks), source={}, method=Contact())
    assert backwards.status == "refused"
    assert [why.code for why in backwards.reasons] == ["walks-backwards"]
    assert all(parameter.value is None for parameter in backwards.parameters.values())


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_recording_that_is_upside_down_is_refused_as_such(dimensions: int) -> None:
    tracks = keypoints() if dimensions == 2 else walk().trajectories(60.0)
    turned = analyse(replace(tracks, positions=tracks.positions * ([1.0] * (dimensions - 1) + [-1.0])), source={})
    assert [why.code for why in turned.reasons] == ["upside-down"]


@pytest.mark.parametrize("name", ["ankle_range_left", "knee_range_right", "foot_progression_left"])
def test_no_angle_beyond_human_limits_is_reported(name: str) -> None:
    limit = LARGEST_DEG[name.rsplit("_", 1)[0]]
    within, beyond = (Parameter("deg", limit + more, None, 4) for more in (-1.0, 1.0))
    assert _humanly(name, within) is within
    refused = _humanly(name, beyond)
    assert refused.value is None
    assert refused.refused is not None
    assert refused.refused.code == "beyond-human"
    outwards = Parameter("deg", -limit - 1.0, None, 4)
    assert _humanly(name, outwards).value is None


def test_a_very_slow_walk_is_analysed() -> None:
    tracks = walk().trajectories(120.0)
    usual = analyse(tracks, source={}, method=Contact()).parameters["stride_time"].value
    assert usual is not None
    slowly = replace(tracks, time_s=tracks.time_s * (2.75 / usual))
    analysis = analyse(slowly, source={}, method=Contact())
    assert analysis.status == "analysed"
    assert analysis.parameters["stride_time"].value == pytest.approx(2.75, rel=0.03)


def test_a_clip_shorter_than_any_walk_is_said_to_be_too_short() -> None:
    tracks = walk().trajectories(60.0)
    clip = JointTrajectories(tracks.time_s[:42], tracks.positions[:42], "m", tracks.confidence[:42])  # 0.68 s
    analysis = analyse(clip, source={}, method=Contact())
    assert [why.code for why in analysis.reasons] == ["recording-too-short"]
    standing = replace(clip, time_s=np.arange(120) / 60.0, positions=tracks.positions[[0] * 120],
                       confidence=tracks.confidence[[0] * 120])  # fmt: skip
    assert [why.code for why in analyse(standing, source={}, method=Contact()).reasons] == ["not-walking"]


@pytest.mark.parametrize("from_s", [2.0, 2.2, 2.4, 2.6, 2.8])
@pytest.mark.parametrize("on_the_spot", [True, False])
def test_a_clip_of_one_cycle_is_too_short_and_no_less_a_walk(from_s: float, on_the_spot: bool) -> None:
    tracks = walk().trajectories(100.0)
    first = round(from_s * 100.0)
    part = slice(first, first + 115)  # 1.14 s, one stride: as one cycle of joint angles without the pelvis' way
    positions = tracks.positions[part].copy()
    if on_the_spot:
        positions[..., :2] -= midpoint(positions, "hip")[:, None, :2]
    clip = JointTrajectories(tracks.time_s[part] - tracks.time_s[first], positions, "m", tracks.confidence[part])
    analysis = analyse(clip, source={})
    assert [why.code for why in analysis.reasons] == ["too-few-cycles"]
    assert analysis.events
    assert all(parameter.refused is not None for parameter in analysis.parameters.values())
    assert "1.1 s hold about one stride" in analysis.reasons[0].message
    assert "may be sound" in analysis.reasons[0].message


def test_who_stands_for_a_second_does_not_walk() -> None:
    tracks = walk().trajectories(100.0)
    still = tracks.positions[[200] * 115]
    clip = JointTrajectories(np.arange(115) / 100.0, still, "m", np.ones(still.shape[:2]))
    assert [why.code for why in analyse(clip, source={}).reasons] == ["not-walking"]


def test_keypoints_of_nobody_are_a_refused_analysis(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"walk_{number:012d}_keypoints.json").write_text('{"version": 1.3, "people": []}')
    analysis = analyse_file(tmp_path, options=ReadOptions(rate_hz=30.0))
    assert analysis.status == "refused"
    assert [why.code for why in analysis.reasons] == ["no-person"]
    assert analysis.source["kind"] == "openpose"
    json.dumps(analysis.to_json(), allow_nan=False)


def test_markers_out_of_sight_for_half_a_second_are_put_back_by_their_neighbours() -> None:
    tracks = walk().trajectories(100.0)
    positions = tracks.positions.copy()
    lost = {"left_heel": 120, "right_toe": 200, "left_ankle": 300, "right_hip": 60}
    for name, start in lost.items():
        positions[start : start + 50, JOINT_INDEX[name]] = np.nan
    cleaned = clean_walk(JointTrajectories(tracks.time_s, positions, "m", tracks.confidence))
    for name, start in lost.items():
        part = (slice(start, start + 50), JOINT_INDEX[name])
        off = np.linalg.norm(cleaned.tracks.positions[part] - tracks.positions[part], axis=1)
        assert off.max() < 0.03, name
        assert cleaned.filled[part].all()
    assert cleaned.longest_gap_s == pytest.approx(0.5, abs=0.02)
    both = tracks.positions.copy()
    both[100:150, [JOINT_INDEX["left_heel"], JOINT_INDEX["left_toe"]]] = np.nan
    assert np.isnan(with_lost_markers(both, tracks.time_s)[100:150, JOINT_INDEX["left_heel"]]).all()


def test_a_walk_that_is_never_seen_for_long_is_not_said_to_be_no_walk() -> None:
    tracks = walk().trajectories(100.0)
    positions = tracks.positions.copy()
    foot = [JOINT_INDEX[f"left_{part}"] for part in ("ankle", "heel", "toe")]
    for start in range(30, len(positions), 80):
        positions[start : start + 40, foot] = np.nan
    analysis = analyse(JointTrajectories(tracks.time_s, positions, "m", tracks.confidence), source={})
    assert [one.code for one in analysis.reasons] == ["too-few-cycles"]
    assert "0.4" in analysis.reasons[0].message


@pytest.mark.parametrize("rate_hz", [25.0, 30.0, 60.0])
@pytest.mark.parametrize("in_sight_s", [1.5, 1.58, 1.65, 1.8])
def test_a_stride_on_a_belt_is_one_however_long_the_recording_goes_on(in_sight_s: float, rate_hz: float) -> None:
    whole = on_a_belt(recorded("healthy", noise_m=0.0)[0])
    walk = JointTrajectories(whole.time_s, whole.positions.copy(), whole.unit, whole.confidence)
    walk.positions[np.abs(walk.time_s - 3.0) > 0.5 * in_sight_s] = np.nan
    analysis = analyse(seen_from_the_side(walk, rate_hz, 1), source={})
    assert "not-walking" not in [one.code for one in analysis.reasons]
    assert analysis.events


def test_who_nearly_stops_with_every_step_walks_on() -> None:
    tracks = Walk(draw_patient("p", "parkinsonian", 32, speed_m_s=0.25), 9.0).trajectories(50.0)
    analysis = analyse(tracks, source={})
    assert analysis.status == "analysed"
    assert analysis.parameters["walking_speed"].value == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_a_camera_that_is_turned_after_the_walker_gives_no_way(share: float) -> None:
    """Of keypoints alone nothing else tells of it: their speed would be that of the picture's edge."""
    tracks = keypoints()
    hips = np.nanmean(tracks.positions[:, [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]], 0], axis=1)
    seen = np.isfinite(hips)
    way = np.polyval(np.polyfit(tracks.time_s[seen], hips[seen], 1), tracks.time_s)
    positions = tracks.positions.copy()
    positions[..., 0] -= share * way[:, None]
    analysis = analyse(replace(tracks, positions=positions), height_m=walk().patient.height_m, source={})
    still = analyse(tracks, height_m=walk().patient.height_m, source={})
    assert still.parameters["walking_speed"].value is not None
    assert analysis.parameters["walking_speed"].refused.code == "constant-place"  # type: ignore[union-attr]
    found, expected = (one.parameters["cadence"].value for one in (analysis, still))
    assert found == pytest.approx(expected, rel=0.02)


def test_a_clip_in_which_nothing_repeats_has_no_stride_time() -> None:
    time_s = np.arange(45) / 30.0  # the legs pass once; what repeats are tremors, against the way of the legs
    spread = time_s + 0.4 * np.sin(2.0 * np.pi * time_s / 0.35)
    assert np.isnan(stride_period_s(time_s, spread))
