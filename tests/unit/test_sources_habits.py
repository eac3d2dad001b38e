"""Keypoints as other programs really write them, and what people hand in that is no recording at all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from lab_fixtures import (
    HEIGHT_PX,
    WIDTH_PX,
    pixels,
    walk,
    write_dlc,
    write_dlc_h5,
    write_landmarks,
    write_openpose,
)
from test_lab_habits import RATE, SIZED, TRUTH, code, refusal, rewritten

from gaitkeeper_client.lab.options import NOTHING_SAID, ReadOptions
from gaitkeeper_client.lab.readers import read_walk
from gaitkeeper_client.pose.readers.skeletons import BODY_25, BODY_25B
from gaitkeeper_client.pose.skeletons import BLAZEPOSE_33
from gaitkeeper_client.sources import analyse_file, check_source
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS

# OpenPose


def each_person(folder: Path, change: Callable[[FloatArray], FloatArray]) -> None:
    """Change the (25, 3) rows of everybody in every frame."""
    for path in folder.iterdir():
        document = json.loads(path.read_text())
        for person in document["people"]:
            rows = np.array(person["pose_keypoints_2d"]).reshape(-1, 3)
            person["pose_keypoints_2d"] = change(rows).ravel().tolist()
        path.write_text(json.dumps(document))


def body_25b(rows: FloatArray) -> FloatArray:
    """BODY_25 in BODY_25B's order."""
    out = np.zeros((25, 3))
    for number, name in enumerate(BODY_25B.points):
        if name in BODY_25.points:
            out[number] = rows[BODY_25.points.index(name)]
    return out


@pytest.fixture(scope="module")
def openpose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = write_openpose(tmp_path_factory.mktemp("habits") / "openpose", walk(0.5))
    return folder


def copied(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_text(path.read_text())
    return to


def test_openpose_of_other_versions_and_networks(tmp_path: Path, openpose: Path) -> None:
    expected = read_walk(openpose, RATE).trajectories.positions
    old = copied(openpose, tmp_path / "old")
    for path in old.iterdir():
        path.write_text(path.read_text().replace("pose_keypoints_2d", "pose_keypoints"))
    other = copied(openpose, tmp_path / "25b")
    each_person(other, body_25b)
    large = copied(openpose, tmp_path / "135")
    each_person(large, lambda rows: np.concatenate([body_25b(rows), np.zeros((110, 3))]))
    (large / "._walk_000000000001_keypoints.json").write_bytes(b"\0\5\x16\7")
    first = large / "walk_000000000000_keypoints.json"
    document = json.loads(first.read_text())
    document["people"].append({"person_id": [-1], "pose_keypoints_2d": []})
    first.write_text(json.dumps(document))
    for folder in (old, other, large):
        np.testing.assert_allclose(read_walk(folder, RATE).trajectories.positions, expected, err_msg=folder.name)


@pytest.mark.parametrize("from_middle", [False, True])
def test_openpose_in_shares_of_the_picture(tmp_path: Path, openpose: Path, from_middle: bool) -> None:
    def shares(rows: FloatArray) -> FloatArray:
        place = rows[:, :2] / [WIDTH_PX, HEIGHT_PX]
        return np.column_stack([2.0 * place - 1.0 if from_middle else place, rows[:, 2]])

    folder = copied(openpose, tmp_path / "shares")
    each_person(folder, shares)
    assert code(folder, RATE) == "pose-size-needed"
    expected = read_walk(openpose, SIZED).trajectories.positions
    np.testing.assert_allclose(read_walk(folder, SIZED).trajectories.positions, expected, atol=1e-6)


# Tables of keypoints


def test_frames_that_have_no_row_are_gaps(tmp_path: Path) -> None:
    tables = {
        "dlc.csv": write_dlc(tmp_path / "dlc.csv", TRUTH),
        "frames.csv": write_landmarks(tmp_path / "frames.csv", TRUTH),
        "index.csv": write_landmarks(tmp_path / "index.csv", TRUTH),
    }
    for name, path in tables.items():
        lines = path.read_text().splitlines()
        if name != "dlc.csv":
            cells = [line.split(",") for line in lines]
            lines = [",".join([row[0], *row[2:]]) for row in cells]  # the times
            lines[0] = lines[0].replace("frame", "frame" if name == "frames.csv" else "")
        path.write_text("\n".join(lines[:40] + lines[55:]) + "\n")
        found = read_walk(path, SIZED)
        assert found.trajectories.time_s.size == TRUTH.time_s.size, name
        missing = ~np.isfinite(found.trajectories.positions[:, JOINT_INDEX["left_knee"], 0])
        assert missing.sum() == 15, name
        assert any("15 of 101 frames have no row" in note for note in found.notes), name
    path = tmp_path / "dlc.h5"
    write_dlc_h5(path, TRUTH)
    with h5py.File(path, "r+") as file:
        table = file["df_with_missing"]["table"]
        rows, kind = np.delete(table[()], range(40, 55)), bytes(table.attrs["values_block_0_kind"])
        del file["df_with_missing"]["table"]
        file["df_with_missing"].create_dataset("table", data=rows).attrs["values_block_0_kind"] = np.bytes_(kind)
    assert read_walk(path, RATE).trajectories.time_s.size == TRUTH.time_s.size
    lines = tables["dlc.csv"].read_text().splitlines()
    tables["dlc.csv"].write_text("\n".join([*lines[:10], lines[9], *lines[10:]]) + "\n")
    assert code(tables["dlc.csv"], RATE) == "lab-file-broken"


def landmark_table(path: Path, pattern: str, separator: str = ",", first: str = "") -> Path:
    """MediaPipe's 33 landmarks as shares; ``pattern`` of a column: of its number n, name and axis a."""
    points = pixels(TRUTH) / [WIDTH_PX, HEIGHT_PX]
    where = [JOINT_INDEX.get(name.replace("_foot_index", "_toe"), 0) for name in BLAZEPOSE_33.points]
    head = [pattern.format(n=n, m=n + 1, name=name, a=a) for n, name in enumerate(BLAZEPOSE_33.points) for a in "xyzv"]
    lines = [separator.join([*([first] if first else []), *head])]
    for row, frame in enumerate(points):
        cells = [f"{value:.7f}" for at in where for value in (*frame[at], -0.1, 0.9)]
        lines.append(separator.join([*([str(row * 10)] if first else []), *cells]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("pattern", "separator"),
    [
        ("{name}_{a}", ","),
        ("{name}.{a}", ";"),
        ("{a}{m}", ","),
        ("{a}_{n}", ","),
        ("{n}_{a}", "\t"),
        ("landmark_{n}_{a}", ","),
    ],
)
def test_landmarks_under_every_habit_of_naming(tmp_path: Path, pattern: str, separator: str) -> None:
    path = landmark_table(tmp_path / "walk.csv", pattern, separator)
    expected = pixels(TRUTH)[..., 0]
    found = read_walk(path, SIZED).trajectories.positions[..., 0]
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize("write", [write_dlc, write_landmarks])
def test_tables_whose_words_stand_in_quotation_marks_as_r_writes_them(
    tmp_path: Path, write: Callable[[Path, JointTrajectories], Path]
) -> None:
    path, options = (
        write(tmp_path / "walk.csv", TRUTH),
        RATE if write is write_dlc else ReadOptions(size_px=SIZED.size_px),
    )
    plain = read_walk(path, options).trajectories.positions
    text = path.read_text()
    path.write_text(re.sub(r"[a-zA-Z_]\w*", r'"\g<0>"', text))
    np.testing.assert_array_equal(read_walk(path, options).trajectories.positions, plain)
    path.write_text("\n" + text)
    assert "its first line is empty" in refusal(path, options).message
    path.write_text(text.rstrip() + ',"\n')
    assert "its quotation marks" in refusal(path, options).message


@pytest.mark.parametrize("first", ["timestamp", "timestamp_ms", "time"])
def test_times_in_milliseconds_whether_they_say_so_or_not(tmp_path: Path, first: str) -> None:
    path = landmark_table(tmp_path / "walk.csv", "{name}_{a}", first=first)
    found = read_walk(path, ReadOptions(size_px=(WIDTH_PX, HEIGHT_PX)))
    np.testing.assert_allclose(found.trajectories.time_s, TRUTH.time_s, atol=1e-9)
    assert bool(found.notes) is (first != "timestamp_ms")


def test_a_row_for_each_landmark_and_each_person(tmp_path: Path) -> None:
    shares = pixels(TRUTH) / [WIDTH_PX, HEIGHT_PX]
    lines = ["frame,person_id,landmark,x,y,visibility"]
    for row, frame in enumerate(shares):
        for person, points in (("7", frame), ("8", shares[0])):
            lines += [
                f"{row},{person},{name.replace('_toe', '_foot_index').upper()},{x:.7f},{y:.7f},"
                for name, (x, y) in zip(JOINTS, points, strict=True)
            ]
    path = tmp_path / "walk.csv"
    path.write_text("\n".join(lines) + "\n")
    found = read_walk(path, SIZED)
    np.testing.assert_allclose(found.trajectories.positions[..., 0], pixels(TRUTH)[..., 0], atol=0.01)
    assert any("number 1, who walks most" in note for note in found.notes)
    assert np.ptp(read_walk(path, replace(SIZED, person="8")).trajectories.positions[..., 0], axis=0).max() < 0.01
    path.write_text(path.read_text().replace("person_id", "clip"))
    assert code(path, SIZED) == "lab-file-broken"


def test_world_landmarks_are_no_walk(tmp_path: Path) -> None:
    between = TRUTH.positions[:, [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]].mean(axis=1, keepdims=True)
    lines = [",".join(f"{name}_{axis}" for name in JOINTS for axis in "xy")]
    lines += [",".join(f"{value:.5f}" for value in row.ravel()) for row in (TRUTH.positions - between)[..., [0, 2]]]
    path = tmp_path / "world.csv"
    path.write_text("\n".join(lines) + "\n")
    assert code(path, SIZED) == "pose-world-landmarks"


def test_a_likelihood_that_is_empty_is_none_that_is_zero(tmp_path: Path) -> None:
    path = rewritten(write_dlc(tmp_path / "walk.csv", TRUTH), ",0.9500", ",")
    assert read_walk(path, RATE).trajectories.confidence.min() == 1.0


# The door


def test_what_is_no_file_at_all(tmp_path: Path) -> None:
    pipe = tmp_path / "walk.trc"
    os.mkfifo(pipe)
    loop = tmp_path / "loop.c3d"
    loop.symlink_to(loop)
    (tmp_path / "folder.c3d").mkdir()
    said = {path: code(path) for path in (pipe, loop, tmp_path / "folder.c3d", tmp_path / ("n" * 300 + ".c3d"))}
    assert list(said.values()) == ["not-a-video", "video-unreadable", "source-folder", "video-unreadable"]


def test_what_is_wrong_with_keypoints_is_told_by_what_to_do(tmp_path: Path, openpose: Path) -> None:
    folder = copied(openpose, tmp_path / "frames")
    files = sorted(folder.iterdir())
    assert code(files[3]) == "source-frame"
    files[3].write_text(files[3].read_text()[:100])
    assert "taken out of the folder, its frame is a gap" in refusal(folder, RATE).message
    files[3].unlink()
    assert analyse_file(folder, options=SIZED).source["notes"]
    files[4].rename(folder / "again_000000000004_keypoints.json")
    assert "2 videos (again, walk); give each a folder of its own" in refusal(folder, RATE).message
    with h5py.File(tmp_path / "sleap.h5", "w") as file:
        file["tracks"] = np.zeros(3)
    assert "no table as DeepLabCut writes it, but tracks" in refusal(tmp_path / "sleap.h5", RATE).message


@pytest.mark.parametrize("name", ["walk.c3d.gz", "walk.c3d", "walk.csv", "walk.mp4", "walk.zip"])
def test_what_is_packed_is_said(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK\3\4" + bytes(100) if "gz" not in name else b"\x1f\x8b" + bytes(100))
    assert code(path) == "source-packed"


def test_what_is_far_too_large_is_refused_unread(tmp_path: Path) -> None:
    for name in ("walk.c3d", "walk.mat", "walk.trc", "walk.bvh"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(100 * 2**30)  # takes no room on the disk
        assert code(tmp_path / name) == "lab-file-broken"


def test_a_video_stream_and_stride_times_have_one_suffix(tmp_path: Path) -> None:
    path = tmp_path / "walk.ts"
    path.write_bytes(b"G" + bytes(400))
    assert check_source(path, NOTHING_SAID, None) is None
    path.write_text("20.0 1.1 1.2\n")
    assert code(path) == "lab-file-broken"


def test_foot_forces_with_other_ends_of_lines(tmp_path: Path) -> None:
    row = "\t".join(["{time}", *["0"] * 16, "500", "20"])
    text = "\r".join(row.format(time=number / 100) for number in range(50))
    path = tmp_path / "forces.txt"
    for content in (text.encode(), b"\n" + text.encode(), text.encode("utf-8-sig")):
        path.write_bytes(content)
        known = check_source(path, NOTHING_SAID, None)
        assert known is not None
        assert known.kind == "gaitpdb"
    path.write_text(text.replace("0.1", "0,1"))
    with pytest.raises(GaitkeeperError, match="decimal comma"):
        analyse_file(path)
