"""Laboratory files as other programs really write them: the same walk, or what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from lab_fixtures import (
    HEIGHT_PX,
    PLUG_IN_GAIT,
    RATE_HZ,
    WIDTH_PX,
    markers_of,
    walk,
    write_bvh,
    write_c3d,
    write_dlc,
    write_landmarks,
    write_motive,
    write_trc,
    y_up,
)
from test_lab_c3d import Writer

from gaitkeeper_client.lab.c3d import read_c3d
from gaitkeeper_client.lab.c3d_file import read_c3d_file
from gaitkeeper_client.lab.mot import read_mot
from gaitkeeper_client.lab.motive import read_motive, read_motive_markers
from gaitkeeper_client.lab.options import NOTHING_SAID, ReadOptions
from gaitkeeper_client.lab.plate_table import read_plate_table
from gaitkeeper_client.lab.readers import read_walk
from gaitkeeper_client.lab.trc import read_trc
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

TRUTH = walk(1.0)
RATE = ReadOptions(rate_hz=RATE_HZ)
SIZED = replace(RATE, size_px=(WIDTH_PX, HEIGHT_PX))


def refusal(path: Path, options: ReadOptions = NOTHING_SAID) -> GaitkeeperError:
    """What is wrong with a file, from the door inwards."""
    with pytest.raises(GaitkeeperError) as caught:
        analyse_file(path, options=options)
    assert caught.value.exit_status in (2, 3)
    return caught.value


def code(path: Path, options: ReadOptions = NOTHING_SAID) -> str:
    """The code of that."""
    return refusal(path, options).code


def knee(trajectories: JointTrajectories, side: str = "left") -> FloatArray:
    """(T,) between thigh and shank in degrees, whatever the axes and the unit."""
    hip, middle, ankle = (trajectories.positions[:, JOINT_INDEX[f"{side}_{what}"]] for what in ("hip", "knee", "ankle"))
    thigh, shank = middle - hip, ankle - middle
    cosine = (thigh * shank).sum(axis=1) / np.linalg.norm(thigh, axis=1) / np.linalg.norm(shank, axis=1)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def rewritten(path: Path, old: str, new: str, encoding: str = "utf-8") -> Path:
    text = path.read_text()
    assert old in text
    path.write_bytes(text.replace(old, new).encode(encoding))
    return path


# Text of other machines


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig", "utf-8"])
def test_text_in_the_ways_of_windows(tmp_path: Path, encoding: str) -> None:
    path = rewritten(write_trc(tmp_path / "walk.trc", TRUTH), "walk.trc\n", "C:\\Müller\\walk.trc\r\n", encoding)
    np.testing.assert_allclose(knee(read_trc(path).trajectories), knee(TRUTH), atol=0.01)


@pytest.mark.parametrize("word", ["-1.#IND00", "1.#QNAN", "nan", "", "0.00000"])
def test_a_marker_that_was_not_seen_in_the_words_of_every_library(tmp_path: Path, word: str) -> None:
    path = write_trc(tmp_path / "walk.trc", TRUTH)
    lines = path.read_text().splitlines()
    column = lines[3].split("\t").index("LKNE")
    cells = lines[20].split("\t")
    cells[column : column + 3] = [word] * 3
    path.write_text("\n".join([*lines[:20], "\t".join(cells), *lines[21:]]) + "\n")
    seen = np.isfinite(read_trc(path).trajectories.positions[:, JOINT_INDEX["left_knee"], 0])
    assert np.flatnonzero(~seen).tolist() == [14]


MOT = "walk\ninDegrees=yes\nendheader\ntime\tknee_angle_l\n0\t-5.5\n0.1\t-60.5\n"
FORCES = "[Force Data]\nSampleRate=600.00\nNumberOfSamples=2\n# FX1 FY1 FZ1 X1 Y1 Z1\n1 0.5 2 3 4 5\n2 0 2 3 4 5\n"


@pytest.mark.parametrize(
    ("write", "read", "line"),
    [
        (write_trc, read_trc, 7),
        (write_bvh, read_walk, 109),
        (write_motive, read_walk, 8),
        (write_dlc, partial(read_walk, options=RATE), 4),
        (write_landmarks, partial(read_walk, options=ReadOptions(size_px=SIZED.size_px)), 2),
        (lambda path, _: path.write_text(MOT), read_mot, 5),
        (lambda path, _: path.write_text(FORCES), read_plate_table, 2),
        (lambda path, _: path.write_text(FORCES.replace("600.00", "600")), read_plate_table, 5),
    ],
)
def test_decimal_commas_are_named_with_what_to_do(
    tmp_path: Path, write: Callable[[Path, JointTrajectories], object], read: Callable[[Path], object], line: int
) -> None:
    suffix = {write_trc: ".trc", write_bvh: ".bvh"}.get(write, ".csv")
    path = tmp_path / f"walk{suffix}"
    write(path, TRUTH)
    read(path)
    path.write_text(re.sub(r"(\d)\.(\d)", r"\1,\2", path.read_text()))
    with pytest.raises(GaitkeeperError) as caught:
        read(path)
    assert (caught.value.code, caught.value.values["line"]) == ("lab-decimal-comma", line)
    assert "decimal points" in caught.value.remedy


@pytest.mark.parametrize("write", [write_dlc, write_landmarks])
def test_a_row_that_is_merely_too_long_is_not_laid_to_decimal_commas(
    tmp_path: Path, write: Callable[[Path, JointTrajectories], Path]
) -> None:
    path = write(tmp_path / "walk.csv", TRUTH)
    path.write_text(path.read_text().rstrip() + ",1,2,3\n")
    assert code(path, SIZED) == "lab-file-broken"


def test_tabs_that_became_spaces_are_named(tmp_path: Path) -> None:
    path = write_trc(tmp_path / "walk.trc", TRUTH)
    path.write_text(path.read_text().replace("\t", "    "))
    with pytest.raises(GaitkeeperError, match="separated by tabs"):
        read_trc(path)


def test_a_c3d_that_ends_in_its_header_is_one_that_was_cut_off(tmp_path: Path) -> None:
    path = write_c3d(tmp_path / "walk.c3d", TRUTH)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(GaitkeeperError, match="ends after 600 bytes"):
        read_c3d(path)


@pytest.mark.parametrize("order", [(3, 2, 4, 5), (5, 4, 3, 2), (3, 4, 2, 5)])
def test_motive_s_rows_of_names_in_another_order_are_refused(tmp_path: Path, order: tuple[int, ...]) -> None:
    path = write_motive(tmp_path / "walk.csv", TRUTH)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], *(lines[row] for row in order), *lines[6:]]) + "\n")
    with pytest.raises(GaitkeeperError, match="order: type, name"):
        read_motive(path)


def test_decimal_commas_are_read_behind_semicolons(tmp_path: Path) -> None:
    path = write_motive(tmp_path / "walk.csv", TRUTH)
    whole = knee(read_motive(path).trajectories)
    path.write_text(path.read_text().replace(",", ";").replace(".", ","))
    np.testing.assert_allclose(knee(read_motive(path).trajectories), whole)


# Markers that are not joints, people who are not each other


def with_wands(trajectories: JointTrajectories) -> JointTrajectories:
    """The walk with markers in the middle of the thigh and of the shank in the place of hip and knee."""
    positions = trajectories.positions.copy()
    for side in SIDES:
        hip, middle, ankle = (trajectories.positions[:, JOINT_INDEX[f"{side}_{w}"]] for w in ("hip", "knee", "ankle"))
        positions[:, JOINT_INDEX[f"{side}_hip"]] = 0.5 * (hip + middle)
        positions[:, JOINT_INDEX[f"{side}_knee"]] = 0.5 * (middle + ankle)
    return replace(trajectories, positions=positions)


def motive_with_markers(path: Path) -> Path:
    """Motive's skeleton, its bones preceded by markers that bear their names and sit elsewhere."""
    bones = write_motive(path, TRUTH).read_text().splitlines()
    markers = write_motive(path, with_wands(TRUTH)).read_text().splitlines()
    lines = []
    for number, (marker, bone) in enumerate(zip(markers, bones, strict=True)):
        cells = marker.split(",")
        cells[2:] = ["Marker" if cell == "Bone" else cell for cell in cells[2:]]
        lines.append(bone if number < 2 else ",".join([*cells, *bone.split(",")[2:]]))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_marker_with_a_bone_s_name_is_not_the_joint(tmp_path: Path) -> None:
    path = motive_with_markers(tmp_path / "walk.csv")
    np.testing.assert_allclose(knee(read_motive(path).trajectories), knee(TRUTH), atol=0.01)
    path.write_text(path.read_text().replace("Bone", "Marker"))
    assert code(path) == "lab-points-missing"


def test_motive_s_time_code_local_axes_and_parents(tmp_path: Path) -> None:
    path = write_motive(tmp_path / "walk.csv", TRUTH)
    lines = path.read_text().splitlines()
    coded = [lines[0], ""]
    for number, line in enumerate(lines[2:]):
        cells = line.split(",")
        coded.append(",".join([*cells[:2], "TimeCode" if number == 4 else "15:26:46:12.02" * (number > 4), *cells[2:]]))
    coded.insert(5, ",Parent" + "," * 20)
    path.write_text("\n".join(coded) + "\n")
    markers = read_motive_markers(path)
    assert len(markers.bones) == len(markers.names) == 12
    np.testing.assert_allclose(knee(read_motive(path).trajectories), knee(TRUTH), atol=0.01)
    assert code(rewritten(path, "Space,Global", "Space,Local")) == "lab-file-broken"


@pytest.mark.parametrize("lacking", ["", "Anna:LKNE"])
def test_nobody_walks_on_another_s_knee(tmp_path: Path, lacking: str) -> None:
    own = {f"Ben:{name}": track for name, track in markers_of(TRUTH, PLUG_IN_GAIT).items()}
    stands = {
        f"Anna:{name}": np.repeat(track[:1] + np.array([0, 0.9, 0]), len(track), 0)
        for name, track in markers_of(TRUTH, PLUG_IN_GAIT).items()
    }
    tracks = {name: y_up(track) * 1000.0 for name, track in (stands | own).items() if name != lacking}
    path = trc_of(tmp_path / "two.trc", tracks, "mm")
    walked = read_trc(path)
    np.testing.assert_allclose(knee(walked.trajectories), knee(TRUTH), atol=0.01)
    assert any("number 2, who walks most" in note for note in walked.notes)
    assert knee(read_trc(path, person="Ben").trajectories).std() > 5.0
    if not lacking:
        assert knee(read_trc(path, person="1").trajectories).std() < 0.01
    with pytest.raises(GaitkeeperError, match="1 Anna, 2 Ben"):
        read_trc(path, person="Carl")


def trc_of(path: Path, tracks: dict[str, FloatArray], unit: str) -> Path:
    """A TRC of any markers, y up."""
    count = TRUTH.time_s.size
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits",
        f"{RATE_HZ:g}\t{RATE_HZ:g}\t{count}\t{len(tracks)}\t{unit}",
        "Frame#\tTime\t" + "\t\t\t".join(tracks),
        "",
    ]
    for row, seconds in enumerate(TRUTH.time_s):
        cells = [f"{value:.6f}" for track in tracks.values() for value in track[row]]
        lines.append("\t".join([str(row + 101), f"{seconds + 1.0:.5f}", *cells]))
    path.write_text("\r\n".join(lines) + "\r\n")
    return path


SPORTS2D = {"hip": "Hip", "knee": "Knee", "ankle": "Ankle", "heel": "Heel", "toe": "BigToe", "shoulder": "Shoulder"}


@pytest.mark.parametrize(("unit", "scale", "upwards"), [("m", 1.0, 1.0), ("px", 400.0, 1.0), ("px", 400.0, -1.0)])
def test_points_of_a_picture_stay_in_their_plane(tmp_path: Path, unit: str, scale: float, upwards: float) -> None:
    flat = [scale, upwards * scale, 0.0]
    tracks = {name: y_up(track) * flat for name, track in markers_of(TRUTH, SPORTS2D).items()}
    walked = read_trc(trc_of(tmp_path / "walk.trc", tracks, unit))
    found = walked.trajectories
    assert (found.dimensions, found.unit) == (2, unit)
    toe = JOINT_INDEX["left_toe"]
    np.testing.assert_allclose(found.positions[:, toe], TRUTH.positions[:, toe][:, [0, 2]] * scale, atol=1e-4)
    assert any("in a plane" in note for note in walked.notes)


def test_sides_that_change_half_way_and_axes_that_are_tilted_are_refused(tmp_path: Path) -> None:
    tracks = {name: y_up(track) * 1000.0 for name, track in markers_of(TRUTH, PLUG_IN_GAIT).items()}
    other = {name: tracks["LR"["RL".index(name[0])] + name[1:]] for name in tracks}
    changed = {name: np.concatenate([track[:50], other[name][50:]]) for name, track in tracks.items()}
    assert code(trc_of(tmp_path / "changed.trc", changed, "mm")) == "lab-sides-change"
    for degrees, expected in ((10.0, None), (30.0, "lab-tilted")):
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.array([[1.0, 0.0, 0.0], [0.0, cosine, sine], [0.0, -sine, cosine]])
        path = trc_of(tmp_path / "tilted.trc", {name: track @ turn for name, track in tracks.items()}, "mm")
        if expected is None:
            assert read_trc(path).notes == ()
        else:
            assert code(path) == expected


def test_hips_of_a_pelvis_whose_unit_nobody_says(tmp_path: Path) -> None:
    tracks = {
        name: y_up(track) * 1000.0 for name, track in markers_of(TRUTH, PLUG_IN_GAIT).items() if "HJC" not in name
    }
    for side, out in (("left", 1.0), ("right", -1.0)):
        hip = TRUTH.positions[:, JOINT_INDEX[f"{side}_hip"]]
        tracks[f"{side[0].upper()}ASI"] = y_up(hip + np.array([0.09, 0.03 * out, 0.09])) * 1000.0
    path = trc_of(tmp_path / "walk.trc", tracks, "")
    with pytest.raises(GaitkeeperError, match="back of the pelvis"):
        read_trc(path)
    tracks["SACR"] = 0.5 * (tracks["LASI"] + tracks["RASI"]) + np.array([-160.0, 0.0, 0.0])
    found = read_trc(trc_of(path, tracks, "")).trajectories.positions
    for what in ("left_hip", "right_hip"):
        above = found[:, JOINT_INDEX[what], 2] - TRUTH.positions[:, JOINT_INDEX[what], 2]
        assert np.abs(above).max() < 0.03


# C3D


def test_more_frames_than_a_header_counts(tmp_path: Path) -> None:
    path = tmp_path / "long.c3d"
    table = np.zeros((66_000, 4), dtype="<i2")
    writer = Writer(84)
    writer.words("POINT", "USED", [1])
    writer.words("POINT", "FRAMES", [66_000 - 65_536])
    content = bytearray(writer.file(table[:2].astype(float), 1, 0, 1, 0.1)[: 512 * 2]) + table.tobytes()
    for last in (66_000 - 65_536, 65_535):
        content[8:10] = last.to_bytes(2, "little")
        path.write_bytes(content)
        assert len(read_c3d_file(path).points) == 66_000


@pytest.mark.parametrize("unsigned", [True, False])
def test_analog_samples_with_and_without_a_sign(tmp_path: Path, unsigned: bool) -> None:
    writer = Writer(84)
    writer.words("POINT", "USED", [1])
    writer.words("ANALOG", "USED", [1])
    writer.reals("ANALOG", "SCALE", np.array([0.5]))
    writer.words("ANALOG", "OFFSET", [-32768 if unsigned else 0])  # the bits of 32768
    if unsigned:
        writer.texts("ANALOG", "FORMAT", ["UNSIGNED"])
    values = np.array([-400.0, 0.0, 800.0])
    counts = (2.0 * values + (32768 if unsigned else 0)).astype(np.uint16 if unsigned else np.int16).view(np.int16)
    table = np.column_stack([np.zeros((3, 4)), counts])
    path = tmp_path / "walk.c3d"
    path.write_bytes(writer.file(table, 1, 1, 1, 0.1))
    np.testing.assert_allclose(read_c3d_file(path).analog[:, 0], values)


def test_events_of_a_trial_that_begins_late_and_of_no_side(tmp_path: Path) -> None:
    path = write_c3d(tmp_path / "walk.c3d", TRUTH)
    content = path.read_bytes().replace(b"Left", b"Gene")
    path.write_bytes(content)
    walked = read_c3d(path)
    assert [(event.side, event.type) for event in walked.events] == [("right", "foot_off")]
    assert any("name no side" in note for note in walked.notes)


# Angles


@pytest.mark.parametrize("said", ["inDegrees=yes\n", "inDegrees=no\n", ""])
@pytest.mark.parametrize("radians", [True, False])
def test_degrees_and_radians_are_told_by_the_knee(tmp_path: Path, said: str, radians: bool) -> None:
    angles = np.array([5.0, 60.0, 8.0]) * (np.pi / 180.0 if radians else 1.0)
    rows = "".join(f"{number / 10} {angle} {angle}\n" for number, angle in enumerate(angles))
    path = tmp_path / "ik.sto"
    path.write_text(f"ik\nversion=1\n{said}endheader\ntime knee_angle_l knee_angle_r\n{rows}")
    if said in ("", f"inDegrees={'no' if radians else 'yes'}\n"):
        assert read_mot(path).in_degrees is not radians
    else:
        with pytest.raises(GaitkeeperError) as caught:
            read_mot(path)
        assert caught.value.code == "lab-angle-unit"


def test_a_gap_in_the_pelvis_does_not_cost_the_height(tmp_path: Path) -> None:
    path = tmp_path / "ik.mot"
    head = "ik\ninDegrees=yes\nendheader\ntime pelvis_ty hip_flexion_l hip_flexion_r knee_angle_l knee_angle_r\n"
    rows = [f"{number / 100} {'nan' if number == 7 else 0.95} 0 0 {number} {40 - number}" for number in range(40)]
    path.write_text(head + "\n".join(rows) + "\n")
    assert "proportions for a height of 1." in read_walk(path).notes[0]


def test_angles_that_are_missing_or_never_known_are_named(tmp_path: Path) -> None:
    path = tmp_path / "ik.mot"
    path.write_text("ik\nendheader\ntime hip_flexion_r knee_angle_r\n0 1 2\n0.1 3 40\n")
    with pytest.raises(GaitkeeperError, match="hip_flexion_l, knee_angle_l"):
        read_walk(path)
    names = "hip_flexion_l hip_flexion_r knee_angle_l knee_angle_r"
    path.write_text(f"ik\nendheader\ntime {names}\n0 1 2 3 nan\n0.1 3 4 5 -1.#IND\n")
    with pytest.raises(GaitkeeperError, match=r"without: knee_angle_r\."):
        read_walk(path, ReadOptions(height_m=1.7))


# BVH


def renamed(path: Path, names: dict[str, str]) -> Path:
    """A small skeleton of legs, standing, under other names."""
    sides = "".join(
        f"JOINT {names[f'{side} hip']}\n{{ OFFSET {x} 0 0 CHANNELS 3 Zrotation Xrotation Yrotation\n"
        f"JOINT {names[f'{side} knee']}\n{{ OFFSET 0 -44 0 CHANNELS 3 Zrotation Xrotation Yrotation\n"
        f"JOINT {names[f'{side} ankle']}\n{{ OFFSET 0 -42 0 CHANNELS 3 Zrotation Xrotation Yrotation\n"
        f"JOINT {names[f'{side} ball']}\n{{ OFFSET 0 -6 14 CHANNELS 3 Zrotation Xrotation Yrotation\n"
        "End Site\n{ OFFSET 0 0 6 } } } } }\n"
        for side, x in (("left", 10), ("right", -10))
    )
    head = "HIERARCHY\nROOT Hips\n{ OFFSET 0 0 0 CHANNELS 3 Xposition Yposition Zposition\n"
    row = " ".join(["0"] * 27)
    path.write_text(f"\n{head}{sides}}}\nMOTION\nFrames: 2\nFrame Time: 0.01\n{row}\n{row}\n", encoding="utf-8-sig")
    return path


@pytest.mark.parametrize(
    "pattern",
    [
        {"hip": "{S}_Hip", "knee": "{S}_Knee", "ankle": "{S}_Ankle", "ball": "{S}_Foot"},
        {"hip": "{Side}Hip", "knee": "{Side}Knee", "ankle": "{Side}Ankle", "ball": "{Side}Foot"},
        {"hip": "thigh.{S}", "knee": "shin.{S}", "ankle": "foot.{S}", "ball": "toe.{S}"},
        {"hip": "thigh_{s}", "knee": "calf_{s}", "ankle": "foot_{s}", "ball": "ball_{s}"},
        {"hip": "Bip01 {S} Thigh", "knee": "Bip01 {S} Calf", "ankle": "Bip01 {S} Foot", "ball": "Bip01 {S} Toe0"},
        {"hip": "{Side}UpperLeg", "knee": "{Side}LowerLeg", "ankle": "{Side}Foot", "ball": "{Side}Toe"},
        {"hip": "mixamorig_{Side}UpLeg", "knee": "mixamorig_{Side}Leg"}
        | {"ankle": "mixamorig_{Side}Foot", "ball": "mixamorig_{Side}ToeBase"},
    ],
)
def test_skeletons_under_the_names_of_other_programs(tmp_path: Path, pattern: dict[str, str]) -> None:
    names = {
        f"{side} {what}": name.format(S=side[0].upper(), s=side[0], Side=side.title(), side=side)
        for side in SIDES
        for what, name in pattern.items()
    }
    found = read_walk(renamed(tmp_path / "walk.bvh", names)).trajectories.positions[0]
    for side, x in (("left", 0.1), ("right", -0.1)):
        expected = {"hip": (x, 0.0), "knee": (x, -0.44), "ankle": (x, -0.86), "toe": (x, -0.92)}
        across = [found[JOINT_INDEX[f"{side}_{what}"]] for what in expected]
        np.testing.assert_allclose([point[2] for point in across], [z for _, z in expected.values()], atol=1e-6)
        assert np.linalg.norm(across[3] - across[2]) == pytest.approx(np.hypot(0.2, 0.06))


def test_several_people_in_a_bvh_are_not_mixed(tmp_path: Path) -> None:
    names = {f"{side} {what}": f"{side}{what}" for side in SIDES for what in ("hip", "knee", "ankle", "ball")}
    path = renamed(tmp_path / "walk.bvh", names)
    head, motion = path.read_text("utf-8-sig").strip().split("MOTION")
    path.write_text(head + head.removeprefix("HIERARCHY\n") + "MOTION" + motion)
    with pytest.raises(GaitkeeperError, match="several skeletons"):
        read_walk(path)
