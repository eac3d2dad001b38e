"""Walking frames and wheelchairs: legs that are put on them are no legs, and who sits does not walk."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from tests.drawn_aids import in_wheelchair

from gaitkeeper_client.gait.legs_seen import sits
from gaitkeeper_client.gait.misplaced import LONGEST, SHORTEST, misplaced, without_misplaced
from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.simulation.camera import Camera, View, camera_for
from gaitkeeper_shared.simulation.keypoints import noisy_keypoints
from gaitkeeper_shared.simulation.patient import DISORDERS, Disorder, draw_patient
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS

SECONDS = 6.0
RATE = 30.0
FOOT = [JOINT_INDEX[f"left_{part}"] for part in ("ankle", "heel", "toe")]
LEG = [JOINT_INDEX[f"left_{part}"] for part in ("knee", "ankle", "heel", "toe")]


@cache
def walk_of(disorder: Disorder) -> Walk:
    return Walk(draw_patient("p", disorder, 8), SECONDS)


def camera_of(walk: Walk, view: View) -> Camera:
    return camera_for(walk.positions(np.linspace(0.0, SECONDS, 50)), (960, 540), view, "left_to_right")


def points_of(disorder: Disorder, view: View) -> JointTrajectories:
    walk = walk_of(disorder)
    return noisy_keypoints(walk, camera_of(walk, view), RATE)


def seated(dimensions: int) -> JointTrajectories:
    """Who walks his wheelchair along: his feet part and pass each other as a walker's do."""
    times = np.arange(int(SECONDS * RATE)) / RATE
    positions = in_wheelchair(draw_patient("p", "healthy", 8), 0.6 * times, RATE, "right", "walk").positions
    unit = "m"
    if dimensions == 2:
        camera = camera_for(positions, (960, 540), "side", "left_to_right")
        positions, unit = camera.project(positions)[0], "px"
        positions[..., 1] = camera.height - positions[..., 1]
    return JointTrajectories(times, positions, unit, np.ones((times.size, len(JOINTS))))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_who_walks_a_wheelchair_along_sits(dimensions: int) -> None:
    found = analyse(seated(dimensions), source={}, height_m=1.7)
    assert [why.code for why in found.reasons] == ["not-walking"]
    assert "sits" in found.reasons[0].message
    assert all(parameter.value is None for parameter in found.parameters.values())


def test_who_stands_still_does_not_sit() -> None:
    tracks = walk_of("healthy").trajectories(RATE)
    standing = dataclasses.replace(tracks, positions=np.repeat(tracks.positions[:1], len(tracks.time_s), axis=0))
    found = analyse(standing, source={})
    assert [why.code for why in found.reasons] == ["not-walking"]
    assert "sits" not in found.reasons[0].message


@pytest.mark.parametrize("view", ["side", "oblique"])
@pytest.mark.parametrize("disorder", DISORDERS)
def test_of_a_walker_no_leg_is_misplaced_and_he_does_not_sit(disorder: Disorder, view: View) -> None:
    tracks = points_of(disorder, view)
    assert not misplaced(tracks.positions, RATE).any()
    assert without_misplaced(tracks.positions, RATE) is tracks.positions
    assert not sits(tracks.positions)


def test_who_crouches_does_not_sit() -> None:
    """Thighs 55 degrees forward throughout: farther than in any gait."""
    tracks = walk_of("healthy").trajectories(RATE).positions
    for side in ("left", "right"):
        hip, knee = JOINT_INDEX[f"{side}_hip"], JOINT_INDEX[f"{side}_knee"]
        length = np.linalg.norm(tracks[:, hip] - tracks[:, knee], axis=1)
        tracks[:, knee] = tracks[:, hip] + length[:, None] * [np.sin(np.radians(55)), 0.0, -np.cos(np.radians(55))]
    assert not sits(tracks)


def on_the_seat(tracks: JointTrajectories, start: int, stop: int) -> FloatArray:
    """The left foot where the seat of a walking frame is: in front of the thigh."""
    positions = tracks.positions.copy()
    knee = positions[start:stop, JOINT_INDEX["left_knee"]]
    thigh = np.linalg.norm(knee - positions[start:stop, JOINT_INDEX["left_hip"]], axis=1)
    for number, joint in enumerate(FOOT):
        positions[start:stop, joint] = knee + np.stack([(0.3 + 0.1 * number) * thigh, 0.2 * thigh], axis=1)
    return positions


@pytest.mark.parametrize("view", ["side", "oblique"])
def test_a_leg_on_the_seat_of_a_walking_frame_is_no_measurement(view: View) -> None:
    tracks = points_of("parkinsonian", view)
    positions = on_the_seat(tracks, 40, 52)
    found = misplaced(positions, RATE)
    assert np.flatnonzero(found[:, 0]).tolist() == list(range(40, 52))
    assert not found[:, 1].any()
    cleaned = without_misplaced(positions, RATE)
    assert np.isnan(cleaned[40:52][:, LEG]).all()
    cleaned[40:52, LEG] = positions[40:52, LEG]
    np.testing.assert_array_equal(cleaned, positions)


def test_for_too_long_on_the_seat_the_strides_are_lost_and_no_other_is_made_of_it() -> None:
    tracks = points_of("parkinsonian", "side")
    whole = analyse(tracks, source={}, height_m=1.7).parameters["cadence"]
    broken = dataclasses.replace(tracks, positions=on_the_seat(tracks, 60, 90))
    found = analyse(broken, source={}, height_m=1.7).parameters["cadence"]
    assert found.n < whole.n
    assert whole.value is not None
    assert found.value == pytest.approx(whole.value, rel=0.02)


def test_the_usual_length_is_the_median_of_both_legs_around() -> None:
    """The slow way: one sample after the other, each with its second."""
    tracks = points_of("hemiparetic", "oblique")
    positions = on_the_seat(tracks, 20, 30)
    positions[70:80, JOINT_INDEX["right_knee"]] = np.nan
    positions[120:126, LEG] *= [1.4, 1.0]
    expected = np.zeros((len(positions), 2), dtype=bool)
    for upper, lower in (("hip", "knee"), ("knee", "ankle")):
        lengths = np.stack(
            [
                np.linalg.norm(
                    positions[:, JOINT_INDEX[f"{side}_{upper}"]] - positions[:, JOINT_INDEX[f"{side}_{lower}"]], axis=1
                )
                for side in ("left", "right")
            ],
            axis=1,
        )
        for at in range(len(positions)):
            usual = np.nanmedian(lengths[max(0, at - 15) : at + 16])
            for leg in range(2):
                share = lengths[at, leg] / usual
                expected[at, leg] |= bool(share < SHORTEST or share > LONGEST)
    assert expected.sum() >= 16
    np.testing.assert_array_equal(misplaced(positions, RATE), expected)


def test_markers_in_space_and_who_comes_nearer_are_left_alone() -> None:
    space = walk_of("healthy").trajectories(RATE).positions
    space[40:52, FOOT] = space[40:52, [JOINT_INDEX["left_knee"]]]
    assert not misplaced(space, RATE).any()
    walk = walk_of("healthy")
    ahead = Camera(np.array([20.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0]), np.array([-1.0, 0.0, 0.0]), 900.0, 960, 540)
    pixels, _ = ahead.project(walk.positions(np.arange(int(SECONDS * RATE)) / RATE))
    pixels[..., 1] = 540.0 - pixels[..., 1]
    pixels[40:52, FOOT] = pixels[40:52, [JOINT_INDEX["left_knee"]]]
    assert not misplaced(pixels, RATE).any()


@pytest.mark.parametrize(("share", "wrong"), [(0.57, True), (0.63, False), (1.45, False), (1.6, True)])
def test_the_limits_of_a_bone(share: float, wrong: bool) -> None:
    positions = points_of("healthy", "side").positions.copy()
    knee, ankle = JOINT_INDEX["left_knee"], JOINT_INDEX["left_ankle"]
    usual = np.median(np.linalg.norm(positions[35:65, ankle] - positions[35:65, knee], axis=1))
    way = positions[50, ankle] - positions[50, knee]
    positions[50, ankle] = positions[50, knee] + share * usual * way / np.linalg.norm(way)
    assert misplaced(positions, RATE)[50, 0] == wrong


def test_who_comes_nearer_grows_and_keeps_his_legs() -> None:
    positions = points_of("healthy", "side").positions * np.linspace(0.5, 2.0, 180 + 1)[:, None, None]
    assert not misplaced(positions, RATE).any()


def test_who_sits_with_some_thighs_unseen_sits() -> None:
    positions = seated(2).positions.copy()
    positions[::3, JOINT_INDEX["left_knee"]] = np.nan
    assert sits(positions)
    assert not sits(np.full_like(positions, np.nan))


@pytest.mark.parametrize("height_m", [1.5, 1.95])
def test_small_and_tall_people_sit(height_m: float) -> None:
    patient = dataclasses.replace(draw_patient("p", "healthy", 8), height_m=height_m)
    assert sits(in_wheelchair(patient, np.linspace(0.0, 3.0, 90), RATE, "right", "walk").positions)


def test_nothing_at_all_is_misplaced_where_all_points_are_one() -> None:
    assert not misplaced(np.zeros((20, len(JOINTS), 2)), RATE).any()


def test_points_that_are_not_seen_are_not_misplaced() -> None:
    tracks = points_of("healthy", "side")
    nothing = np.full_like(tracks.positions, np.nan)
    assert not misplaced(nothing, RATE).any()
    half = tracks.positions.copy()
    half[:60] = np.nan
    half[90:110, LEG] = np.nan
    assert not misplaced(half, RATE).any()
