"""The conformance suite: the same walk out of every format, and every broken file refused in plain words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lab_fixtures import (
    HEIGHT_PX,
    PIXELS_PER_M,
    RATE_HZ,
    WIDTH_PX,
    WRITERS,
    pixels,
    walk,
    write_c3d,
    write_dlc,
    write_trc,
)

from gaitkeeper_client.lab.options import ReadOptions
from gaitkeeper_client.lab.readers import READERS, read_walk, reader_of
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS

RATE = ReadOptions(rate_hz=RATE_HZ)
SIZE = ReadOptions(size_px=(WIDTH_PX, HEIGHT_PX))


def options_for(path: Path) -> ReadOptions:
    """What the file does not say of itself."""
    return SIZE if "landmarks" in path.name else RATE


ALL = sorted(WRITERS)
FILES = [name for name in ALL if name != "openpose"]


@pytest.fixture(scope="module")
def truth() -> JointTrajectories:
    return walk()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, truth: JointTrajectories) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("formats")
    return {name: write(folder / file, truth) for name, (file, write) in WRITERS.items()}


def with_gap(truth: JointTrajectories) -> JointTrajectories:
    """The same walk, the left ankle not seen in samples 20 to 29."""
    positions = truth.positions.copy()
    positions[20:30, JOINT_INDEX["left_ankle"]] = np.nan
    return JointTrajectories(truth.time_s, positions, truth.unit, truth.confidence)


def test_every_kind_of_reader_is_in_the_suite() -> None:
    # Joint angles are no positions: test_sources_angles.py
    assert {reader.kind for reader in READERS} - {"mot"} == {
        name.removesuffix("-h5").removesuffix("-several") for name in ALL
    }


@pytest.mark.parametrize("name", ALL)
def test_each_file_is_recognised_by_its_content(written: dict[str, Path], name: str) -> None:
    reader = reader_of(written[name])
    assert reader is not None
    assert reader.kind == name.removesuffix("-h5").removesuffix("-several")


@pytest.mark.parametrize("name", ALL)
def test_the_same_walk_comes_out_of_every_format(written: dict[str, Path], truth: JointTrajectories, name: str) -> None:
    found = read_walk(written[name], options_for(written[name]))
    trajectories = found.trajectories
    assert found.kind == name.removesuffix("-h5").removesuffix("-several")
    assert trajectories.sample_rate_hz == pytest.approx(RATE_HZ, rel=1e-6)
    assert trajectories.time_s[0] == 0.0
    assert trajectories.time_s.size == truth.time_s.size
    delivered = 0
    constructed = "_heel" if any("constructed" in note for note in found.notes) else "none"
    for joint in (joint for joint in JOINTS if not joint.endswith(constructed)):
        track = trajectories.positions[:, JOINT_INDEX[joint]]
        if not np.isfinite(track).any():
            assert (trajectories.confidence[:, JOINT_INDEX[joint]] == 0.0).all()
            continue
        delivered += 1
        assert (trajectories.confidence[:, JOINT_INDEX[joint]] > 0.0).all()
        if trajectories.dimensions == 3:
            # The origin and the direction of the horizontal axes are the laboratory's own.
            offset = track - truth.positions[:, JOINT_INDEX[joint]] if name == "c3d" else None
            height = truth.positions[:, JOINT_INDEX[joint], 2]
            np.testing.assert_allclose(track[:, 2], height, atol=2e-4, err_msg=joint)
            assert offset is None or np.abs(offset).max() < 2e-4
        else:
            expected = pixels(truth)[:, JOINT_INDEX[joint]]
            np.testing.assert_allclose(track[:, 0], expected[:, 0], atol=0.01, err_msg=joint)
            lowered = -expected[:, 1] + (track[0, 1] + expected[0, 1])
            np.testing.assert_allclose(track[:, 1], lowered, atol=0.01, err_msg=joint)
    assert delivered >= 12


@pytest.mark.parametrize("name", ALL)
def test_left_stays_left(written: dict[str, Path], name: str) -> None:
    trajectories = read_walk(written[name], options_for(written[name])).trajectories
    points = trajectories.positions
    if trajectories.dimensions == 2:
        truth = pixels(walk())[:, JOINT_INDEX["left_ankle"], 0]
        np.testing.assert_allclose(points[:, JOINT_INDEX["left_ankle"], 0], truth, atol=0.01)
        return
    way = points[-1, JOINT_INDEX["left_hip"], :2] - points[0, JOINT_INDEX["left_hip"], :2]
    across = points[:, JOINT_INDEX["left_hip"], :2] - points[:, JOINT_INDEX["right_hip"], :2]
    assert np.median(way[0] * across[:, 1] - way[1] * across[:, 0]) > 0.0
    scale = np.linalg.norm(way) / (np.linalg.norm(pixels(walk())[-1, 7] - pixels(walk())[0, 7]) / PIXELS_PER_M)
    assert scale == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", [name for name in ALL if name != "bvh"])
def test_a_gap_stays_a_gap(tmp_path: Path, truth: JointTrajectories, name: str) -> None:
    file, write = WRITERS[name]
    path = write(tmp_path / file, with_gap(truth))
    trajectories = read_walk(path, options_for(path)).trajectories
    seen = np.isfinite(trajectories.positions[:, JOINT_INDEX["left_ankle"]]).all(axis=1)
    assert np.flatnonzero(~seen).tolist() == list(range(20, 30))
    assert (trajectories.confidence[~seen, JOINT_INDEX["left_ankle"]] == 0.0).all()


def outcome(path: Path) -> str:
    try:
        read_walk(path, options_for(path))
    except GaitkeeperError as error:
        return f"{error.code} {error.exit_status}"
    return "read"


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_never_half_read(tmp_path: Path, written: dict[str, Path], name: str) -> None:
    whole, whole_walk = written[name].read_bytes(), read_walk(written[name], options_for(written[name])).trajectories
    path = tmp_path / written[name].name
    for share in (0.0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.8, 0.95, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        result = outcome(path)
        if result == "read":
            found = read_walk(path, options_for(path)).trajectories
            if name == "c3d":  # only the padding behind the last frame was cut off
                np.testing.assert_array_equal(found.positions, whole_walk.positions)
            else:  # these formats do not announce their length: whole lines less are a shorter file
                assert name.startswith(("deeplabcut", "landmark"))
                assert found.time_s.size < whole_walk.time_s.size
            continue
        assert result.endswith(" 2"), (share, result)


@pytest.mark.parametrize("name", FILES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_changed_file_is_read_or_refused(
    tmp_path: Path, written: dict[str, Path], name: str, data: st.DataObject
) -> None:
    whole = bytearray(written[name].read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, min(len(whole) - 1, 6000)))] = data.draw(st.integers(0, 255))
    path = tmp_path / written[name].name
    path.write_bytes(whole)
    assert outcome(path) == "read" or outcome(path)[-1] in "23"


def test_what_no_reader_knows_is_said(tmp_path: Path) -> None:
    other = tmp_path / "notes.docx"
    other.write_text("hello")
    for path in (other, tmp_path, tmp_path / "gone.xyz"):
        assert outcome(path) == "source-unknown 2"
    assert outcome(tmp_path / "gone.c3d") == "lab-file-unreadable 2"


@pytest.mark.parametrize("write", [write_c3d, write_trc])
def test_metres_called_millimetres_are_refused(tmp_path: Path, truth: JointTrajectories, write) -> None:  # type: ignore[no-untyped-def]
    path = write(tmp_path / f"walk.{write.__name__[-3:]}", truth, unit="mm", scale=1.0)
    assert outcome(path) == "lab-unit-contradiction 2"
    assert outcome(write(path, truth, unit="m", scale=1.0)) == "read"
    assert outcome(write(path, truth, unit="", scale=1000.0)) == "read"


@pytest.mark.parametrize("write", [write_c3d, write_trc])
def test_markers_that_are_never_seen_are_refused(tmp_path: Path, truth: JointTrajectories, write) -> None:  # type: ignore[no-untyped-def]
    empty = JointTrajectories(truth.time_s, truth.positions * np.nan, "m", truth.confidence)
    assert outcome(write(tmp_path / f"walk.{write.__name__[-3:]}", empty)) in (
        "lab-nothing-seen 2",
        "lab-points-missing 2",
    )


def test_one_leg_only_is_refused(tmp_path: Path, truth: JointTrajectories) -> None:
    path = write_trc(tmp_path / "walk.trc", truth)
    path.write_text(path.read_text().replace("\tRKNE", "\tXXXX"))
    with pytest.raises(GaitkeeperError, match="right knee"):
        read_walk(path)


def test_c3d_events_with_and_without_context(written: dict[str, Path]) -> None:
    events = [(event.time_s, event.side, event.type) for event in read_walk(written["c3d"]).events]
    assert events == [(0.5, "left", "foot_strike"), (0.75, "right", "foot_off")]


def test_openpose_gaps_and_nobody(tmp_path: Path, truth: JointTrajectories) -> None:
    folder = WRITERS["openpose"][1](tmp_path / "op", truth)
    for number in range(40, 60):
        (folder / f"walk_{number:012d}_keypoints.json").unlink()
    found = read_walk(folder, RATE)
    assert found.trajectories.time_s.size == truth.time_s.size
    assert np.isnan(found.trajectories.positions[40:60]).all()
    assert "20 of 201 frames have no file" in found.notes[0]
    with pytest.raises(GaitkeeperError) as caught:
        read_walk(folder)
    assert caught.value.code == "pose-rate-needed"
    for path in folder.iterdir():
        path.write_text('{"version": 1.3, "people": []}')
    assert outcome(folder) == "pose-nobody 3"
    next(folder.iterdir()).write_text('{"version": 1.3, "people": [{"pose_keypoints_2d": [1, 2]}]}')
    assert outcome(folder) == "lab-file-broken 2"


def test_unknown_body_parts_need_a_mapping(tmp_path: Path, truth: JointTrajectories) -> None:
    path = write_dlc(tmp_path / "walk.csv", truth)
    path.write_text(path.read_text().replace("left_hip", "trochanter_gauche"))
    with pytest.raises(GaitkeeperError) as caught:
        read_walk(path, options_for(path))
    assert caught.value.code == "pose-points-unknown"
    assert "trochanter_gauche" in caught.value.message
    mapped = ReadOptions(rate_hz=RATE_HZ, mapping={"left_hip": ("trochanter_gauche",)})
    assert np.isfinite(read_walk(path, mapped).trajectories.positions[:, JOINT_INDEX["left_hip"]]).all()
    with pytest.raises(GaitkeeperError) as caught:
        read_walk(path, ReadOptions(rate_hz=RATE_HZ, mapping={"left_hip": ("nowhere",)}))
    assert caught.value.code == "pose-mapping-wrong"
