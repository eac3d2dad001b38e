"""``gaitkeeper analyze --estimator``: a network of the site's own, from the video to the numbers and the provenance."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.unit import onnx_fixtures as onnx

from gaitkeeper_client.pose import weights
from gaitkeeper_client.pose.skeletons import OF_NETWORKS
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.keys import unlock
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.simulation.camera import camera_for
from gaitkeeper_shared.simulation.disorders import pattern_of
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.render import frames
from gaitkeeper_shared.simulation.truth import walk_truth
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX

RATE, SIZE = 30.0, (960, 540)
DOT_PX = 6

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not weights.installed(), reason="the pose weights are missing: gaitkeeper models install"),
]


def dotted_walk(path: Path, name: str, strides: float) -> Walk:
    """Write a video of a walker who wears a dot in each joint's colour; without loss, so that colours stay."""
    patient = draw_patient("dots", "healthy", 5)
    walk = Walk(patient, strides * pattern_of(patient).stride_time)
    camera = camera_for(walk.trajectories(100.0).positions, SIZE, "side", "left_to_right")
    images = list(frames(walk, camera, RATE))
    pixels, depth = camera.project(walk.positions(np.arange(len(images)) / RATE))
    skeleton = OF_NETWORKS[name]
    colours = onnx.colours(len(skeleton.points))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), RATE, SIZE)
    assert writer.isOpened()
    for number, image in enumerate(images):
        for joint in sorted(skeleton.joints, key=lambda one: -depth[number, JOINT_INDEX[one]]):
            (own,) = skeleton.joints[joint]
            colour = [int(c) for c in colours[skeleton.points.index(own)][::-1]]
            at = np.round(16 * pixels[number, JOINT_INDEX[joint]]).astype(int)
            cv2.circle(image, at.tolist(), 16 * DOT_PX, colour, -1, cv2.LINE_AA, 4)
        writer.write(image)
    writer.release()
    return walk


def analyse(folder: Path, name: str, head: onnx.Head, strides: float) -> tuple[int, dict[str, Any], Walk]:
    walk = dotted_walk(folder / "walk.avi", name, strides)
    onnx.dot_network(folder / "dots.onnx", len(OF_NETWORKS[name].points), head, (192, 256))
    done = subprocess.run(
        [sys.executable, "-m", "gaitkeeper_shared.cli", "analyze", "walk.avi", "--estimator", "dots.onnx",
         "--skeleton", name, "--height", str(walk.patient.height_m), "--json"],
        cwd=folder, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout), walk


def test_a_network_of_the_site_measures_the_walk(tmp_path: Path) -> None:
    status, analysis, walk = analyse(tmp_path, "halpe-26", "simcc", 3.6)
    assert status == 0, analysis["reasons"]
    source = analysis["source"]
    assert source["estimator"] == "dots"
    assert source["estimator_sha256"] == hashlib.sha256((tmp_path / "dots.onnx").read_bytes()).hexdigest()
    assert source["skeleton"] == "halpe-26"
    assert source["people_seen"] == 1
    assert analysis["quality"]["tracked_share"] > 0.9
    truth = walk_truth(walk)
    assert analysis["parameters"]["cadence"]["value"] == pytest.approx(truth.parameters.cadence, rel=0.015)
    errors = [
        min(abs(true.time_s - one["time_s"]) for true in truth.events if (true.type, true.side) == kind)
        for one in analysis["events"]
        if (kind := (one["type"], one["side"]))[0] == "foot_strike"
    ]
    assert len(errors) >= 5
    assert max(errors) < 1.5 / RATE


def test_a_network_without_feet_measures_by_the_ankles(tmp_path: Path) -> None:
    status, analysis, walk = analyse(tmp_path, "coco-17", "heatmap", 3.6)
    assert status == 0, analysis["reasons"]
    assert analysis["source"]["skeleton"] == "coco-17"
    assert analysis["quality"]["feet_seen"] is False
    assert analysis["parameters"]["cadence"]["value"] == pytest.approx(walk_truth(walk).parameters.cadence, rel=0.02)
    assert analysis["parameters"]["ankle_range_left"]["refused"]["code"] == "feet-missing"


def test_ingest_takes_the_same_network(tmp_path: Path) -> None:
    """Without the option BlazePose would see the feet that this network does not deliver."""
    dotted_walk(tmp_path / "walk.avi", "coco-17", 3.6)
    onnx.dot_network(tmp_path / "dots.onnx", len(OF_NETWORKS["coco-17"].points), "heatmap", (192, 256))

    def site(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gaitkeeper_shared.cli", "site", *words, "--home", "home"],
            cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip

    assert site("init", "--name", "clinic").returncode == 0
    done = site("ingest", "walk.avi", "--patient", "P1", "--estimator", "dots.onnx", "--skeleton", "coco-17", "--json")
    assert done.returncode == 0, done.stderr
    home = SiteHome(tmp_path / "home")
    with Vault.open(home, unlock(home)) as vault:
        (patient,) = vault.patients()
        (stored,) = vault.recordings(patient.pseudonym)
    assert stored.source["skeleton"] == "coco-17"
    assert stored.quality["feet_seen"] is False
    channels = dict(zip(stored.signals.names, stored.signals.values.T, strict=True))
    assert np.isnan(channels["ankle_dorsiflexion_left"]).all()
    assert np.isfinite(channels["knee_flexion_left"]).all()
