"""One suite for every kind of source: good, cut, empty, full of gaps, of one leg, of nobody, of other names and units.

Whatever comes in, an analysis comes out or an error of the catalogue; and a good file of every kind is the same walk.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lab_fixtures import HEIGHT_PX, RATE_HZ, WIDTH_PX, WRITERS, walk, write_openpose, write_trc
from scipy.io import savemat
from test_sources_angles import coordinates, write_table
from test_sources_forces import series

from gaitkeeper_client.lab.options import NOTHING_SAID, ReadOptions
from gaitkeeper_client.lab.readers import FORCE_READERS, READERS, force_reader_of, reader_of
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS

Write = Callable[[Path, JointTrajectories], Path]
TRUTH = walk(4.0)
SHORT = walk(1.2)


def write_mot(path: Path, trajectories: JointTrajectories) -> Path:
    """Joint angles of OpenSim."""
    return write_table(path, coordinates(trajectories))


def write_grf(path: Path, trajectories: JointTrajectories) -> Path:
    """Forces of OpenSim for as long as the walk lasts; no force where an ankle is not seen."""
    forces = series(max(0.05, float(trajectories.time_s[-1])), rate=RATE_HZ)
    seen = np.isfinite(trajectories.positions[:, JOINT_INDEX["left_ankle"]]).all(axis=1)[: forces.time_s.size]
    columns = {"time": forces.time_s}
    for column, side in enumerate("lr"):
        columns |= {f"ground_force_{side}_v{axis}": np.zeros(forces.time_s.size) for axis in "xz"}
        columns[f"ground_force_{side}_vy"] = np.where(seen, 700.0 * forces.force[:, column], np.nan)
    return write_table(path, columns)


def write_mat(path: Path, trajectories: JointTrajectories) -> Path:
    """gaitndd's forces, missing where an ankle is not seen."""
    forces = series(max(0.05, float(trajectories.time_s[-1])))
    seen = np.isfinite(trajectories.positions[:, JOINT_INDEX["left_ankle"]]).all(axis=1)
    known = np.interp(forces.time_s, trajectories.time_s, seen.astype(float)) > 0.5
    savemat(path, {"val": np.where(known, np.round(2000 * forces.force.T - 1800), -32768).astype(np.int16)})
    return path


def write_gaitpdb(path: Path, trajectories: JointTrajectories) -> Path:
    """gaitpdb's text."""
    forces = series(max(0.05, float(trajectories.time_s[-1])), rate=RATE_HZ)
    rows = np.concatenate([forces.time_s[:, None], np.zeros((forces.time_s.size, 16)), 700.0 * forces.force], axis=1)
    path.write_text("\n".join("\t".join(f"{value:.4f}" for value in row) for row in rows) + "\n")
    return path


def write_times(path: Path, trajectories: JointTrajectories) -> Path:
    """gaitndd's stride times."""
    row = "{:.2f} 1.1 1.2 .4 .5 36 41 .7 .71 64 59 .3 27"
    path.write_text("\n".join(row.format(20.0 + 1.1 * n) for n in range(int(trajectories.time_s[-1] / 1.1) + 1)) + "\n")
    return path


KINDS: dict[str, tuple[str, Write]] = {
    **WRITERS,
    "mot": ("walk.mot", write_mot),
    "mot-forces": ("grf.mot", write_grf),
    "gaitndd": ("walk.mat", write_mat),
    "gaitpdb": ("forces.txt", write_gaitpdb),
    "gaitndd-times": ("walk.ts", write_times),
}
POINTS = [name for name in KINDS if name not in ("mot-forces", "gaitndd", "gaitpdb", "gaitndd-times", "mot")]
FILES = [name for name in KINDS if name != "openpose"]


def options_for(path: Path) -> ReadOptions:
    if "landmarks" in path.name:
        return ReadOptions(size_px=(WIDTH_PX, HEIGHT_PX))
    rate_is_missing = "dlc" in path.name or "several" in path.name or path.is_dir()
    return ReadOptions(rate_hz=RATE_HZ) if rate_is_missing else NOTHING_SAID


def outcome(path: Path) -> str:
    """``analysed``, the code of a refusal, or the code of an error; anything else is a failure of the suite."""
    try:
        analysis = analyse_file(path, options=options_for(path))
    except GaitkeeperError as error:
        return error.code if error.exit_status in (2, 3) and error.remedy else f"wrong status: {error}"
    json.dumps(analysis.to_json(), allow_nan=False)
    return analysis.status if analysis.status == "analysed" else analysis.reasons[0].code


def test_no_kind_of_source_is_missing() -> None:
    kinds = {name.removesuffix("-h5").removesuffix("-several") for name in KINDS}
    assert {reader.kind for reader in READERS} | {reader.kind for reader in FORCE_READERS} == kinds


@pytest.mark.parametrize("name", [name for name in KINDS if name != "bvh"])
def test_a_good_file_is_known_and_analysed(tmp_path: Path, name: str) -> None:
    file, write = KINDS[name]
    path = write(tmp_path / file, TRUTH)
    known = reader_of(path) or force_reader_of(path)
    assert known is not None
    assert known.kind == name.removesuffix("-h5").removesuffix("-several")
    analysis = analyse_file(path, options=options_for(path))
    assert analysis.status == "analysed", analysis.reasons
    assert analysis.source["kind"] == known.kind
    assert len(str(analysis.source["sha256"])) == 64
    cadence = analysis.parameters["cadence"].value or 0.0
    # The forces walk at 1.1 s a stride, the stride times at 1.15 s; all points are one and the same walk.
    expected = {"gaitndd-times": 120 / 1.15}.get(name, 120 / 1.1 if name not in (*POINTS, "mot") else 104.0)
    assert cadence == pytest.approx(expected, rel=0.015)


@pytest.mark.parametrize("name", ["trc", "mot", "deeplabcut", "mot-forces", "gaitndd"])
def test_a_clip_too_short_lists_its_events_and_refuses(tmp_path: Path, name: str) -> None:
    file, write = KINDS[name]
    path = write(tmp_path / file, SHORT)
    analysis = analyse_file(path, options=options_for(path))
    assert analysis.status == "refused"
    assert all(parameter.value is None for parameter in analysis.parameters.values())
    assert analysis.events
    assert all(-0.01 <= event.time_s <= 1.3 for event in analysis.events)


@pytest.mark.parametrize("name", FILES)
def test_an_empty_file_and_one_of_rubbish_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / KINDS[name][0]
    for content in (b"", b"\n\n", b"\0" * 2000, b"hello world\n" * 50, bytes(range(256)) * 8):
        path.write_bytes(content)
        assert outcome(path) in (
            "video-empty",
            "lab-file-empty",
            "lab-file-broken",
            "source-unknown",
            "not-a-video",
            "pose-rate-needed",
        )


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_is_refused_or_shorter(tmp_path: Path, name: str) -> None:
    file, write = KINDS[name]
    path = write(tmp_path / file, SHORT)
    whole = path.read_bytes()
    for share in (0.01, 0.5, 0.97):
        path.write_bytes(whole[: int(len(whole) * share)])
        assert outcome(path) != "analysed"


@pytest.mark.parametrize("name", [*POINTS, "mot-forces", "gaitndd"])
def test_nobody_is_refused(tmp_path: Path, name: str) -> None:
    if name == "bvh":
        pytest.skip("a BVH file has no way of saying that a joint was not seen")
    file, write = KINDS[name]
    nothing = JointTrajectories(SHORT.time_s, SHORT.positions * np.nan, "m", SHORT.confidence * 0.0)
    refusals = ("lab-nothing-seen", "lab-points-missing", "no-person", "lab-file-broken", "not-walking")
    folder = tmp_path / file
    assert outcome(write(folder, nothing)) in refusals


@pytest.mark.parametrize("name", POINTS)
def test_one_leg_is_no_walk(tmp_path: Path, name: str) -> None:
    if name == "bvh":
        pytest.skip("a BVH file has no way of saying that a joint was not seen")
    file, write = KINDS[name]
    positions = TRUTH.positions.copy()
    for joint in ("knee", "ankle", "heel", "toe"):
        positions[:, JOINT_INDEX[f"right_{joint}"]] = np.nan
    one_leg = JointTrajectories(TRUTH.time_s, positions, "m", TRUTH.confidence)
    assert outcome(write(tmp_path / file, one_leg)) in (
        "lab-points-missing", "lab-points-unseen", "pose-points-unknown", "no-person", "not-walking", "feet-missing",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["motive-csv", "landmark-csv"])
def test_a_gap_longer_than_is_filled_makes_no_step(tmp_path: Path, name: str) -> None:
    file, write = KINDS[name]
    positions = TRUTH.positions.copy()
    positions[150:230] = np.nan
    path = write(tmp_path / file, JointTrajectories(TRUTH.time_s, positions, "m", TRUTH.confidence))
    analysis = analyse_file(path, options=options_for(path))
    inside = [event for event in analysis.events if 1.6 < event.time_s < 2.2]
    assert not inside
    for parameter in analysis.parameters.values():
        assert parameter.value is None or math.isfinite(parameter.value)


@pytest.mark.parametrize(("name", "old", "new"), [("c3d", b"mm", b"m "), ("trc", b"\tmm\t", b"\tcm\t")])
def test_a_wrong_unit_is_noticed(tmp_path: Path, name: str, old: bytes, new: bytes) -> None:
    file, write = KINDS[name]
    path = write(tmp_path / file, SHORT)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    assert outcome(path) == "lab-unit-contradiction"


@pytest.mark.parametrize("name", ["trc", "motive-csv", "bvh", "deeplabcut", "landmark-csv"])
def test_unknown_names_are_said(tmp_path: Path, name: str) -> None:
    file, write = KINDS[name]
    path = write(tmp_path / file, SHORT)
    text = path.read_text()
    for word in ("KNE", "Shin", "Leg", "knee"):
        text = text.replace(word, "Q")
    path.write_text(text)
    assert outcome(path) in ("lab-points-missing", "pose-points-unknown")


def test_two_people_who_cross_stay_who_they_are(tmp_path: Path) -> None:
    one, other = walk(4.0), walk(4.0)
    positions = other.positions.copy()
    middle = float(np.nanmean(one.positions[..., 0]))
    positions[..., 0] = 2.0 * middle - positions[..., 0]  # towards the first, and past
    mirrored = positions.copy()
    for joint, index in JOINT_INDEX.items():
        side, _, part = joint.partition("_")
        if part:
            mirrored[:, index] = positions[:, JOINT_INDEX[f"{'right' if side == 'left' else 'left'}_{part}"]]
    mirrored[..., 2] += 0.06  # a little farther away, a little higher in the picture
    towards = JointTrajectories(other.time_s, mirrored, "m", other.confidence)
    folders = [write_openpose(tmp_path / name, who) for name, who in (("one", one), ("other", towards))]
    both = tmp_path / "both"
    both.mkdir()
    for number, path in enumerate(sorted(folders[0].iterdir())):
        people = [json.loads((folder / path.name).read_text())["people"] for folder in folders]
        walkers = [group[0] if number % 2 else group[1] for group in people]
        points = [np.array(person["pose_keypoints_2d"]).reshape(-1, 3) for person in walkers]
        content = {"people": [{"pose_keypoints_2d": one.ravel().tolist()} for one in points]}
        (both / path.name).write_text(json.dumps(content))
    rate = ReadOptions(rate_hz=RATE_HZ)
    crossing = analyse_file(both, options=rate)
    assert crossing.status == "analysed"
    assert "2 people are in the file" in crossing.source["notes"][0]
    assert crossing.parameters["cadence"].value == pytest.approx(104.0, rel=0.015)
    ways = {walk["direction"] for walk in crossing.quality["straight_walks"]}
    assert len(ways) == 1, "the walker turned into the other when they met"


def test_an_openpose_folder_with_gaps_and_one_with_nobody(tmp_path: Path) -> None:
    folder = write_openpose(tmp_path / "op", TRUTH)
    for number in (30, 31, 32, 200, 201):
        (folder / f"walk_{number:012d}_keypoints.json").unlink()
    analysis = analyse_file(folder, options=ReadOptions(rate_hz=RATE_HZ))
    assert analysis.status == "analysed"
    assert any("5 of 401 frames have no file" in note for note in analysis.source["notes"])
    for number in range(100, 180):
        (folder / f"walk_{number:012d}_keypoints.json").unlink()
    (why,) = analyse_file(folder, options=ReadOptions(rate_hz=RATE_HZ)).reasons
    assert (why.code, "out of sight for 0.8" in why.message) == ("too-few-cycles", True)
    for path in folder.iterdir():
        path.write_text('{"people": []}')
    assert outcome(folder) == "no-person"
    assert outcome(tmp_path) == "source-folder"


@pytest.mark.parametrize("name", ["mot", "mot-forces", "gaitndd", "gaitpdb", "gaitndd-times", "gaitkit-json"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(data=st.data())
def test_changed_and_cut_bytes_are_read_or_refused(tmp_path: Path, name: str, data: st.DataObject) -> None:
    file, write = KINDS[name]
    path = tmp_path / file
    if not (tmp_path / "whole").exists():
        (tmp_path / "whole").write_bytes(write(path, walk(0.6)).read_bytes())
    whole = bytearray((tmp_path / "whole").read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(1, len(whole)))])
    reader = reader_of(path) or force_reader_of(path)
    if reader is None:
        return
    try:
        found = reader.read(path, NOTHING_SAID) if reader in READERS else reader.read(path)  # type: ignore[call-arg, arg-type]
    except GaitkeeperError as error:
        found = error.exit_status
    assert found is not None


def test_values_that_are_not_numbers_in_a_good_file(tmp_path: Path) -> None:
    path = write_trc(tmp_path / "walk.trc", TRUTH)
    lines = path.read_text().splitlines()
    for row, word in ((50, "nan"), (51, "NaN"), (52, "inf"), (53, "")):
        cells = lines[row].split("\t")
        cells[5:8] = [word] * 3
        lines[row] = "\t".join(cells)
    path.write_text("\n".join(lines) + "\n")
    assert outcome(path) == "analysed"
    path.write_text("\n".join(lines).replace("inf", "oops", 1) + "\n")
    assert outcome(path) == "lab-file-broken"


def test_every_joint_has_a_name_in_the_suite() -> None:
    assert set(JOINTS) == set(JOINT_INDEX)


def test_a_skeleton_without_feet_is_measured_by_its_ankles(tmp_path: Path) -> None:
    whole = analyse_file(KINDS["trc"][1](tmp_path / "whole.trc", TRUTH))
    for name, left_out in (("deeplabcut", ("heel", "toe")), ("trc", ("heel", "toe")), ("bvh", ("nothing",))):
        # The suite's BVH has no feet.
        file, write = KINDS[name]
        positions = TRUTH.positions.copy()
        for index, joint in enumerate(JOINTS):
            if joint.endswith(left_out):
                positions[:, index] = np.nan
        path = write(tmp_path / file, JointTrajectories(TRUTH.time_s, positions, "m", TRUTH.confidence))
        analysis = analyse_file(path, options=options_for(path))
        assert analysis.status == "analysed"
        assert analysis.quality["feet_seen"] is False
        told = [analysis.parameters["cadence"].value, whole.parameters["cadence"].value]
        assert told[0] == pytest.approx(told[1], rel=0.01)
        refused = analysis.parameters["ankle_range_left"].refused
        assert refused is not None
        assert refused.code == "feet-missing"


@pytest.mark.parametrize("name", ["deeplabcut", "trc"])
def test_heels_are_made_where_there_are_none(tmp_path: Path, name: str) -> None:
    file, write = KINDS[name]
    positions = TRUTH.positions.copy()
    heels = [JOINT_INDEX["left_heel"], JOINT_INDEX["right_heel"]]
    positions[:, heels] = np.nan
    path = write(tmp_path / file, JointTrajectories(TRUTH.time_s, positions, "m", TRUTH.confidence))
    whole = write(tmp_path / f"whole_{file}", TRUTH)
    expected, made = (analyse_file(one, options=options_for(one)) for one in (whole, path))
    assert made.status == "analysed"
    assert "heels" in made.source["notes"][-1]
    for event in expected.events:
        same = [e.time_s for e in made.events if (e.side, e.type) == (event.side, event.type)]
        assert min(abs(time_s - event.time_s) for time_s in same) < 0.05
