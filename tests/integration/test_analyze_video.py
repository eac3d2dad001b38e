"""``gaitkeeper analyze`` from the video file to the numbers: rendered walkers whose truth is known, and real videos."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests import hand_counted

from gaitkeeper_client.capture.video import VideoFile
from gaitkeeper_client.pose import weights
from gaitkeeper_client.pose.mediapipe_pose import MediaPipePose
from gaitkeeper_client.pose.watch import follow_walker
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_shared.simulation.camera import camera_for
from gaitkeeper_shared.simulation.cohort import CohortSettings, make_cohort
from gaitkeeper_shared.simulation.disorders import pattern_of
from gaitkeeper_shared.simulation.patient import Disorder, draw_patient
from gaitkeeper_shared.simulation.render import frames
from gaitkeeper_shared.simulation.scene import draw_background
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX

DATA = Path(os.environ.get("GAITKEEPER_DATA", Path(__file__).resolve().parents[2] / ".." / "shared" / "data"))
SPORTS2D = DATA / "video" / "sports2d" / "demo.mp4"
HIPS = [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]

pytestmark = pytest.mark.skipif(
    not weights.installed(), reason="the pose weights are missing: gaitkeeper models install"
)


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gaitkeeper_shared.cli", "analyze", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def need(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path} is not here; GAITKEEPER_DATA names the folder of the real data")
    return path


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "clinic"
    disorders: tuple[Disorder, ...] = ("healthy", "hemiparetic", "ataxic")
    make_cohort(folder, CohortSettings(patients=3, disorders=disorders, strides=3, seed=3, size=(960, 540)), workers=2)
    return folder


@cache
def analysed(folder: Path, index: int) -> tuple[dict[str, Any], dict[str, Any]]:
    with (folder / "cohort.csv").open() as file:
        row = list(csv.DictReader(file))[index]
    analysis = analyse_file(folder / row["path"], height_m=float(row["height_m"]))
    truth = json.loads((folder / "truth" / f"{row['patient']}.json").read_text())
    return analysis.to_json(), truth


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1, 2])
def test_rendered_walkers(cohort: Path, index: int) -> None:
    analysis, truth = analysed(cohort, index)
    assert analysis["status"] == "analysed"
    assert analysis["quality"]["tracked_share"] > 0.9
    known = truth["parameters"]
    assert analysis["parameters"]["cadence"]["value"] == pytest.approx(known["cadence"], rel=0.02)
    found = [e for e in analysis["events"] if e["type"] == "foot_strike"]
    errors = []
    for event in found:
        same = [t for t in truth["events"] if t["type"] == "foot_strike" and t["side"] == event["side"]]
        errors.append(min(abs(t["time_s"] - event["time_s"]) for t in same))
    assert len(found) >= 5
    assert np.mean(errors) < 0.040
    ranges = [np.ptp(c["curves"][f"knee_flexion_{c['side']}"]) for c in analysis["cycles"]]
    assert np.mean(ranges) == pytest.approx((known["knee_range_left"] + known["knee_range_right"]) / 2, abs=8.0)
    assert analysis["parameters"]["step_length"]["value"] == pytest.approx(known["step_length"], rel=0.08)
    assert analysis["parameters"]["walking_speed"]["value"] == pytest.approx(known["walking_speed"], rel=0.08)


@pytest.mark.slow
def test_the_walking_woman_is_measured_and_not_the_jumper(tmp_path: Path) -> None:
    done = command(need(SPORTS2D).resolve(), "--height", "1.65", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    analysis = json.loads(done.stdout)
    assert analysis == json.loads((tmp_path / "demo-gait" / "analysis.json").read_text())
    assert (tmp_path / "demo-gait" / "report.html").stat().st_size > 10_000
    assert analysis["quality"]["direction"] == "right-to-left"
    assert analysis["quality"]["view"] == "side"
    assert analysis["parameters"]["cadence"]["value"] == pytest.approx(
        hand_counted.CADENCE, abs=hand_counted.CADENCE_ERROR
    )
    assert analysis["parameters"]["step_length"]["value"] == pytest.approx(0.73, abs=0.06)
    strikes = [e for e in analysis["events"] if e["type"] == "foot_strike"]
    for frame, side in hand_counted.CONTACTS:
        nearest = min(abs(e["time_s"] * hand_counted.RATE_HZ - frame) for e in strikes if e["side"] == side)
        assert nearest <= 1.5, f"contact at frame {frame}"


@pytest.mark.slow
def test_a_clip_that_starts_mid_stride_beside_the_jumper_measures_the_woman(tmp_path: Path) -> None:
    """The jumper shifts from foot to foot on his box, sways, and steps down in the end."""
    read = cv2.VideoCapture(str(need(SPORTS2D)))
    read.set(cv2.CAP_PROP_POS_FRAMES, 70)
    size = (int(read.get(cv2.CAP_PROP_FRAME_WIDTH)), int(read.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    writer = cv2.VideoWriter(str(tmp_path / "rest.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, size)
    while (frame := read.read())[0]:
        writer.write(frame[1])
    writer.release()
    analysis = analyse_file(tmp_path / "rest.mp4", height_m=1.65)
    assert analysis.quality["direction"] == "right-to-left"
    assert analysis.parameters["cadence"].value == pytest.approx(hand_counted.CADENCE, abs=hand_counted.CADENCE_ERROR)


@pytest.mark.slow
def test_of_two_who_pass_one_another_each_stays_himself(tmp_path: Path) -> None:
    """A walker and, nearer to the camera, his mirror image, who comes towards him: one of them, and only he."""
    patient = draw_patient("passing", "healthy", 7)
    walk = Walk(patient, 2.8 * pattern_of(patient).stride_time)
    camera = camera_for(walk.trajectories(100.0).positions, (960, 540), "side", "left_to_right")
    background = draw_background(camera, patient.seed).astype(int)
    images = list(frames(walk, camera, 30.0))
    pixels, _ = camera.project(walk.positions(np.arange(len(images)) / 30.0))
    writer = cv2.VideoWriter(str(tmp_path / "two.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, (960, 540))
    for image in images:
        body = cv2.medianBlur((np.abs(image - background).max(axis=2) > 14).astype(np.uint8), 5)
        mirrored = cv2.flip(body, 1).astype(bool)
        both = image.copy()
        both[mirrored] = cv2.flip(image, 1)[mirrored]
        writer.write(both)
    writer.release()
    with VideoFile(tmp_path / "two.mp4") as video, MediaPipePose() as estimator:
        seen = follow_walker(video, estimator)
    assert seen.trajectories is not None
    assert seen.people == 2
    middle, rightwards = (points[:, HIPS, 0].mean(axis=1) for points in (seen.trajectories.positions, pixels))
    off = [np.abs(middle - way) for way in (rightwards, 960.0 - rightwards)]
    known = np.isfinite(middle)
    assert known.mean() > 0.8
    assert min(np.max(one[known]) for one in off) < 40.0, "the track goes from one person to the other"
    assert seen.encounters_s or seen.switches_s, "that somebody passed is not told"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("pose2sim-balancing/cam01.mp4", {"not-walking", "too-few-cycles"}),
        pytest.param("pose2sim-balancing/cam03.mp4", {"not-walking", "too-few-cycles"}, marks=pytest.mark.long),
        ("intel-people/one-by-one-person-detection.mp4", {"frame-rate-too-low"}),
    ],
)
def test_who_does_not_walk_is_refused(tmp_path: Path, name: str, codes: set[str]) -> None:
    done = command(need(DATA / "video" / name).resolve(), "--output", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    analysis = json.loads((tmp_path / "out" / "analysis.json").read_text())
    assert analysis["status"] == "refused"
    assert analysis["reasons"][0]["code"] in codes
    assert all(parameter["value"] is None for parameter in analysis["parameters"].values())


def test_bad_input_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    for name, code in (("empty.mp4", "video-empty"), ("text.mp4", "not-a-video"), ("none.mp4", "video-not-found")):
        done = command(name, cwd=tmp_path)
        assert done.returncode == 2
        assert code in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
    assert command("text.mp4", "--height", "172", cwd=tmp_path).returncode == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.mp4", "text.mp4"]


def test_every_walk_of_the_laboratory_is_analysed() -> None:
    files = sorted(need(DATA / "clinic-bvh").glob("*.bvh"))[::8]
    for path in files:
        analysis = analyse_file(path)
        assert analysis.status == "analysed", path.name
        assert 40.0 < (analysis.parameters["cadence"].value or 0.0) < 150.0
        assert analysis.recording is not None
        assert np.mean(np.isfinite(analysis.recording.signals.values)) > 0.9


def test_weights_from_a_wrong_wheel_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zipfile

    from gaitkeeper_shared.errors import GaitkeeperError

    monkeypatch.setenv("GAITKEEPER_CACHE", str(tmp_path / "cache"))
    wheel = tmp_path / "mediapipe.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in weights.FILES:
            archive.writestr(file.wheel_path, b"other weights")
    with pytest.raises(GaitkeeperError) as caught:
        weights.install(wheel)
    assert caught.value.code == "pose-weights-wheel"
    assert list((tmp_path / "cache").iterdir()) == [], "something half-written stays behind"
    with pytest.raises(GaitkeeperError) as caught:
        weights.pose_task_path()
    assert caught.value.code == "pose-weights-missing"
