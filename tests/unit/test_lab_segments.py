"""Segments from markers: where long axes end, in whichever axes the file stands, and what lies between two samples."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from segments_fixtures import as_markers, frame, full_set, turned_in, walk, write_markers

from gaitkeeper_client.gait.bouts import find_bouts
from gaitkeeper_client.gait.joint_coordinates import during, smoothed, three_planes
from gaitkeeper_client.lab.readers import read_walk
from gaitkeeper_client.lab.walk import LabWalk, Segment
from gaitkeeper_shared.kinematics import joint

DATA = Path(os.environ.get("GAITKEEPER_DATA", Path(__file__).resolve().parents[3] / "shared/data"))


def need(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.name} is absent: GAITKEEPER_DATA is {DATA}")
    return path


def test_who_stands_is_neither_bowed_nor_abducted() -> None:
    """A long axis that ended in the marker at the knee's outer side would show 10 degrees of each."""
    standing = read_walk(need(DATA / "opencap-subject4/MarkerData/static1.trc"))
    angles = three_planes(standing.segments, (0.0, 1.0))
    for side in ("left", "right"):
        for name in ("pelvis_obliquity", "hip_adduction", "knee_adduction"):
            assert abs(float(np.nanmedian(angles[f"{name}_{side}"]))) < 4.0, (name, side)
        # The markers at the ball of the foot lie at two heights; the foot is not upside down.
        assert abs(float(np.nanmedian(angles[f"ankle_inversion_{side}"]))) < 40.0


def test_a_long_axis_ends_in_the_middle_of_a_joint_or_there_is_none(tmp_path: Path) -> None:
    tracks = walk(2.0)
    whole = full_set(tracks, turned_in(tracks.time_s))

    def segments(names: dict[str, str], without: tuple[str, ...] = ()) -> Mapping[str, Segment]:
        renamed = {names.get(name, name): track for name, track in whole.items()}
        write_markers(tmp_path / "walk.trc", as_markers(renamed, tracks.time_s, without=without))
        return read_walk(tmp_path / "walk.trc").segments

    angles = three_planes(segments({}), (1.0, 0.0))
    # The same under names of which the joints' table knows the outer one alone.
    other = {f"{s}{joint}Medial": f"{s}_m{joint.lower()}" for s in "LR" for joint in ("Knee", "Ankle")}
    again = three_planes(segments(other), (1.0, 0.0))
    for name in ("hip_adduction_left", "hip_adduction_right", "knee_adduction_left", "knee_adduction_right"):
        assert again[name] == pytest.approx(angles[name], abs=0.01), name
    on_the_skin = {"LHJC": "LGTR", "RHJC": "RGTR"}
    assert "left_shank" in segments(on_the_skin, ("ASI", "PSI"))
    assert "left_thigh" not in segments(on_the_skin, ("ASI", "PSI"))
    assert "left_shank" not in segments({}, ("KneeMedial",))


def test_left_handed_axes_give_the_same_angles(tmp_path: Path) -> None:
    tracks = walk(2.0)
    markers = as_markers(full_set(tracks, turned_in(tracks.time_s)), tracks.time_s)
    write_markers(tmp_path / "walk.trc", markers)
    write_markers(tmp_path / "mirrored.trc", replace(markers, positions=markers.positions * [1.0, -1.0, 1.0]))
    sound, mirrored = (read_walk(tmp_path / f"{name}.trc") for name in ("walk", "mirrored"))
    assert any("left-handed" in note for note in mirrored.notes)
    one, other = (three_planes(walked.segments, heading(walked)) for walked in (sound, mirrored))
    assert one.keys() == other.keys()
    for name, angle in one.items():
        assert other[name] == pytest.approx(angle, abs=0.01), name


def heading(walked: LabWalk) -> tuple[float, float]:
    found = find_bouts(walked.trajectories)[0].heading
    assert isinstance(found, tuple)
    return found


@pytest.mark.parametrize(("one", "other"), [("RKnee", "RKneeMedial"), ("LAnkle", "LAnkleMedial"), ("LMT1", "LMT5")])
def test_an_inner_marker_at_the_outer_side_gives_no_axes_and_is_told(tmp_path: Path, one: str, other: str) -> None:
    """The segment would stand the wrong way round: rotations of 180 degrees."""
    tracks = walk(2.0)
    markers = full_set(tracks, turned_in(tracks.time_s))
    markers[one], markers[other] = markers[other], markers[one]
    write_markers(tmp_path / "walk.trc", as_markers(markers, tracks.time_s))
    found = read_walk(tmp_path / "walk.trc")
    lost = {"RKnee": "right_thigh", "LAnkle": "left_shank", "LMT1": "left_foot"}[one]
    assert lost not in found.segments
    assert len(found.segments) == 6
    (note,) = found.notes
    assert "lies on the outer side" in note


def test_axes_that_plug_in_gait_wrote_go_before_markers(tmp_path: Path) -> None:
    tracks = walk(2.0)
    markers = full_set(tracks, turned_in(tracks.time_s))
    write_markers(tmp_path / "walk.trc", as_markers(markers, tracks.time_s))
    assert "ankle_inversion_left" in three_planes(read_walk(tmp_path / "walk.trc").segments, (1.0, 0.0))
    for letter, side, out in (("R", "right", 1.0), ("L", "left", -1.0)):
        hip, knee = (joint(tracks.positions, f"{side}_{what}") for what in ("hip", "knee"))
        axes = frame(hip - knee, out * 2.0 * turned_in(tracks.time_s))
        for name, at in (("FEO", knee), ("FEA", knee + 0.1 * axes[:, :, 0]), ("FEP", knee + 0.4 * axes[:, :, 1])):
            markers[f"{letter}{name}"] = at
        heel, toe = (joint(tracks.positions, f"{side}_{what}") for what in ("heel", "toe"))
        for name, at in (("FOP", heel), ("FOO", toe), ("FOA", toe + np.array([0.0, 0.0, 0.1]))):
            markers[f"{letter}{name}"] = at
    write_markers(tmp_path / "walk.trc", as_markers(markers, tracks.time_s))
    angles = three_planes(read_walk(tmp_path / "walk.trc").segments, (1.0, 0.0))
    for side in ("left", "right"):
        assert angles[f"hip_rotation_{side}"] == pytest.approx(2.0 * turned_in(tracks.time_s), abs=1.0)
        # Its foot is a line: it takes its turn about that from the shank.
        assert f"ankle_dorsiflexion_{side}" in angles
        assert f"ankle_inversion_{side}" not in angles


def test_segments_are_smoothed_and_short_gaps_filled() -> None:
    noise = np.random.default_rng(1).normal(scale=0.05, size=(200, 3))
    noise[50:53] = np.nan
    noise[120:180] = np.nan
    time_s = np.arange(200) / 100.0
    segment = Segment("up", noise + np.array([0.0, 0.0, 1.0]), "right", noise + np.array([0.0, -1.0, 0.0]))
    smooth = smoothed({"pelvis": segment}, time_s, time_s, 100.0)["pelvis"]
    assert np.isfinite(smooth.along[:118]).all()
    assert not np.isfinite(smooth.beside[125:175]).any()
    assert smooth.along[:110].std(axis=0).max() < 0.7 * np.nanstd(noise[:110])


def test_a_walk_has_its_own_part_of_the_segments() -> None:
    bout = replace(find_bouts(walk(2.0))[0], start=10, stop=20)
    count = np.arange(30.0)[:, None] * np.ones(3)
    part = during({"pelvis": Segment("up", count, "right", -count)}, bout)["pelvis"]
    assert (part.along[0, 0], part.along[-1, 0], part.beside[0, 0]) == (10.0, 19.0, -10.0)
