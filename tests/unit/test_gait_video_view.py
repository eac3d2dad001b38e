"""A view from the side, told from one that is not, however narrow the walker looks."""

from __future__ import annotations

import numpy as np
import pytest

from gaitkeeper_client.gait.bouts import Bout, find_bouts
from gaitkeeper_client.gait.clean import clean
from gaitkeeper_client.gait.perspective import Picture, perspective_of
from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_client.gait.view import UNKNOWN, estimate_view
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.simulation.camera import (
    DIRECTIONS,
    FIELD_OF_VIEW_DEG,
    OBLIQUE_DEG,
    VIEWS,
    Direction,
    View,
    camera_for,
)
from gaitkeeper_shared.simulation.patient import DISORDERS, Disorder, draw_patient
from gaitkeeper_shared.simulation.truth import GaitTruth, walk_truth
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX

SECONDS = 6.0


PICTURE = Picture(960, 540)


def seen(disorder: Disorder, view: View, width: float, direction: Direction = "right_to_left") -> JointTrajectories:
    """Keypoints without noise; ``width`` of shoulders and hips against the true one, as networks shrink it."""
    walk = Walk(draw_patient("p", disorder, 8), SECONDS)
    camera = camera_for(walk.positions(np.linspace(0.0, SECONDS, 50)), (960, 540), view, direction)
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


def truth_of(disorder: Disorder) -> GaitTruth:
    return walk_truth(Walk(draw_patient("p", disorder, 8), SECONDS)).parameters


@pytest.mark.parametrize("disorder", DISORDERS)
def test_an_oblique_walk_is_set_square_by_its_own_perspective(disorder: Disorder) -> None:
    patient, truth = draw_patient("p", disorder, 8), truth_of(disorder)
    tracks = seen(disorder, "oblique", 1.0)
    analysis = analyse(tracks, height_m=patient.height_m, source={}, picture=PICTURE)
    assert analysis.quality["view"] == "oblique"
    assert analysis.quality["view_azimuth_deg"] == pytest.approx(OBLIQUE_DEG, abs=6.0)
    found = analysis.parameters
    for name in ("step_length", "stride_length", "walking_speed"):
        assert found[name].value == pytest.approx(getattr(truth, name), rel=0.06), name
        low, high = found[name].ci95 or (np.nan, np.nan)
        assert low < getattr(truth, name) < high, name
        assert high - low > 0.1 * getattr(truth, name), "what the camera's lens is like is not known"
        assert "set-square" in [note.code for note in found[name].notes]
    for side in ("left", "right"):
        name = f"knee_range_{side}"
        # A leg that swings sideways, too, as with a wide base, is taken for one that swings farther or less far.
        assert found[name].value == pytest.approx(getattr(truth, name), abs=9.0 if disorder == "ataxic" else 5.0)
        low, high = found[name].ci95 or (np.nan, np.nan)
        assert low < getattr(truth, name) < high
        why = found[f"step_length_{side}"].refused
        assert why is not None, "how far a foot is from the middle cannot be seen"
        assert why.code == "view-unfit"


@pytest.mark.parametrize("view", ["side", "oblique"])
def test_how_the_walker_grows_gives_the_azimuth(view: View) -> None:
    """With the true focal length: to a degree or two, whichever way the walk goes."""
    for direction in DIRECTIONS:
        tracks = seen("healthy", view, 1.0, direction)
        (bout,) = find_bouts(clean(tracks).tracks)
        found = perspective_of(bout_positions(tracks, bout), PICTURE, bout.duration_s, float("nan"))
        assert found is not None
        focal = 0.5 * PICTURE.width / np.tan(np.radians(0.5 * FIELD_OF_VIEW_DEG))
        azimuth = np.degrees(np.arctan(found.growth * focal))
        # The camera stands towards where the walk goes: there its end is nearer.
        ahead = 1.0 if direction == "left_to_right" else -1.0
        assert azimuth == pytest.approx(ahead * OBLIQUE_DEG if view == "oblique" else 0.0, abs=2.0)
        assert found.azimuth_sd_deg < 7.0


def bout_positions(tracks: JointTrajectories, bout: Bout) -> FloatArray:
    return clean(tracks).tracks.positions[bout.start : bout.stop]


def test_shoulders_wider_than_the_perspective_allows_leave_the_view_as_wide_as_they_are() -> None:
    """A long lens far away: nobody grows, and yet it is no side view."""
    tracks = seen("healthy", "side", 1.0)
    positions = tracks.positions.copy()
    for part in ("shoulder", "hip"):
        pair = [JOINT_INDEX[f"{side}_{part}"] for side in ("left", "right")]
        trunk = np.median(np.abs(positions[:, JOINT_INDEX["left_shoulder"], 1] - positions[:, 7, 1]))
        half = 0.5 * trunk * (0.4 if part == "shoulder" else 0.22)
        positions[:, pair, 0] = positions[:, pair, 0].mean(axis=1, keepdims=True) + np.array([-half, half])
    view = estimate_view(positions, PICTURE, SECONDS)
    assert (view.name, view.perspective) == ("oblique", None)
    assert not view.sagittal


def test_without_shoulders_the_hips_tell_the_view_and_without_those_nothing_is_guessed() -> None:
    for view in VIEWS:
        tracks = seen("healthy", view, 1.0)
        positions = tracks.positions.copy()
        positions[:, [JOINT_INDEX["left_shoulder"], JOINT_INDEX["right_shoulder"]]] = np.nan
        assert estimate_view(positions).name == view
        assert estimate_view(positions, PICTURE, SECONDS).name == view
        positions[:, JOINT_INDEX["left_hip"]] = np.nan
        assert estimate_view(positions) == UNKNOWN or not estimate_view(positions).sagittal
    assert not UNKNOWN.sagittal
