"""Who walks to and fro, out of sight and back: measured over the whole clip, and nobody else with him."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.unit.test_pose_identity import BODY_PX, RATE, track_of

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.lab.options import ReadOptions
from gaitkeeper_client.pose.base import PersonPose
from gaitkeeper_client.pose.identity import persons
from gaitkeeper_client.pose.readers.skeletons import BODY_25
from gaitkeeper_client.pose.returns import walker_with_returns
from gaitkeeper_client.pose.tracking import Track, joined, travel, walker, walking_score, way_gone
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.simulation.camera import camera_for
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.truth import walk_truth
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX

STEP = 0.7 * BODY_PX / RATE
PASS = 100.0 + STEP * np.arange(150)


def scaled(track: Track, size: float, leg: float = 1.0, up: float = 0.0) -> Track:
    """The same person seen larger, with longer legs, and so many body sizes higher."""
    out = Track()
    legs = [index for name, index in JOINT_INDEX.items() if name.split("_")[-1] in ("knee", "ankle", "heel", "toe")]
    for frame, time_s, points, confidence in zip(
        track.frames, track.times, track.points, track.confidence, strict=True
    ):
        hips = points[[JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]].mean(axis=0)
        moved = hips + size * (points - hips)
        moved[legs] = hips + leg * (moved[legs] - hips)
        out.add(frame, time_s, PersonPose(moved - [0.0, up * BODY_PX], confidence))
    return out


def test_way_there_and_back_counts_and_swaying_does_not() -> None:
    to_and_fro = track_of(np.concatenate([PASS, PASS[::-1]] * 3))
    assert travel(to_and_fro) < 0.1
    assert way_gone(to_and_fro) == pytest.approx(6 * 149 * STEP / to_and_fro.size, rel=0.15)
    sways = track_of(500.0 + 0.08 * BODY_PX * np.sin(np.arange(900) / 7.0))
    assert way_gone(sways) < 0.3
    slow = track_of(100.0 + 0.1 * STEP * np.arange(900))
    assert way_gone(slow) == pytest.approx(travel(slow))


def test_who_walks_to_and_fro_is_the_walker_and_not_who_crosses_once() -> None:
    patient = track_of(np.concatenate([PASS, PASS[::-1]] * 5))
    crosses = track_of(PASS[::-1] + 30.0, first=600)
    assert walking_score(patient) > walking_score(crosses)
    assert walker([crosses, patient]) is patient


def test_passes_with_time_out_of_sight_between_are_one_walk() -> None:
    passes = [track_of(PASS, first=0), track_of(PASS[::-1], first=300, facing=-1), track_of(PASS, first=520)]
    meanwhile = track_of(PASS, first=30)
    stands = track_of(np.full(100, 700.0), first=170)
    found = walker_with_returns([*passes, meanwhile, stands])
    assert found is not None
    assert found.pieces[0] in (passes[0], meanwhile)
    assert list(found.pieces[1:]) == passes[1:]
    assert found.returns_s == (10.0, pytest.approx(520 / RATE, abs=1e-3))
    assert found.track.frames == [f for piece in found.pieces for f in piece.frames]


@pytest.mark.parametrize(("size", "leg"), [(1.25, 1.0), (0.8, 1.0), (1.0, 1.2), (1.0, 0.8)])
def test_somebody_of_another_size_or_build_is_not_the_walker(size: float, leg: float) -> None:
    first, later = track_of(PASS), track_of(PASS[::-1], first=300)
    for other, pieces in ((later, 2), (scaled(later, 1.03, 1.02), 2), (scaled(later, size, leg), 1)):
        found = walker_with_returns([first, other])
        assert found is not None
        assert len(found.pieces) == pieces


def test_of_two_who_could_be_he_neither_is() -> None:
    first = track_of(np.concatenate([PASS, PASS[::-1], PASS]))
    both = [track_of(PASS, first=600), track_of(PASS[::-1], first=640)]
    found = walker_with_returns([first, *both])
    assert found is not None
    assert found.pieces == (first,)
    assert walker_with_returns([]) is None


@pytest.mark.parametrize(("aside", "size"), [(0.3, 1.0), (0.0, 0.75), (0.0, 1.0)])
def test_a_track_that_goes_over_to_somebody_who_was_never_seen_alone_is_cut(aside: float, size: float) -> None:
    back = PASS[-1] - STEP * np.arange(120)
    track = joined(track_of(PASS), scaled(track_of(back, first=150, facing=-1), size, up=aside))
    found = persons([track])
    if aside == 0.0 and size == 1.0:
        assert len(found) == 1, "alone, on his way and of his size: a film put together, or himself"
        return
    assert len(found) == 2
    assert all(one.switches == pytest.approx((5.0,), abs=0.15) for one in found)


def _folder(path: Path, frames: list[list[FloatArray]]) -> Path:
    path.mkdir()
    for number, people in enumerate(frames):
        rows = []
        for points in people:
            row = np.zeros((len(BODY_25.points), 3))
            for joint, (name,) in BODY_25.joints.items():
                row[BODY_25.points.index(name)] = (*points[JOINT_INDEX[joint]], 0.9)
            rows.append({"pose_keypoints_2d": row.ravel().round(2).tolist()})
        (path / f"w_{number:012d}_keypoints.json").write_text(json.dumps({"people": rows}))
    return path


def _mirrored(points: FloatArray) -> FloatArray:
    out = points.copy()
    for name, index in JOINT_INDEX.items():
        side, _, part = name.partition("_")
        other = JOINT_INDEX[f"{'right' if side == 'left' else 'left'}_{part}"] if part else index
        out[other] = points[index] * [-1.0, 1.0] + [960.0, 0.0]
    return out


def _analysed(path: Path) -> Analysis:
    return analyse_file(path, height_m=1.7, options=ReadOptions(rate_hz=RATE))


def test_a_patient_who_comes_and_goes_is_measured_throughout_though_another_crosses(tmp_path: Path) -> None:
    walk = Walk(draw_patient("p", "healthy", 3), 6.0)
    camera = camera_for(walk.positions(np.linspace(0.0, 6.0, 50)), (960, 540), "side", "left_to_right")
    there = list(camera.project(walk.positions(np.arange(180) / RATE))[0])
    back = [_mirrored(points) for points in there]
    crossing = [[*pair] for pair in zip(back, [p - [0.0, 150.0] for p in there], strict=True)]
    out_of_sight: list[list[FloatArray]] = [[]] * 60
    alone = [[points] for points in there]
    found = _analysed(_folder(tmp_path / "in", [*alone, *crossing, *out_of_sight, *alone, *([p] for p in back)]))
    assert found.status == "analysed"
    cadence = found.parameters["cadence"]
    assert cadence.value == pytest.approx(walk_truth(walk).parameters.cadence, rel=0.01)
    assert cadence.n >= 4 * 6
    assert max(event.time_s for event in found.events) > 24.0
    assert "came back into sight at 14.0 s" in str(found.source["notes"])
