"""What is written comes back with the same numbers: through our own readers, and through other people's."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import ezc3d
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lab_fixtures import pixels, walk

from gaitkeeper_client.lab.c3d import read_c3d, read_c3d_angles
from gaitkeeper_client.lab.coordinates import walk_of_coordinates
from gaitkeeper_client.lab.export.content import MARKERS, ExportContent, content_of
from gaitkeeper_client.lab.export.formats import FORMATS, export, exported
from gaitkeeper_client.lab.mot import joint_angles, read_mot
from gaitkeeper_client.lab.trc import read_trc, read_trc_markers
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import joint_angles as sagittal_angles
from gaitkeeper_shared.kinematics import sagittal_plane
from gaitkeeper_shared.models.channels import feature_signals
from gaitkeeper_shared.recording import GaitEvent, JointTrajectories, Recording, Signals
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS, SIDES

EVENTS = (
    GaitEvent(0.31234, "left", "foot_strike", 0.9),
    GaitEvent(0.95, "right", "foot_off", 0.8),
    GaitEvent(1.62, "right", "foot_strike", 1.0),
)
TRUTH = walk(2.0)


def recording(trajectories: JointTrajectories = TRUTH, metres: float | None = None) -> Recording:
    """A walk with its signals from sample 20 to 160, as the longest straight walk of a clip."""
    points = sagittal_plane(trajectories.positions, (1.0, 0.0) if trajectories.dimensions == 3 else 1.0)
    signals = feature_signals(trajectories.time_s[20:160], points[20:160])
    return Recording(trajectories, EVENTS, signals, {"kind": "test"}, {"metres_per_unit": metres})


def written(tmp_path: Path, name: str, content: Recording) -> Path:
    path = tmp_path / f"walk{FORMATS[name].suffix}"
    export(content, name, path)
    return path


def same_frame(found: FloatArray, content: ExportContent) -> FloatArray:
    """The reader's joints in the axes that were written: its horizontal axes may be turned by quarters."""
    turns = [np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
    return min((found @ turn.T for turn in turns), key=lambda one: float(np.nanmax(np.abs(one - content.joints))))


def gaps(data: st.DataObject) -> JointTrajectories:
    """The walk with some joints unseen for a while, but not at its end; cut to some length."""
    length = data.draw(st.integers(40, 201))
    positions = TRUTH.positions[:length].copy()
    for joint in data.draw(st.lists(st.sampled_from(JOINTS), max_size=4)):
        start = data.draw(st.integers(0, length - 11))
        positions[start : data.draw(st.integers(start, length - 10)), JOINT_INDEX[joint]] = np.nan
    return JointTrajectories(TRUTH.time_s[:length], positions, "m", np.isfinite(positions[..., 0]).astype(float))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12, deadline=None)
@given(data=st.data())
def test_joints_come_back_from_c3d_and_trc(tmp_path: Path, data: st.DataObject) -> None:
    changed = gaps(data)
    content = Recording(changed, EVENTS, Signals(np.empty(0), (), np.empty((0, 0), np.float32)), {}, {})
    expected = content_of(content)
    for name, read in (("c3d", read_c3d), ("trc", read_trc)):
        found = read(written(tmp_path, name, content)).trajectories
        np.testing.assert_allclose(found.time_s, expected.time_s, atol=1e-6)
        np.testing.assert_array_equal(np.isfinite(found.positions), np.isfinite(expected.joints))
        np.testing.assert_allclose(same_frame(found.positions, expected), expected.joints, atol=1e-6, err_msg=name)


def test_ezc3d_reads_the_same_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, "c3d", recording())
    file = ezc3d.c3d(str(path))
    labels = file["parameters"]["POINT"]["LABELS"]["value"]
    assert file["header"]["points"]["frame_rate"] == pytest.approx(100.0)
    for joint, marker in MARKERS.items():
        if joint != "nose":
            track = file["data"]["points"][:3, labels.index(marker)].T
            np.testing.assert_allclose(track / 1000.0, TRUTH.positions[:, JOINT_INDEX[joint]], atol=1e-6)
    events = file["parameters"]["EVENT"]
    assert events["CONTEXTS"]["value"] == ["Left", "Right", "Right"]
    np.testing.assert_allclose(events["TIMES"]["value"][1], [event.time_s for event in EVENTS], atol=1e-5)


def test_events_and_angles_come_back_from_c3d(tmp_path: Path) -> None:
    path = written(tmp_path, "c3d", recording())
    found = [(event.side, event.type, round(event.time_s, 4)) for event in read_c3d(path).events]
    assert found == [(event.side, event.type, round(event.time_s, 4)) for event in EVENTS]
    angles, signals = read_c3d_angles(path), recording().signals
    assert len(angles) == 6
    for name, curve in angles.items():
        assert np.flatnonzero(np.isfinite(curve)).tolist() == list(range(20, 160))
        np.testing.assert_allclose(curve[20:160], signals.values[:, signals.names.index(name)], atol=1e-3)


def test_angles_come_back_from_mot(tmp_path: Path) -> None:
    path = written(tmp_path, "mot", recording())
    table, signals = read_mot(path), recording().signals
    direct = joint_angles(table, path)
    points = sagittal_plane(walk_of_coordinates(table, path, "mot", 1.7).trajectories.positions, (0.0, 1.0))
    walker = sagittal_angles(points)
    for side in SIDES:
        for name in ("knee_flexion", "ankle_dorsiflexion", "hip_flexion"):
            curve = signals.values[:, signals.names.index(f"{name}_{side}")]
            np.testing.assert_allclose(
                walker[f"{name}_{side}"], curve, atol=0.02
            )  # the way is not along y to the degree
            if name != "hip_flexion":
                np.testing.assert_allclose(direct[f"{name}_{side}"], curve, atol=1e-3)


def test_a_mot_of_legs_alone_holds_no_column_of_nothing(tmp_path: Path) -> None:
    positions = TRUTH.positions.copy()
    positions[:, [JOINT_INDEX[f"{side}_shoulder"] for side in SIDES]] = np.nan
    legs = JointTrajectories(TRUTH.time_s, positions, "m", np.isfinite(positions[..., 0]).astype(float))
    whole = read_mot(written(tmp_path, "mot", recording()))
    table = read_mot(written(tmp_path, "mot", recording(legs)))
    assert "lumbar_extension" not in table.names
    assert np.isfinite(table.values).all()
    for name in ("hip_flexion_l", "hip_flexion_r"):
        np.testing.assert_allclose(table.column(name), whole.column(name), atol=0.2)


@pytest.mark.parametrize("degrees", [0.0, 37.0, 90.0, 180.0])
def test_a_mot_goes_the_way_of_the_walk(tmp_path: Path, degrees: float) -> None:
    turn = np.radians(degrees)
    across = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    there = TRUTH.positions.copy()
    there[..., :2] = there[..., :2] @ across
    one = recording()
    tracks = JointTrajectories(TRUTH.time_s, there, "m", TRUTH.confidence)
    path = written(tmp_path, "mot", Recording(tracks, EVENTS, one.signals, one.source, one.quality))
    table = read_mot(path)
    assert np.median(table.column("pelvis_rotation")) == pytest.approx(degrees, abs=3.0)
    made = walk_of_coordinates(table, path, "mot", 1.7).trajectories.positions
    hips = made[:, [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]], :2].mean(axis=1)
    way = hips[-1] - hips[0]
    walker = sagittal_angles(sagittal_plane(made, (float(way[0]), float(way[1]))))
    for side in SIDES:
        for name in ("knee_flexion", "ankle_dorsiflexion", "hip_flexion"):
            curve = one.signals.values[:, one.signals.names.index(f"{name}_{side}")]
            np.testing.assert_allclose(walker[f"{name}_{side}"], curve, atol=0.5)


def test_csv_says_everything(tmp_path: Path) -> None:
    rows = list(csv.DictReader(written(tmp_path, "csv", recording()).read_text().splitlines()))
    assert len(rows) == 201
    knee = [float(row["left_knee_z_m"]) for row in rows]
    np.testing.assert_allclose(knee, TRUTH.positions[:, JOINT_INDEX["left_knee"], 2], atol=1e-6)
    assert [row["foot_strike_left_s"] for row in rows if row["foot_strike_left_s"]] == ["0.31234"]
    assert rows[31]["foot_strike_left_s"]
    assert (rows[19]["knee_flexion_left_deg"], rows[20]["knee_flexion_left_deg"] != "") == ("", True)


def test_motion_bids_is_a_data_set(tmp_path: Path) -> None:
    folder = written(tmp_path, "motion-bids", recording())
    assert json.loads((folder / "dataset_description.json").read_text())["BIDSVersion"]
    motion = folder / "sub-01" / "motion"
    stem = "sub-01_task-walking_tracksys-gaitkeeper"
    channels = list(csv.DictReader((motion / f"{stem}_channels.tsv").read_text().splitlines(), delimiter="\t"))
    table = [line.split("\t") for line in (motion / f"{stem}_motion.tsv").read_text().splitlines()]
    sidecar = json.loads((motion / f"{stem}_motion.json").read_text())
    assert {"name", "component", "type", "tracked_point", "units"} <= set(channels[0])
    assert sidecar["MotionChannelCount"] == len(channels) == len(table[0])
    assert sidecar["POSChannelCount"] == sum(one["type"] == "POS" for one in channels)
    assert (sidecar["SamplingFrequency"], len(table)) == (pytest.approx(100.0), 201)
    column = [one["name"] for one in channels].index("right_heel_z")
    values = [float(row[column]) for row in table]
    np.testing.assert_allclose(values, TRUTH.positions[:, JOINT_INDEX["right_heel"], 2], atol=1e-6)
    assert table[0][[one["name"] for one in channels].index("knee_flexion_left")] == "n/a"
    events = list(csv.DictReader((motion / "sub-01_task-walking_events.tsv").read_text().splitlines(), delimiter="\t"))
    assert [(float(one["onset"]), one["trial_type"], one["side"]) for one in events] == [
        (event.time_s, event.type, event.side) for event in EVENTS
    ]


@pytest.mark.parametrize("name", ["c3d", "trc"])
def test_a_video_s_walk_needs_a_scale(tmp_path: Path, name: str) -> None:
    points = pixels(TRUTH)
    points[..., 1] = 600.0 - points[..., 1]
    flat = JointTrajectories(TRUTH.time_s, points, "px", TRUTH.confidence)
    with pytest.raises(GaitkeeperError) as caught:
        export(recording(flat), name, tmp_path / "walk")
    assert caught.value.code == "export-no-scale"
    assert not list(tmp_path.iterdir())
    path = written(tmp_path, name, recording(flat, metres=0.005))
    found = (read_c3d if name == "c3d" else read_trc)(path).trajectories.positions
    assert found.shape[2] == 2  # no width of steps can be told
    height = found[:, JOINT_INDEX["left_hip"], 1] - found[:, JOINT_INDEX["left_ankle"], 1]
    truth = TRUTH.positions[:, JOINT_INDEX["left_hip"], 2] - TRUTH.positions[:, JOINT_INDEX["left_ankle"], 2]
    np.testing.assert_allclose(height, truth, atol=1e-5)


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    empty = JointTrajectories(np.empty(0), np.empty((0, 17, 3)), "m", np.empty((0, 17)))
    forces = Recording(empty, (), Signals(np.empty(0), (), np.empty((0, 0), np.float32)), {}, {})
    folder = tmp_path / "there"
    folder.mkdir()
    for content, name, path, code in (
        (forces, "c3d", tmp_path / "a.c3d", "export-no-points"),
        (recording(), "fbx", tmp_path / "a.fbx", "export-format-unknown"),
        (recording(), "motion-bids", folder, "export-exists"),
        (recording(), "trc", folder, "export-exists"),
        (recording(), "csv", Path("/proc/nowhere/a.csv"), "export-unwritable"),
    ):
        with pytest.raises(GaitkeeperError) as caught:
            export(content, name, path)
        assert caught.value.code == code
    assert [item.name for item in tmp_path.iterdir()] == ["there"]


def test_markers_have_names_that_readers_know(tmp_path: Path) -> None:
    markers = read_trc_markers(written(tmp_path, "trc", recording()))
    assert set(markers.names) <= set(MARKERS.values())
    assert markers.metres_per_unit == 1.0


@pytest.mark.parametrize("name", list(FORMATS))
def test_the_walk_of_a_draft_says_so_in_every_format(tmp_path: Path, name: str) -> None:
    plain, draft = exported(recording(), name, "r-1"), exported(recording(), name, "r-1.draft", "draft")
    assert draft == exported(recording(), name, "r-1.draft", "draft")  # the same walk makes the same file
    if name == "motion-bids":
        with zipfile.ZipFile(io.BytesIO(draft)) as archive:
            assert archive.testzip() is None
            assert json.loads(archive.read("dataset_description.json"))["Name"] == "Gait (draft)"
            export(recording(), name, tmp_path / "set")
            files = {
                str(path.relative_to(tmp_path / "set")) for path in (tmp_path / "set").rglob("*") if path.is_file()
            }
            assert set(archive.namelist()) == files
        return
    assert b"draft" not in plain
    if name == "c3d":
        (tmp_path / "x.c3d").write_bytes(draft)
        assert ezc3d.c3d(str(tmp_path / "x.c3d"))["parameters"]["GAITKEEPER"]["REPORT_STATUS"]["value"] == ["draft"]
        np.testing.assert_allclose(read_c3d(tmp_path / "x.c3d").trajectories.time_s, TRUTH.time_s, atol=1e-6)
    elif name == "trc":
        assert draft.splitlines()[0].endswith(b"\tr-1.draft.trc")
    elif name == "mot":
        path = tmp_path / "x.mot"
        path.write_bytes(draft)
        assert draft.startswith(b"gaitkeeper draft\n")
        assert joint_angles(read_mot(path), path)
    else:
        rows = list(csv.DictReader(draft.decode().splitlines()))
        assert {row["report_status"] for row in rows} == {"draft"}
