"""A static trial's markers in the walk: whose they are, and what is said where none or not all can be put back."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from segments_fixtures import INNER, as_markers, full_set, standing, turned_in, walk, write_markers

from gaitkeeper_client.gait.joint_coordinates import three_planes
from gaitkeeper_client.lab.options import ReadOptions
from gaitkeeper_client.lab.readers import read_walk
from gaitkeeper_client.lab.static import with_static
from gaitkeeper_client.lab.trc import read_trc_markers
from gaitkeeper_shared.errors import GaitkeeperError

OPENCAP = Path(os.environ.get("GAITKEEPER_DATA", Path(__file__).parents[3] / "shared/data")) / (
    "opencap-subject4/MarkerData"
)
TRACKS = walk(2.0)
TIME_S = TRACKS.time_s
ASIDE = np.array([0.0, 2.0, 0.0])
ANNA, BEN = (full_set(TRACKS, times * turned_in(TIME_S)) for times in (1.0, 2.0))


@pytest.mark.parametrize("named", ["Ben:", ""])
def test_nobody_walks_on_the_inner_knee_of_another(tmp_path: Path, named: str) -> None:
    beside = {f"Ben:{name}": track + ASIDE for name, track in BEN.items()}
    both = {f"Anna:{name}": track for name, track in ANNA.items()} | beside
    markers = as_markers(both, TIME_S, without=INNER)
    write_markers(tmp_path / "walk.trc", markers)
    static = standing(tmp_path / "static.trc", {f"{named}{name}": track for name, track in BEN.items()})
    found, _ = with_static(markers, tmp_path / "walk.trc", static, "Ben")
    assert set(found.names) - set(markers.names) == {f"Ben:{s}{inner}" for s in "LR" for inner in INNER}
    off = found.positions[:, found.names.index("Ben:RKneeMedial")] - beside["Ben:RKneeMedial"]
    assert np.abs(off).max() < 4e-3
    segments = read_walk(tmp_path / "walk.trc", ReadOptions(static=static, person="Ben")).segments
    turned = three_planes(segments, (1.0, 0.0))["hip_rotation_right"]
    assert turned == pytest.approx(2.0 * turned_in(TIME_S), abs=1.0)


def test_of_two_who_stand_the_one_who_walks_is_taken(tmp_path: Path) -> None:
    markers = as_markers({f"Ben:{name}": track for name, track in BEN.items()}, TIME_S, without=INNER)
    still = {f"Anna:{name}": track for name, track in ANNA.items()}
    still["Anna:LKneeMedial"] = still["Anna:LKneeMedial"] + np.array([0.03, 0.0, 0.0])  # hers lies elsewhere
    still |= {f"Ben:{name}": track + ASIDE for name, track in BEN.items()}
    found, _ = with_static(markers, tmp_path / "walk.trc", standing(tmp_path / "static.trc", still))
    off = found.positions[:, found.names.index("Ben:LKneeMedial")] - BEN["LKneeMedial"]
    assert np.abs(off).max() < 4e-3


def test_a_walk_that_has_its_inner_markers_needs_no_static_trial(tmp_path: Path) -> None:
    static = standing(tmp_path / "static.trc", ANNA)
    with pytest.raises(GaitkeeperError, match=r"walk\.trc has the markers at the inner side .* itself"):
        with_static(as_markers(ANNA, TIME_S), tmp_path / "walk.trc", static)


@pytest.mark.parametrize("per_metre", [1.0, 1000.0])
def test_the_walk_and_the_static_trial_may_have_different_units(tmp_path: Path, per_metre: float) -> None:
    metres = as_markers(ANNA, TIME_S, without=INNER)
    markers = replace(metres, positions=metres.positions * per_metre, metres_per_unit=1.0 / per_metre)
    found, _ = with_static(markers, tmp_path / "walk.trc", standing(tmp_path / "static.trc", ANNA))
    for name in ("RKneeMedial", "LAnkleMedial"):
        off = found.positions[:, found.names.index(name)] / per_metre - ANNA[name]
        assert np.abs(off).max() < 4e-3, name


def test_markers_on_one_line_do_not_tell_how_a_segment_turns(tmp_path: Path) -> None:
    kept = {name: track for name, track in ANNA.items() if name[1:6] not in {"Thigh", "Shank"}}
    for letter in "RL":
        for number, share in enumerate((0.3, 0.6)):
            kept[f"{letter}Thigh{number}"] = (1 - share) * ANNA[f"{letter}Knee"] + share * ANNA[f"{letter}HJC"]
            kept[f"{letter}Shank{number}"] = (1 - share) * ANNA[f"{letter}Ankle"] + share * ANNA[f"{letter}Knee"]
        kept[f"{letter}Thigh0"] = kept[f"{letter}Thigh0"] + np.array([0.005, 0.0, 0.0])  # hardly off it
    metres = as_markers(kept, TIME_S, without=INNER)
    markers = replace(metres, positions=metres.positions * 1000.0, metres_per_unit=0.001)
    with pytest.raises(GaitkeeperError, match="can be put back"):
        with_static(markers, tmp_path / "walk.trc", standing(tmp_path / "static.trc", kept))


def test_a_marker_that_was_lost_in_the_static_trial_is_done_without(tmp_path: Path) -> None:
    markers = as_markers(ANNA, TIME_S, without=INNER)
    still = {name: track.copy() for name, track in ANNA.items()}
    still["RThigh0"][:] = np.nan
    file = standing(tmp_path / "static.trc", still)
    lines = file.read_text("utf-8").splitlines()
    cells = lines[5].split("\t")
    lines[5] = "\t".join([*cells[:2], *("nan" for _ in cells[2:])])  # nothing is seen in its first sample
    file.write_text("\n".join(lines) + "\n", "utf-8")
    found, _ = with_static(markers, tmp_path / "walk.trc", file)
    off = found.positions[:, found.names.index("RKneeMedial")] - ANNA["RKneeMedial"]
    assert np.abs(off).max() < 4e-3


def test_joints_without_an_inner_marker_are_told(tmp_path: Path) -> None:
    write_markers(tmp_path / "walk.trc", as_markers(ANNA, TIME_S, without=INNER))
    static = standing(tmp_path / "static.trc", {name: track for name, track in ANNA.items() if name != "RKneeMedial"})
    walked = read_walk(tmp_path / "walk.trc", ReadOptions(static=static))
    assert any("no inner marker to these joints: right knee." in note for note in walked.notes)
    assert "right_thigh" not in walked.segments
    assert "left_thigh" in walked.segments
    whole = read_walk(tmp_path / "walk.trc", ReadOptions(static=standing(tmp_path / "whole.trc", ANNA)))
    assert not whole.notes


def test_a_static_trial_beside_points_of_a_picture_is_refused(tmp_path: Path) -> None:
    flat = {name: track * [1.0, 0.0, 1.0] for name, track in ANNA.items()}
    write_markers(tmp_path / "flat.trc", as_markers(flat, TIME_S))
    with pytest.raises(GaitkeeperError) as caught:
        read_walk(tmp_path / "flat.trc", ReadOptions(static=standing(tmp_path / "static.trc", ANNA)))
    assert caught.value.code == "option-does-not-apply"


@pytest.mark.parametrize(("taller", "said"), [(0.95, "5 % shorter"), (1.05, "5 % longer"), (1.1, "10 % longer")])
def test_who_is_taller_than_the_walker_does_not_stand_for_them(tmp_path: Path, taller: float, said: str) -> None:
    static = standing(tmp_path / "static.trc", {name: taller * track for name, track in ANNA.items()})
    with pytest.raises(GaitkeeperError, match=rf"distances are {said} than those in walk\.trc") as caught:
        with_static(as_markers(ANNA, TIME_S, without=INNER), tmp_path / "walk.trc", static)
    assert caught.value.code == "static-unusable"


@pytest.mark.parametrize("name", ["walking1", "walkingTI2", "walkingTS3"])
def test_a_persons_own_trial_is_taken_and_one_of_a_taller_is_not(tmp_path: Path, name: str) -> None:
    if not OPENCAP.exists():
        pytest.skip(f"opencap-subject4 is absent: GAITKEEPER_DATA is {OPENCAP.parents[1]}")
    walked, still = (read_trc_markers(OPENCAP / f"{one}.trc") for one in (name, "static1"))
    found, notes = with_static(walked, OPENCAP / f"{name}.trc", OPENCAP / "static1.trc")
    assert (len(found.names) - len(walked.names), notes) == (4, ())
    write_markers(tmp_path / "static.trc", replace(still, positions=1.05 * still.positions))
    with pytest.raises(GaitkeeperError, match="5 % longer"):
        with_static(walked, OPENCAP / f"{name}.trc", tmp_path / "static.trc")


@pytest.mark.parametrize("taller", [0.985, 1.015])
def test_skin_that_moves_and_markers_that_were_moved_make_nobody_taller(tmp_path: Path, taller: float) -> None:
    still = {name: taller * track for name, track in ANNA.items()}
    for name in ("LThigh0", "RShank0"):
        still[name] = still[name] + np.array([0.0, 0.06, 0.0])
    found, _ = with_static(
        as_markers(ANNA, TIME_S, without=INNER), tmp_path / "walk.trc", standing(tmp_path / "static.trc", still)
    )
    assert "RKneeMedial" in found.names


def test_a_walk_is_no_static_trial(tmp_path: Path) -> None:
    write_markers(tmp_path / "other.trc", as_markers(ANNA, TIME_S))
    with pytest.raises(GaitkeeperError, match="its markers move"):
        with_static(as_markers(ANNA, TIME_S, without=INNER), tmp_path / "walk.trc", tmp_path / "other.trc")
