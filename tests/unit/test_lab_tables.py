"""Angle, force and foot-force tables by hand, and what is said of broken ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from gaitkeeper_client.lab.footforce import FootForces, read_gaitndd, read_gaitndd_times, read_gaitpdb
from gaitkeeper_client.lab.mot import ground_forces, joint_angles, read_mot
from gaitkeeper_shared.errors import GaitkeeperError

MOT = "walk\nversion=1\nnRows=3\nnColumns=3\ninDegrees={deg}\nendheader\ntime\tknee_angle_l\thip_flexion_r\n"


def code(read: Callable[[Path], Any], path: Path) -> str:
    with pytest.raises(GaitkeeperError) as caught:
        read(path)
    assert caught.value.exit_status == 2
    return caught.value.code


def test_angles_in_radians_and_of_old_models(tmp_path: Path) -> None:
    path = tmp_path / "a.mot"
    path.write_text(MOT.format(deg="no") + "1.00\t0.1\t0.5\n1.01\t1.0\t0.6\n1.02\t0.2\t0.7\n")
    table = read_mot(path)
    np.testing.assert_allclose(table.time_s, [0.0, 0.01, 0.02], atol=1e-12)
    np.testing.assert_allclose(joint_angles(table, path)["knee_flexion_left"], np.degrees([0.1, 1.0, 0.2]))
    path.write_text(MOT.format(deg="yes") + "0 -5 10\n0.1 -60 20\n0.2 -20 30\n")
    np.testing.assert_allclose(joint_angles(read_mot(path), path)["knee_flexion_left"], [5.0, 60.0, 20.0])


def test_forces_of_both_ways_of_naming(tmp_path: Path) -> None:
    path = tmp_path / "grf.mot"
    names = [f"ground_force_r_{what}{axis}" for what in "vp" for axis in "xyz"]
    path.write_text("grf\nendheader\ntime " + " ".join(names) + "\n0 1 2 3 4 5 6\n0.1 1 2 3 4 5 6\n")
    (plate,) = ground_forces(read_mot(path), path)
    assert (plate.name, plate.force[0].tolist(), plate.point[0].tolist()) == ("ground_force_r", [1, 2, 3], [4, 5, 6])
    names = [f"{what}1_{axis}" for what in "fp" for axis in (1, 2, 3)]
    path.write_text("grf\nendheader\ntime " + " ".join(names) + "\n0 1 2 3 4 5 6\n0.1 1 2 3 4 5 6\n")
    assert ground_forces(read_mot(path), path)[0].point[1].tolist() == [4, 5, 6]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no header at all",
        MOT.format(deg="yes"),
        MOT.format(deg="yes") + "0 1 2\n",
        MOT.format(deg="yes") + "0 1 2\n0.1 1\n0.2 1 2\n",
        MOT.format(deg="yes") + "0 1 2\n0.1 one 2\n0.2 1 2\n",
        MOT.format(deg="yes") + "0 1 2\n0.1 1 2\n0.1 1 2\n",
        MOT.format(deg="yes").replace("nRows=3", "nRows=9") + "0 1 2\n0.1 1 2\n0.2 1 2\n",
    ],
)
def test_broken_tables(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.mot"
    path.write_text(text)
    assert code(read_mot, path) == "lab-file-broken"


def test_events_of_a_known_force() -> None:
    time_s = np.arange(0, 5.0, 0.01)
    stance = (time_s % 1.0) < 0.6
    force = np.stack([np.where(stance, 700.0, 0.0), np.where(np.roll(stance, 50), 700.0, 5.0)], axis=1)
    force[233, 0] = 0.0  # one sample lost within a stance is no step
    events = FootForces(time_s, force, "N").events()
    left = [(event.type, round(event.time_s, 2)) for event in events if event.side == "left"]
    assert left[:3] == [("foot_off", 0.6), ("foot_strike", 0.99), ("foot_off", 1.6)]
    assert len(left) == 9
    assert [event.time_s for event in events] == sorted(event.time_s for event in events)


def test_missing_samples_are_no_swing() -> None:
    time_s = np.arange(0, 2.0, 0.01)
    force = np.full((200, 2), 700.0)
    force[50:90, 0] = np.nan
    assert FootForces(time_s, force, "N").events() == ()


def test_gaitndd_and_gaitpdb_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    values = np.array([[1, -32768, 3], [4, 5, 6]], dtype=np.int16)
    savemat(path, {"val": values})
    forces = read_gaitndd(path)
    assert np.isnan(forces.force[1, 0])
    assert forces.force[2].tolist() == [3.0, 6.0]
    assert forces.time_s[1] == pytest.approx(1 / 300)
    text = tmp_path / "a.txt"
    text.write_text("\n".join(" ".join([f"{n / 100}", *["1"] * 16, "300", "400"]) for n in range(5)))
    assert read_gaitpdb(text).force.tolist() == [[300.0, 400.0]] * 5
    series = tmp_path / "a.ts"
    series.write_text("20.5 1.1 1.2 .4 .5 36 41 .7 .71 64 59 .3 27\n21.6 1.1 1.2 .4 .5 36 41 .7 .71 64 59 .3 27\n")
    times = read_gaitndd_times(series)
    assert (times.stride_s[0].tolist(), times.stance_s[1].tolist()) == ([1.1, 1.2], [0.7, 0.71])


def test_broken_series(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    for content in (b"", b"not a mat file" * 50):
        path.write_bytes(content)
        assert code(read_gaitndd, path) == "lab-file-broken"
    savemat(path, {"other": np.zeros(3)})
    assert code(read_gaitndd, path) == "lab-file-broken"
    savemat(path, {"val": np.zeros((3, 9))})
    assert code(read_gaitndd, path) == "lab-file-broken"
    assert code(read_gaitndd, tmp_path / "gone.mat") == "lab-file-unreadable"
    path.write_text("1 2 3\n")
    assert code(read_gaitpdb, path) == "lab-file-broken"
    path.write_text("")
    assert code(read_gaitpdb, path) == "lab-file-broken"
