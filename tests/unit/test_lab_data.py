"""Real laboratory files: plausible people, events where the force plates have them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from gaitkeeper_client.lab.c3d import read_c3d
from gaitkeeper_client.lab.footforce import read_gaitndd, read_gaitpdb
from gaitkeeper_client.lab.mot import ground_forces, joint_angles, read_mot
from gaitkeeper_client.lab.trc import read_trc
from gaitkeeper_client.lab.walk import LabWalk
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import joint, leg_length, midpoint, sagittal_plane
from gaitkeeper_shared.kinematics import joint_angles as sagittal_angles

DATA = Path(os.environ.get("GAITKEEPER_DATA", Path(__file__).parents[3] / "shared" / "data"))
C3D, TRC = sorted(DATA.rglob("*.c3d")), sorted(DATA.rglob("*.trc"))
needs_data = pytest.mark.skipif(not C3D, reason=f"no laboratory files in {DATA}")


def check_person(walk: LabWalk, name: str) -> None:
    """A leg's length, the knee's way of bending, left on the left, feet on the floor."""
    points = walk.trajectories.positions
    assert 0.55 < leg_length(points) < 1.0, name
    feet = sum(joint(points, f"{side}_toe") - joint(points, f"{side}_heel") for side in ("left", "right"))
    ahead = np.nanmedian(np.asarray(feet)[:, :2], axis=0)
    ahead /= np.linalg.norm(ahead)
    across = (joint(points, "left_hip") - joint(points, "right_hip"))[:, :2] @ [-ahead[1], ahead[0]]
    assert np.nanmedian(across) > 0.05, f"{name}: left is not left"
    angles = sagittal_angles(sagittal_plane(points, (float(ahead[0]), float(ahead[1]))))
    for side in ("left", "right"):
        knee = angles[f"knee_flexion_{side}"]
        assert np.nanpercentile(knee, 5) > -12.0, name
        hips = midpoint(points, "hip")
        seen = hips[np.isfinite(hips).all(axis=1)]
        if np.linalg.norm(seen[-1, :2] - seen[0, :2]) > 1.0:
            assert 40.0 < np.nanmax(knee) < 85.0, name
        assert 0.0 < np.nanmin(joint(points, f"{side}_ankle")[:, 2]) < 0.15, name


@needs_data
@pytest.mark.parametrize("path", C3D + TRC, ids=lambda path: path.name)
def test_marker_files_hold_people(path: Path) -> None:
    check_person(read_c3d(path) if path.suffix == ".c3d" else read_trc(path), path.name)


@needs_data
def test_laboratory_events_lie_where_the_plates_are_loaded() -> None:
    errors = []
    for path in sorted((DATA / "c3d/biomechzoo-children").glob("*/Straight/*.c3d")):
        walk = read_c3d(path)
        assert len(walk.events) >= 8
        assert len(walk.plates) == 2
        strikes = np.array([event.time_s for event in walk.events if event.type == "foot_strike"])
        for plate in walk.plates:
            assert 200.0 < plate.force[:, 2].max() < 900.0, "the ground pushes upwards"
            loaded = plate.force[:, 2] > 20.0
            first = plate.time_s[int(np.argmax(loaded))]
            errors.append(strikes[np.argmin(np.abs(strikes - first))] - first)
    assert len(errors) == 12
    assert np.abs(errors).max() < 0.02, "an offset of the first frame would show as a second or more"


@needs_data
def test_exchanged_sides_are_noted() -> None:
    assert "left-handed" in read_trc(DATA / "bmclab/walk1.trc").notes[0]
    assert read_trc(DATA / "bmclab/walk2.trc").notes == ()


@needs_data
def test_angle_and_force_tables() -> None:
    for name in ("opencap-subject4/IK/walking1_ik.mot", "opensim/normal_gait.mot", "opensim/coordinates.sto"):
        path = DATA / name
        angles = joint_angles(read_mot(path), path)
        assert 50.0 < angles["knee_flexion_left"].max() < 80.0, name
        assert 20.0 < angles["hip_flexion_right"].max() < 40.0, name
    for name in ("opencap-subject4/ID/walking1_grf.mot", "opensim/grf_walk.mot"):
        path = DATA / name
        forces = ground_forces(read_mot(path), path)
        assert len(forces) == 2
        assert all(600.0 < plate.force[:, 1].max() < 1000.0 for plate in forces), name
        with pytest.raises(GaitkeeperError, match="joint angles"):
            joint_angles(read_mot(path), path)


@needs_data
def test_foot_force_series() -> None:
    for path in sorted((DATA / "gaitpdb").glob("??[CP]*_01.txt")):
        forces = read_gaitpdb(path)
        strikes = [e.time_s for e in forces.events() if (e.side, e.type) == ("left", "foot_strike")]
        assert 0.9 < np.median(np.diff(strikes)) < 1.6, path.name
        assert forces.signals().names == ("foot_force_left", "foot_force_right")
    for path in sorted((DATA / "gaitndd").glob("control[1-4].mat")):
        forces = read_gaitndd(path)
        assert forces.force.shape == (90_000, 2)
        strikes = [e.time_s for e in forces.events() if (e.side, e.type) == ("left", "foot_strike")]
        assert 0.9 < np.median(np.diff(strikes)) < 1.4, path.name
        assert np.std(np.diff(strikes)) < 0.3, path.name
