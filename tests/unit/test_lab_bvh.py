"""BVH: joint positions as a laboratory would measure them, or an error that names what is wrong with the file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gaitkeeper_client.lab.bvh import read_bvh
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import joint, joint_angles, leg_length, midpoint, sagittal_plane
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

DATA = Path(os.environ.get("GAITKEEPER_DATA", Path(__file__).parents[3] / "shared" / "data")) / "clinic-bvh"
WALKS = sorted(DATA.glob("*.bvh"))

LEG = """ROOT Hips {{ OFFSET 0 0 0 CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
{legs} JOINT Chest {{ OFFSET 0 {trunk} 0 CHANNELS 3 Zrotation Xrotation Yrotation End Site {{ OFFSET 0 9 0 }} }} }}"""
SIDE = """JOINT {side}UpLeg {{ OFFSET {x} 0 0 CHANNELS 3 Zrotation Xrotation Yrotation
JOINT {side}Leg {{ OFFSET 0 -{thigh} 0 CHANNELS 3 Zrotation Xrotation Yrotation
JOINT {side}Foot {{ OFFSET 0 -{shank} 0 CHANNELS 3 Zrotation Xrotation Yrotation
End Site {{ OFFSET 0 -{drop} {foot} }} }} }} }}"""


def small_bvh(path: Path, unit: float = 100.0, knee: float = 0.0, turn: float = 0.0) -> Path:
    """Two frames of a person who stands along +z, y up, one knee bent by ``knee`` and turned by ``turn`` degrees."""
    sides = {"Left": 0.1 * unit, "Right": -0.1 * unit}
    size = {"thigh": 0.44 * unit, "shank": 0.42 * unit, "drop": 0.06 * unit, "foot": 0.18 * unit}
    legs = "\n".join(SIDE.format(side=side, x=x, **size) for side, x in sides.items())
    root = [0.0, 0.92 * unit, 0.0, 0.0, 0.0, turn]
    still = [0.0] * 3
    frame = [*root, *still, 0.0, knee, 0.0, *still, *still, *still, *still, *still]
    motion = "\n".join(" ".join(map(str, frame)) for _ in range(2))
    hierarchy = LEG.format(legs=legs, trunk=0.5 * unit)
    path.write_text(f"HIERARCHY\n{hierarchy}\nMOTION\nFrames: 2\nFrame Time: 0.01\n{motion}\n")
    return path


def forward_up(positions: FloatArray) -> FloatArray:
    hips = midpoint(positions, "hip")
    heading = (hips[-1] - hips[0])[:2]
    return sagittal_plane(positions, (float(heading[0]), float(heading[1])))


@pytest.mark.parametrize("unit", [1.0, 100.0, 1000.0, 1 / 0.0254])
def test_positions_by_hand_in_every_unit(tmp_path: Path, unit: float) -> None:
    points = read_bvh(small_bvh(tmp_path / "a.bvh", unit, knee=90.0)).positions[0]
    at = {name: points[JOINT_INDEX[name]] for name in ("left_hip", "left_knee", "left_ankle", "right_ankle")}
    # BVH (x left, y up, z forward) becomes (forward, left, up).
    np.testing.assert_allclose(at["left_hip"], [0.0, 0.1, 0.92], atol=1e-9)
    np.testing.assert_allclose(at["left_knee"], [0.0, 0.1, 0.48], atol=1e-9)
    np.testing.assert_allclose(at["left_ankle"], [-0.42, 0.1, 0.48], atol=1e-9)  # bent by 90 degrees, backwards
    np.testing.assert_allclose(at["right_ankle"], [0.0, -0.1, 0.06], atol=1e-9)
    heel, toe = points[JOINT_INDEX["right_heel"]], points[JOINT_INDEX["right_toe"]]
    np.testing.assert_allclose(toe, [0.18, -0.1, 0.0], atol=1e-9)
    np.testing.assert_allclose(heel, [-0.06, -0.1, 0.0], atol=1e-9)


def test_a_turned_person_keeps_left_and_right(tmp_path: Path) -> None:
    points = read_bvh(small_bvh(tmp_path / "a.bvh", turn=90.0)).positions[0]
    np.testing.assert_allclose(points[JOINT_INDEX["left_hip"]], [-0.1, 0.0, 0.92], atol=1e-9)
    np.testing.assert_allclose(points[JOINT_INDEX["left_toe"]], [-0.1, 0.18, 0.0], atol=1e-9)


def test_points_that_a_file_lacks_are_nan(tmp_path: Path) -> None:
    trajectories = read_bvh(small_bvh(tmp_path / "a.bvh"))
    for name in ("nose", "left_wrist", "right_shoulder"):
        assert np.isnan(trajectories.positions[:, JOINT_INDEX[name]]).all()
        assert (trajectories.confidence[:, JOINT_INDEX[name]] == 0.0).all()


@pytest.mark.skipif(not WALKS, reason=f"no recordings in {DATA}")
def test_all_clinical_walks_are_walks() -> None:
    assert len(WALKS) == 64
    for path in WALKS:
        trajectories = read_bvh(path)
        positions = trajectories.positions
        assert trajectories.sample_rate_hz == pytest.approx(60.0, abs=0.01)
        assert 0.75 < leg_length(positions) < 1.0, path.name
        hips = midpoint(positions, "hip")
        travel = (hips[-1] - hips[0])[:2]
        assert np.linalg.norm(travel) > 1.5, path.name
        ahead = travel / np.linalg.norm(travel)
        to_left = (joint(positions, "left_hip") - joint(positions, "right_hip"))[:, :2] @ [-ahead[1], ahead[0]]
        assert np.median(to_left) > 0.1, f"{path.name}: left is not left of the direction of travel"
        angles = joint_angles(forward_up(positions))
        for side in SIDES:
            knee = angles[f"knee_flexion_{side}"]
            assert np.percentile(knee, 5) > -10.0, path.name
            assert 40.0 < np.percentile(knee, 98) < 95.0, path.name
            assert abs(np.median(angles[f"ankle_dorsiflexion_{side}"])) < 30.0, path.name
            foot = joint(forward_up(positions), f"{side}_toe") - joint(forward_up(positions), f"{side}_heel")
            assert np.median(foot[:, 0]) > 0.15, f"{path.name}: the feet do not point ahead"
        lowest = min(float(np.nanmin(joint(positions, f"{side}_toe")[:, 2])) for side in SIDES)
        assert -0.1 < lowest < 0.15, f"{path.name}: the feet are not near the floor"


@pytest.mark.skipif(not WALKS, reason=f"no recordings in {DATA}")
def test_bones_of_clinical_walks_keep_their_length() -> None:
    rigid = ("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("ankle", "heel")
    for path in WALKS[::5]:
        positions = read_bvh(path).positions
        for start, end in rigid:
            bone = joint(positions, f"left_{start}") - joint(positions, f"left_{end}")
            assert float(np.ptp(np.linalg.norm(bone, axis=1))) < 1e-6, (path.name, start, end)


def _change(text: str, what: str) -> str:
    lines = text.splitlines()
    return {
        "empty": "",
        "other": "ply\nformat ascii 1.0\n",
        "no motion": text.split("MOTION")[0],
        "cut frame": text[: text.rindex(" ", 0, len(text) - 5)],
        "cut frames": "\n".join(lines[:-1]),
        "too many frames": text + lines[-1] + "\n",
        "not a number": text.replace("92.0", "ninety", 1),
        "nan": text.replace("92.0", "nan", 1),
        "huge": text.replace("92.0", "9e99", 1),
        "no time": text.replace("0.01", "0"),
        "negative frames": text.replace("Frames: 2", "Frames: -2"),
        "unclosed": text.replace("}", "", 1),
        "closed twice": text.replace("}", "} }", 1),
        "unknown channel": text.replace("Zrotation", "Wrotation", 1),
        "channel twice": text.replace("Zrotation Xrotation", "Zrotation Zrotation", 1),
        "channel count": text.replace("CHANNELS 3", "CHANNELS 7", 1),
        "offset": text.replace("OFFSET 0 -44.0 0", "OFFSET 0 -44.0", 1),
        "joint before root": text.replace("ROOT", "JOINT", 1),
    }[what]


BROKEN = [
    "empty", "other", "no motion", "cut frame", "cut frames", "too many frames", "not a number", "nan", "huge",
    "no time", "negative frames", "unclosed", "closed twice", "unknown channel", "channel twice", "channel count",
    "offset", "joint before root",
]  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_broken_files_are_named(tmp_path: Path, what: str) -> None:
    path = small_bvh(tmp_path / "a.bvh")
    changed = _change(path.read_text(), what)
    assert changed != path.read_text(), "the change must be one"
    path.write_text(changed)
    with pytest.raises(GaitkeeperError) as caught:
        read_bvh(path)
    assert caught.value.code == "lab-file-broken"
    assert caught.value.exit_status == 2


def test_other_bad_files_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "gone.bvh"
    for path, code in (
        (missing, "lab-file-unreadable"),
        (tmp_path, "lab-file-unreadable"),
        (small_bvh(tmp_path / "giant.bvh", unit=7.0), "lab-unit-unknown"),
    ):
        with pytest.raises(GaitkeeperError) as caught:
            read_bvh(path)
        assert caught.value.code == code
    legless = small_bvh(tmp_path / "legless.bvh")
    legless.write_text(legless.read_text().replace("LeftUpLeg", "Tail"))
    with pytest.raises(GaitkeeperError, match="left hip"):
        read_bvh(legless)
    legless.write_bytes(b"\xff\xfe" + bytes(range(256)))
    with pytest.raises(GaitkeeperError, match="not text"):
        read_bvh(legless)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(st.data())
def test_a_cut_or_changed_file_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = small_bvh(tmp_path / "a.bvh")
    whole = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start, min(len(whole), start + 12)))
    whole[start:end] = data.draw(st.binary(max_size=6))
    path.write_bytes(whole)
    assert outcome(path) in ("read", "exit 2")


def outcome(path: Path) -> str:
    try:
        read_bvh(path)
    except GaitkeeperError as error:
        return f"exit {error.exit_status}"
    return "read"
