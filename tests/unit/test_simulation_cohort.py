"""Keypoints, rendered video and the cohort folder of ``gaitkeeper simulate``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gaitkeeper_client.lab.options import ReadOptions
from gaitkeeper_client.pose.readers.mediapipe_csv import read_landmarks
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.simulation.camera import DIRECTIONS, VIEWS, Direction, View, camera_for
from gaitkeeper_shared.simulation.cli import app
from gaitkeeper_shared.simulation.cohort import COLUMNS, CohortSettings, cohort_patients, make_cohort
from gaitkeeper_shared.simulation.keypoints import KeypointNoise, noisy_keypoints
from gaitkeeper_shared.simulation.patient import Disorder, draw_patient
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX

SMALL = (640, 360)
KEYPOINTS = CohortSettings(patients=3, strides=2, format="keypoints", seed=4)


@pytest.fixture(scope="module")
def walk() -> Walk:
    return Walk(draw_patient("p", "healthy", 8), 2.5)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_whole_walk_is_in_view_and_goes_the_right_way(walk: Walk, view: View, direction: Direction) -> None:
    positions = walk.positions(np.linspace(0.0, 2.5, 30))
    camera = camera_for(positions, SMALL, view, direction)
    pixels, depth = camera.project(positions)
    assert np.all(depth > 1.0)
    assert np.all((pixels >= 0) & (pixels <= np.array(SMALL)))
    moved = pixels[-1, JOINT_INDEX["nose"], 0] - pixels[0, JOINT_INDEX["nose"], 0]
    assert (moved > 0) == (direction == "left_to_right")
    assert np.all(pixels[:, JOINT_INDEX["nose"], 1] < pixels[:, JOINT_INDEX["left_heel"], 1]), "upside down"
    near, far = ("right", "left") if direction == "left_to_right" else ("left", "right")
    assert depth[:, JOINT_INDEX[f"{near}_shoulder"]].mean() < depth[:, JOINT_INDEX[f"{far}_shoulder"]].mean()


@pytest.mark.parametrize("unknown", [np.nan, np.inf])
def test_no_camera_is_looked_for_that_shows_what_is_not_known(walk: Walk, unknown: float) -> None:
    positions = walk.positions(np.linspace(0.0, 2.5, 30))
    positions[7, JOINT_INDEX["left_wrist"]] = unknown
    with pytest.raises(ValueError, match="all known"):
        camera_for(positions, SMALL, "side", "left_to_right")


def test_keypoints_are_noisy_as_asked_and_repeatable(walk: Walk) -> None:
    camera = camera_for(walk.positions(np.linspace(0.0, 2.5, 30)), SMALL, "side", "left_to_right")
    exact, _ = camera.project(walk.positions(np.arange(int(2.5 * 50) + 1) / 50.0))
    exact[..., 1] = camera.height - exact[..., 1]
    clean = noisy_keypoints(walk, camera, 50.0, KeypointNoise(jitter=0.0, drift=0.0, gaps_per_s=0.0))
    np.testing.assert_allclose(clean.positions, exact)
    noisy = noisy_keypoints(walk, camera, 50.0)
    again = noisy_keypoints(walk, camera, 50.0)
    np.testing.assert_array_equal(noisy.positions, again.positions)
    error = noisy.positions - exact
    near, far = JOINT_INDEX["right_knee"], JOINT_INDEX["left_knee"]
    assert 0.3 < np.nanstd(error[:, near]) < np.nanstd(error[:, far]) < 8.0
    assert noisy.confidence[:, near].mean() > noisy.confidence[:, far].mean()


def test_swapped_legs_come_back(walk: Walk) -> None:
    camera = camera_for(walk.positions(np.linspace(0.0, 2.5, 30)), SMALL, "side", "left_to_right")
    quiet = KeypointNoise(jitter=0.0, drift=0.0, gaps_per_s=0.0)
    plain = noisy_keypoints(walk, camera, 50.0, quiet)
    swapped = noisy_keypoints(walk, camera, 50.0, KeypointNoise(0.0, 0.0, gaps_per_s=0.0, swaps_per_s=2.0))
    wrong = np.any(plain.positions != swapped.positions, axis=2)
    assert wrong[:, JOINT_INDEX["left_ankle"]].any()
    assert not wrong[:, JOINT_INDEX["left_shoulder"]].any()
    left, right = JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]
    frames = np.flatnonzero(wrong[:, left])
    np.testing.assert_array_equal(swapped.positions[frames, left], plain.positions[frames, right])


def test_cohort_folder_holds_what_a_site_ingests(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    table = make_cohort(tmp_path / "c", KEYPOINTS, workers=1, on_progress=lambda *step: seen.append(step))
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["label"] for row in rows] == ["healthy", "parkinsonian", "hemiparetic"]
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    for row in rows:
        assert (tmp_path / "c" / row["path"]).is_file()
        truth = json.loads((tmp_path / "c" / "truth" / f"{row['patient']}.json").read_text())
        assert truth["patient"]["height_m"] == float(row["height_m"])
        assert truth["file"] == row["path"]
        assert len(truth["strides"]) >= 4
        assert np.isfinite(truth["parameters"]["cadence"])
    before = {path.name: path.read_bytes() for path in (tmp_path / "c" / "keypoints").iterdir()}
    make_cohort(tmp_path / "c", KEYPOINTS, workers=2)  # its own folder may be made again, by other processes too
    assert {path.name: path.read_bytes() for path in (tmp_path / "c" / "keypoints").iterdir()} == before


def test_a_smaller_cohort_leaves_no_patients_of_a_larger_one(tmp_path: Path) -> None:
    make_cohort(tmp_path, KEYPOINTS, workers=1)
    make_cohort(tmp_path, CohortSettings(patients=1, strides=2, format="keypoints"), workers=1)
    assert len(list((tmp_path / "truth").iterdir())) == 1
    assert not list(tmp_path.rglob("*.part*"))


def test_keypoints_are_read_as_somebody_who_stands_upright(tmp_path: Path) -> None:
    make_cohort(tmp_path, KEYPOINTS, workers=1)
    tables = sorted((tmp_path / "keypoints").iterdir())
    walk = read_landmarks(tables[0], ReadOptions()).trajectories
    nose, hip, toe = (np.nanmedian(walk.positions[:, JOINT_INDEX[one], 1]) for one in ("nose", "left_hip", "left_toe"))
    assert nose > hip > toe


def test_a_foreign_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(GaitkeeperError) as caught:
        make_cohort(tmp_path, KEYPOINTS, workers=1)
    assert caught.value.code == "simulate-folder-in-use"
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_cohorts_of_other_seeds_have_other_patients() -> None:
    names = {
        (patient.seed, patient.height_m) for seed in (1, 2) for patient in cohort_patients(CohortSettings(seed=seed))
    }
    assert len(names) == 16


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--size", "9"], "--size"),
        (["--size", "641x360"], "--size"),
        (["--disorders", "healthy,limping"], "limping"),
        (["--fps", "5"], "--fps"),
        (["--patients", "0"], "--patients"),
        (["--height-range", "2-1"], "--height-range"),
        (["--height-range", "tall"], "--height-range"),
        (["--speed", "5"], "--speed"),
        (["--prefix", "../x"], "--prefix"),
        (["--view", "top"], "--view"),
    ],
)
def test_bad_options_are_named_and_nothing_is_made(tmp_path: Path, options: list[str], named: str) -> None:
    done = CliRunner().invoke(app, [str(tmp_path / "out"), *options])
    assert isinstance(done.exception, GaitkeeperError)
    assert done.exception.exit_status == 2
    assert named in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_rendered_video_has_its_size_rate_and_frames(tmp_path: Path, walk: Walk) -> None:
    cv2 = pytest.importorskip("cv2")
    from gaitkeeper_shared.simulation.render import frames, write_video

    camera = camera_for(walk.positions(np.linspace(0.0, 2.5, 30)), SMALL, "oblique", "right_to_left")
    count = write_video(tmp_path / "walk.mp4", walk, camera, 25.0)
    reader = cv2.VideoCapture(str(tmp_path / "walk.mp4"))
    assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(25.0)
    assert count == int(reader.get(cv2.CAP_PROP_FRAME_COUNT)) == int(2.5 * 25) + 1
    ok, image = reader.read()
    assert ok
    assert image.shape == (SMALL[1], SMALL[0], 3)
    assert [path.name for path in tmp_path.iterdir()] == ["walk.mp4"]
    first, again = next(frames(walk, camera, 25.0)), next(frames(walk, camera, 25.0))
    np.testing.assert_array_equal(first, again)
    # The figure stands where the truth says: its colours differ from the empty room around the hips.
    pixels, _ = camera.project(walk.positions(np.array([0.0])))
    column, row = pixels[0, JOINT_INDEX["left_hip"]].astype(int)
    assert np.abs(first[row, column].astype(int) - first[row, 5].astype(int)).max() > 15


def test_a_video_that_cannot_be_written_leaves_nothing(tmp_path: Path, walk: Walk) -> None:
    pytest.importorskip("cv2")
    from gaitkeeper_shared.simulation.render import write_video

    camera = camera_for(walk.positions(np.linspace(0.0, 2.5, 30)), SMALL, "side", "left_to_right")
    with pytest.raises(GaitkeeperError) as caught:
        write_video(tmp_path / "no-such-folder" / "walk.mp4", walk, camera, 25.0)
    assert caught.value.code == "simulate-write-failed"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("disorder", "view", "direction", "rate"),
    [("healthy", "side", "left_to_right", 30.0), ("parkinsonian", "oblique", "right_to_left", 25.0)],
)
def test_a_pose_estimator_follows_the_rendered_walker(
    disorder: Disorder, view: View, direction: Direction, rate: float
) -> None:
    mediapipe = pytest.importorskip("mediapipe")
    from gaitkeeper_client.pose.weights import installed, task_path
    from gaitkeeper_shared.simulation.render import frames

    if not installed():
        pytest.skip("the pose weights are not installed: gaitkeeper models install")
    walk = Walk(draw_patient("p", disorder, 8), 2.0)
    times = np.arange(int(2.0 * rate) + 1) / rate
    camera = camera_for(walk.positions(times), (960, 540), view, direction)
    exact, depth = camera.project(walk.positions(times))
    body = walk.patient.height_m * camera.focal_px / depth.mean()
    near = "right" if direction == "left_to_right" else "left"
    knee, blazepose_knee = JOINT_INDEX[f"{near}_knee"], 26 if near == "right" else 25
    tasks = mediapipe.tasks
    options = tasks.vision.PoseLandmarkerOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(task_path())),
        running_mode=tasks.vision.RunningMode.VIDEO,
    )
    distances = []
    with tasks.vision.PoseLandmarker.create_from_options(options) as landmarker:
        for number, image in enumerate(frames(walk, camera, rate)):
            rgb = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image[:, :, ::-1]))
            found = landmarker.detect_for_video(rgb, int(1000 * times[number])).pose_landmarks
            if found:
                point = found[0][blazepose_knee]
                seen = np.array([point.x * camera.width, point.y * camera.height])
                distances.append(np.linalg.norm(seen - exact[number, knee]) / body)
    assert len(distances) >= 0.9 * times.size, "the figure is not tracked"
    assert np.median(distances) < 0.04, "the near knee is seen elsewhere, in body heights"
