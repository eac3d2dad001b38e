"""OpenSim's tables: joint angles become a walker with these angles, forces become contacts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from lab_fixtures import walk

from gaitkeeper_client.lab.coordinates import walk_of_coordinates
from gaitkeeper_client.lab.mot import joint_angles, read_mot
from gaitkeeper_client.lab.readers import read_walk
from gaitkeeper_client.lab.trc import read_trc
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import joint_angles as sagittal_angles
from gaitkeeper_shared.kinematics import leg_length, midpoint, sagittal_plane
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import SIDES

DATA = Path(os.environ.get("GAITKEEPER_DATA", Path(__file__).parents[3] / "shared" / "data"))


def write_table(path: Path, columns: dict[str, FloatArray], degrees: bool = True) -> Path:
    """A MOT file of these columns; ``time`` is among them."""
    rows = np.stack(list(columns.values()), axis=1)
    head = ["walk", "version=1", f"nRows={len(rows)}", f"nColumns={len(columns)}"]
    head += [f"inDegrees={'yes' if degrees else 'no'}", "endheader", "\t".join(columns)]
    path.write_text("\n".join(head + ["\t".join(f"{value:.8f}" for value in row) for row in rows]) + "\n")
    return path


def coordinates(trajectories: JointTrajectories, *, backwards: bool = False) -> dict[str, FloatArray]:
    """The walk's sagittal angles as OpenSim names them: an upright pelvis, the trunk's lean in the lumbar joint."""
    points = sagittal_plane(trajectories.positions, (1.0, 0.0))
    angles = sagittal_angles(points)
    hips = midpoint(points, "hip")
    out = {"time": trajectories.time_s, "pelvis_tilt": 0.0 * trajectories.time_s}
    out |= {"pelvis_tx": hips[:, 0], "pelvis_ty": hips[:, 1] + 0.06, "lumbar_extension": -angles["trunk_lean"]}
    for side in SIDES:
        out[f"hip_flexion_{side[0]}"] = angles[f"hip_flexion_{side}"] - angles["trunk_lean"]
        out[f"knee_angle_{side[0]}"] = angles[f"knee_flexion_{side}"] * (-1.0 if backwards else 1.0)
        out[f"ankle_angle_{side[0]}"] = angles[f"ankle_dorsiflexion_{side}"]
    return out


@pytest.mark.parametrize("backwards", [False, True])
def test_the_walker_has_the_file_s_angles(tmp_path: Path, backwards: bool) -> None:
    truth = walk(2.0)
    path = write_table(tmp_path / "walk.mot", coordinates(truth, backwards=backwards))
    found = read_walk(path)
    expected = sagittal_angles(sagittal_plane(truth.positions, (1.0, 0.0)))
    ahead = midpoint(found.trajectories.positions, "hip")
    way = ahead[-1] - ahead[0]
    angles = sagittal_angles(sagittal_plane(found.trajectories.positions, (float(way[0]), float(way[1]))))
    for name, curve in expected.items():
        np.testing.assert_allclose(angles[name], curve, atol=0.3, err_msg=name)
    assert "proportions" in found.notes[0]


def test_radians_and_degrees_are_the_same_walk(tmp_path: Path) -> None:
    columns = coordinates(walk(2.0))
    degrees = read_walk(write_table(tmp_path / "a.mot", columns)).trajectories
    angles = {
        n: c if n.startswith(("time", "pelvis_t")) and n != "pelvis_tilt" else np.radians(c) for n, c in columns.items()
    }
    radians = read_walk(write_table(tmp_path / "b.sto", angles, degrees=False)).trajectories
    np.testing.assert_allclose(radians.positions, degrees.positions, atol=1e-6)


def test_a_walk_of_angles_is_analysed_like_one_of_points(tmp_path: Path) -> None:
    truth = walk(6.0)
    path = write_table(tmp_path / "walk.mot", coordinates(truth))
    analysis = analyse_file(path)
    assert analysis.status == "analysed"
    way = midpoint(truth.positions, "hip")
    speed = float(np.linalg.norm((way[-1] - way[0])[:2])) / float(truth.time_s[-1])
    assert analysis.parameters["walking_speed"].value == pytest.approx(speed, rel=0.03)
    width = analysis.parameters["step_width"]
    assert width.value is None  # the table holds no angle sideways
    assert width.refused is not None
    assert width.refused.code == "space-needed"
    told = analyse_file(path, height_m=1.9)
    assert "1.90 m" in told.source["notes"][0]


def test_how_tall_nobody_knows(tmp_path: Path) -> None:
    columns = coordinates(walk(2.0))
    del columns["pelvis_ty"]
    path = write_table(tmp_path / "walk.mot", columns)
    with pytest.raises(GaitkeeperError) as caught:
        read_walk(path)
    assert caught.value.code == "lab-height-needed"
    assert walk_of_coordinates(read_mot(path), path, "mot", 1.7).trajectories.time_s.size == 201


def test_forces_with_and_without_a_side(tmp_path: Path) -> None:
    time_s = np.arange(0.0, 12.0, 0.01)
    stance = {
        side: np.where((time_s / 1.2 + shift) % 1.0 < 0.6, 700.0, 0.0) for side, shift in (("l", 0.0), ("r", 0.5))
    }
    zero = 0.0 * time_s
    sided = {"time": time_s}
    plain = {"time": time_s}
    for number, (side, force) in enumerate(stance.items(), start=1):
        sided |= {f"ground_force_{side}_vx": zero, f"ground_force_{side}_vy": force, f"ground_force_{side}_vz": zero}
        plain |= {f"f{number}_1": zero, f"f{number}_2": force, f"f{number}_3": zero}
    analysis = analyse_file(write_table(tmp_path / "grf.mot", sided))
    assert analysis.source["kind"] == "mot-forces"
    assert analysis.parameters["stride_time"].value == pytest.approx(1.2, abs=2e-3)
    assert analysis.parameters["stance_percent"].value == pytest.approx(60.0, abs=1.0)
    left = [event.time_s for event in analysis.events if (event.side, event.type) == ("left", "foot_strike")]
    assert left[0] == pytest.approx(1.2, abs=0.011)
    with pytest.raises(GaitkeeperError) as caught:
        analyse_file(write_table(tmp_path / "plates.mot", plain))
    assert caught.value.code == "lab-force-sides"


@pytest.mark.skipif(not (DATA / "opencap-subject4").is_dir(), reason=f"no OpenCap files in {DATA}")
def test_opencap_s_angles_give_the_events_of_its_markers() -> None:
    folder = DATA / "opencap-subject4"
    for name in ("walking1", "walkingTI1"):
        path = folder / "IK" / f"{name}_ik.mot"
        from_angles = read_walk(path)
        markers = read_trc(folder / "MarkerData" / f"{name}.trc")
        legs = [leg_length(one.trajectories.positions) for one in (from_angles, markers)]
        assert legs[0] == pytest.approx(legs[1], rel=0.05)
        found, expected = analyse_file(path).events, analyse_file(folder / "MarkerData" / f"{name}.trc").events
        for event in expected:
            same = [e.time_s for e in found if (e.side, e.type) == (event.side, event.type)]
            assert min(abs(time_s - event.time_s) for time_s in same) < 0.04, (name, event)
        table = read_mot(path)
        assert set(joint_angles(table, path)) >= {"knee_flexion_left", "hip_flexion_right"}
