"""Joint angles in three planes: their signs, their numbers against other programmes', and what a static trial adds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from segments_fixtures import INNER, RIGHT, as_markers, full_set, standing, turned_in, walk, write_markers
from typer.testing import CliRunner

from gaitkeeper_client.cli.analyze import app
from gaitkeeper_client.exchange.tables import tables_of
from gaitkeeper_client.gait.analysis import analysis_of
from gaitkeeper_client.gait.joint_coordinates import axes_of, three_planes
from gaitkeeper_client.gait.planes import PLANES
from gaitkeeper_client.lab.options import ReadOptions
from gaitkeeper_client.lab.picker import marker_sets
from gaitkeeper_client.lab.readers import read_walk
from gaitkeeper_client.lab.static import with_static
from gaitkeeper_client.lab.walk import Axis, Segment
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_client.validation.validate import Said, validate_file
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError

DATA = Path(os.environ.get("GAITKEEPER_DATA", Path(__file__).resolve().parents[3] / "shared/data"))
ALONG = np.array([1.0, 0.0, 0.0])
UP = np.array([0.0, 0.0, 1.0])
STANDING = Segment("up", UP[None], "right", RIGHT[None])
BODY = {"pelvis": STANDING} | {
    f"{s}_{part}": STANDING for s in ("left", "right") for part in ("thigh", "shank", "foot")
}


def need(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.name} is absent: GAITKEEPER_DATA is {DATA}")
    return path


def turned(about: FloatArray, degrees: float, segment: Segment = STANDING) -> Segment:
    """By the right hand about an axis of the room."""
    angle, axis = np.radians(degrees), about / np.linalg.norm(about)

    def turn(v: FloatArray) -> FloatArray:
        return np.asarray(
            v * np.cos(angle) + np.cross(axis, v) * np.sin(angle) + axis * (v @ axis)[:, None] * (1 - np.cos(angle))
        )

    return Segment(segment.first, turn(segment.along), segment.second, turn(segment.beside))


LEFT = -RIGHT
SIGNS = [
    # what is turned, about which axis: the lower end, or the front, goes where the comment says
    ("right_thigh", RIGHT, "hip_flexion_right", 20.0),  # the knee forward
    ("left_thigh", RIGHT, "hip_flexion_left", 20.0),
    ("right_thigh", ALONG, "hip_adduction_right", 20.0),  # the right knee to the left: its top leans to the right
    ("left_thigh", -ALONG, "hip_adduction_left", 20.0),
    ("right_thigh", UP, "hip_rotation_right", 20.0),  # the right knee's front to the left
    ("left_thigh", -UP, "hip_rotation_left", 20.0),
    ("right_foot", RIGHT, "ankle_dorsiflexion_right", 20.0),  # the toes up
    ("right_foot", ALONG, "ankle_inversion_right", 20.0),  # the sole to the left
    ("left_foot", -ALONG, "ankle_inversion_left", 20.0),
    ("right_foot", UP, "ankle_rotation_right", 20.0),  # the toes to the left
]


@pytest.mark.parametrize(("what", "about", "name", "degrees"), SIGNS)
def test_each_sign_is_the_one_that_the_page_promises(what: str, about: FloatArray, name: str, degrees: float) -> None:
    angles = three_planes({**BODY, what: turned(about, 20.0)}, (3.0, 0.0))
    assert angles[name][0] == pytest.approx(degrees)
    part = name.split("_")[0]
    others = {key: float(values[0]) for key, values in angles.items() if key.startswith(part) and key != name}
    assert max(map(abs, others.values())) < 1e-9, others


def test_a_knee_bends_with_its_heel_backwards_and_is_bowed_with_its_ankle_inwards() -> None:
    bent = {name: turned(LEFT, 50.0) if name.endswith(("shank", "foot")) else one for name, one in BODY.items()}
    angles = three_planes(bent, (1.0, 0.0))
    assert angles["knee_flexion_left"][0] == pytest.approx(50.0)
    assert angles["ankle_dorsiflexion_left"][0] == pytest.approx(0.0, abs=1e-9)
    bowed = {**BODY, "left_shank": turned(-ALONG, 8.0), "right_shank": turned(ALONG, 8.0)}
    angles = three_planes(bowed, (1.0, 0.0))
    assert [angles[f"knee_adduction_{side}"][0] for side in ("left", "right")] == pytest.approx([8.0, 8.0])


def test_the_pelvis_tilts_forward_rises_and_turns_as_people_say() -> None:
    tilted = three_planes({**BODY, "pelvis": turned(LEFT, 12.0)}, (1.0, 0.0))
    assert [tilted[f"pelvis_tilt_{side}"][0] for side in ("left", "right")] == pytest.approx([12.0, 12.0])
    risen = three_planes({**BODY, "pelvis": turned(-ALONG, 5.0)}, (1.0, 0.0))  # the right side up
    assert (risen["pelvis_obliquity_right"][0], risen["pelvis_obliquity_left"][0]) == pytest.approx((5.0, -5.0))
    ahead = three_planes({**BODY, "pelvis": turned(UP, 7.0)}, (1.0, 0.0))  # the right side in front
    assert (ahead["pelvis_rotation_right"][0], ahead["pelvis_rotation_left"][0]) == pytest.approx((7.0, -7.0))
    # Who walks another way across the room has the same angles.
    turned_walk = {name: turned(UP, 65.0, one) for name, one in {**BODY, "pelvis": turned(UP, 7.0)}.items()}
    way = (float(np.cos(np.radians(65.0))), float(np.sin(np.radians(65.0))))
    assert three_planes(turned_walk, way)["pelvis_rotation_right"][0] == pytest.approx(7.0)


def test_hips_at_one_height_are_level_however_the_pelvis_tilts_and_turns() -> None:
    """What Baker 2001 asks of obliquity; with the angles in the order of the joints it would be 10 degrees."""
    angles = three_planes({"pelvis": turned(UP, 35.0, turned(LEFT, 30.0))}, (1.0, 0.0))
    found = [angles[f"pelvis_{name}_right"][0] for name in ("tilt", "obliquity", "rotation")]
    assert found == pytest.approx([30.0, 0.0, 35.0])


def test_the_angles_are_those_of_grood_and_suntay() -> None:
    """Their own construction, axis by axis, for any two segments: the slow and obvious twin of the Cardan angles."""
    random = np.random.default_rng(5)
    for _ in range(50):
        above = turned(random.normal(size=3), float(random.uniform(-40.0, 40.0)))
        below = turned(random.normal(size=3), float(random.uniform(-40.0, 40.0)))
        body = {"pelvis": above, "right_thigh": below}
        found = three_planes(body, (1.0, 0.0))
        upper, lower = axes_of(above)[0], axes_of(below)[0]
        e1, e3 = upper[:, 2], lower[:, 1]
        floating = np.cross(e3, e1) / np.linalg.norm(np.cross(e3, e1))
        flexion = np.degrees(np.arctan2(floating @ upper[:, 1], floating @ upper[:, 0]))
        adduction = np.degrees(np.arcsin(e1 @ e3))
        rotation = np.degrees(np.arctan2(floating @ lower[:, 2], floating @ lower[:, 0]))
        ours = [found[f"hip_{what}_right"][0] for what in ("flexion", "adduction", "rotation")]
        assert ours == pytest.approx([flexion, adduction, rotation])


def test_axes_are_square_and_right_handed_whichever_two_directions_are_known() -> None:
    directions: dict[Axis, FloatArray] = {"forward": ALONG, "up": UP, "right": RIGHT}
    for first in directions:
        for second in directions.keys() - {first}:
            beside = directions[second] + 0.3 * directions[first]
            found = axes_of(Segment(first, 2.0 * directions[first][None], second, beside[None]))[0]
            assert found == pytest.approx(np.stack([ALONG, UP, RIGHT], axis=-1)), (first, second)


def test_an_unseen_marker_leaves_a_gap_and_no_more() -> None:
    lost = Segment("up", np.stack([UP, UP]), "right", np.stack([RIGHT, [np.nan] * 3]))
    body = {name: Segment("up", np.stack([UP, UP]), "right", np.stack([RIGHT, RIGHT])) for name in BODY}
    angles = three_planes({**body, "right_thigh": lost}, (1.0, 0.0))
    assert np.isfinite(angles["hip_flexion_right"]).tolist() == [True, False]
    assert np.isfinite(angles["hip_flexion_left"]).all()


def test_a_full_set_of_markers_is_analysed_in_three_planes(tmp_path: Path) -> None:
    tracks = walk()
    write_markers(tmp_path / "walk.trc", as_markers(full_set(tracks, turned_in(tracks.time_s)), tracks.time_s))
    analysis = analyse_file(tmp_path / "walk.trc")
    assert analysis.status == "analysed"
    for cycle in analysis.cycles:
        assert set(cycle.planes) == {f"{name}_{cycle.side}" for name in PLANES}
        at = np.linspace(cycle.start_s, cycle.end_s, 101)
        assert cycle.planes[f"hip_rotation_{cycle.side}"] == pytest.approx(turned_in(at), abs=1.0)
        projected = cycle.curves[f"knee_flexion_{cycle.side}"]
        assert cycle.planes[f"knee_flexion_{cycle.side}"] == pytest.approx(projected, abs=2.0)
    *_, curves, planes = tables_of(analysis)
    assert (curves.name, planes.name) == ("curves", "planes")
    assert len(planes.columns["degrees"][1]) == len(analysis.cycles) * len(PLANES) * 101
    again = analysis_of(analysis.to_json())
    assert again.cycles[0].planes.keys() == analysis.cycles[0].planes.keys()
    old = analysis.to_json()
    for cycle in old["cycles"]:
        del cycle["planes"]
    assert analysis_of(old).cycles[0].planes == {}


def test_a_joint_with_a_marker_on_both_sides_lies_between_them() -> None:
    table = marker_sets()
    for joint in ("knee", "ankle"):
        assert set(table.pairs[joint]) <= set(table.joints[joint])


def test_markers_that_were_taken_off_are_put_back_from_the_static_trial(tmp_path: Path) -> None:
    tracks = walk()
    whole = full_set(tracks, turned_in(tracks.time_s))
    walked = as_markers(whole, tracks.time_s, without=INNER)
    static = standing(tmp_path / "static.trc", whole)
    found, _ = with_static(walked, tmp_path / "walk.trc", static)
    for name in ("RKneeMedial", "LKneeMedial", "RAnkleMedial", "LAnkleMedial"):
        off = np.linalg.norm(found.positions[:, found.names.index(name)] - whole[name], axis=1)
        assert off.max() < 4e-3, name  # the knee's outer marker is the thigh's, and not quite rigid with the shank
    write_markers(tmp_path / "walk.trc", walked)
    without = read_walk(tmp_path / "walk.trc")
    assert set(without.segments) == {"pelvis", "left_foot", "right_foot"}
    assert len(read_walk(tmp_path / "walk.trc", ReadOptions(static=static)).segments) == 7


def test_a_marker_that_was_moved_between_the_trials_is_left_out(tmp_path: Path) -> None:
    tracks = walk(2.0)
    whole = full_set(tracks, turned_in(tracks.time_s))
    static = standing(tmp_path / "static.trc", {**whole, "RThigh2": whole["RThigh2"] + [0.0, 0.05, 0.03]})
    found, _ = with_static(as_markers(whole, tracks.time_s, without=INNER), tmp_path / "walk.trc", static)
    off = np.linalg.norm(found.positions[:, found.names.index("RKneeMedial")] - whole["RKneeMedial"], axis=1)
    assert off.max() < 1e-3


def test_a_static_trial_that_is_of_no_use_is_told(tmp_path: Path) -> None:
    tracks = walk(2.0)
    whole = full_set(tracks, turned_in(tracks.time_s))
    walked = as_markers(whole, tracks.time_s, without=INNER)
    path = tmp_path / "walk.trc"
    write_markers(path, walked)
    moved = {
        name: track + ([0.1, 0.0, 0.1] if name[1:6] in ("Thigh", "Shank") else 0.0) for name, track in whole.items()
    }
    bare = {name: track for name, track in whole.items() if not name.endswith("Medial")}
    for number, trial in enumerate((moved, bare)):
        with pytest.raises(GaitkeeperError, match=r"can be put back into walk\.trc") as caught:
            read_walk(path, ReadOptions(static=standing(tmp_path / f"static{number}.trc", trial)))
        assert caught.value.code == "static-unusable"
    (tmp_path / "static.mp4").write_bytes(b"no trial")
    with pytest.raises(GaitkeeperError, match="no C3D, TRC or Motive"):
        read_walk(path, ReadOptions(static=tmp_path / "static.mp4"))


def test_a_static_trial_is_refused_beside_what_has_no_markers(tmp_path: Path) -> None:
    bvh = need(DATA / "clinic-bvh/SubjectA4_Cycle1.bvh")
    done = CliRunner().invoke(app, [str(bvh), "--static", str(bvh), "--output", str(tmp_path / "out")])
    assert done.exit_code != 0
    assert isinstance(done.exception, GaitkeeperError)
    assert done.exception.code == "option-does-not-apply"


def test_plug_in_gait_gives_the_same_angles_of_hip_knee_and_ankle() -> None:
    one = validate_file(need(DATA / "c3d/biomechzoo-children/HC002D/Straight/HC002D06.c3d"))
    for side in ("left", "right"):
        for name in PLANES:
            if name == "ankle_inversion":
                assert f"{name}_{side}" not in one.planes
                continue
            row = one.planes[f"{name}_{side}"].to_json()
            # Its pelvis is against the laboratory's axes, in another order of rotations.
            limit = 4.0 if name.startswith("pelvis") else 0.3
            assert isinstance(row["rmse_deg"], float)
            assert row["rmse_deg"] < limit, name


def test_opensim_finds_the_same_with_a_static_trial() -> None:
    folder = need(DATA / "opencap-subject4")
    said = Said(ReadOptions(static=folder / "MarkerData/static1.trc"))
    one = validate_file(folder / "MarkerData/walking1.trc", folder / "IK/walking1_ik.mot", said=said)
    for side in ("left", "right"):
        knee, tilt = (one.planes[f"{name}_{side}"].to_json() for name in ("knee_flexion", "pelvis_tilt"))
        assert isinstance(knee["rmse_deg"], float)
        assert isinstance(knee["rmse_without_offset_deg"], float)
        assert isinstance(tilt["rmse_without_offset_deg"], float)
        assert knee["rmse_deg"] < 5.0
        assert knee["rmse_without_offset_deg"] < 2.0
        assert tilt["rmse_without_offset_deg"] < 1.0


def test_the_report_and_the_command_show_the_three_planes(tmp_path: Path) -> None:
    child = need(DATA / "c3d/biomechzoo-children/HC002D/Straight/HC002D06.c3d")
    done = CliRunner().invoke(app, [str(child), "--output", str(tmp_path), "--json", "--pdf"])
    assert done.exit_code == 0, done.output
    assert "hip_adduction_left" in next(c for c in json.loads(done.stdout)["cycles"] if c["side"] == "left")["planes"]
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Joint angles in three planes" in page
    assert "Pelvis, obliquity" in page
