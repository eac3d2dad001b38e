"""Legs that a file lacks, and sides that it exchanges: named, and never measured as the other leg's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from lab_fixtures import PLUG_IN_GAIT, markers_of, walk, write_c3d, write_trc

from gaitkeeper_client.lab.c3d import read_c3d
from gaitkeeper_client.lab.joints import to_trajectories
from gaitkeeper_client.lab.readers import read_walk
from gaitkeeper_client.lab.walk import Markers
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

WALK = walk(3.0)
PARTS = ("hip", "knee", "ankle", "heel", "toe")
Tracks = dict[str, FloatArray]


def refusal(change: Callable[[Tracks], Tracks], mapping: Mapping[str, tuple[str, ...]] | None = None) -> str:
    """Code and message for the walk's markers changed; ``read`` where nothing is refused."""
    tracks = change(markers_of(WALK, PLUG_IN_GAIT))
    markers = Markers(WALK.time_s, tuple(tracks), np.stack(list(tracks.values()), axis=1), 1.0)
    try:
        to_trajectories(markers, Path("walk.c3d"), mapping, right_handed=True)
    except GaitkeeperError as error:
        return f"{error.code} {error.exit_status}: {error.message}"
    return "read"


def exchanged(tracks: Tracks, *joints: str) -> Tracks:
    other = dict(tracks)
    for name in (PLUG_IN_GAIT[joint] for joint in joints):
        other[f"L{name}"], other[f"R{name}"] = tracks[f"R{name}"], tracks[f"L{name}"]
    return other


def without(tracks: Tracks, *names: str) -> Tracks:
    return {name: track for name, track in tracks.items() if name not in names}


def unseen(tracks: Tracks, *names: str) -> Tracks:
    return {name: np.full_like(track, np.nan) if name in names else track for name, track in tracks.items()}


def test_a_leg_that_is_missing_is_named_by_its_side() -> None:
    leg = ("LHJC", "LKNE", "LANK")
    said = refusal(lambda tracks: without(tracks, *leg))
    assert said.startswith("lab-points-missing")
    assert "the left leg" in said
    assert "right" not in said
    assert "without: right ankle" in refusal(lambda tracks: without(tracks, "RANK"))
    assert "lab-points-unseen" in refusal(lambda tracks: unseen(tracks, "RKNE", "RANK"))
    assert "right knee, right ankle" in refusal(lambda tracks: unseen(tracks, "RKNE", "RANK"))
    assert refusal(lambda tracks: unseen(tracks, *tracks)).startswith("lab-nothing-seen")


@pytest.mark.parametrize("crossed", [*combinations(PARTS, 1), ("knee", "ankle"), ("knee", "ankle", "heel", "toe")])
def test_one_pair_of_names_exchanged_is_found_by_the_bones(crossed: tuple[str, ...]) -> None:
    said = refusal(lambda tracks: exchanged(tracks, *crossed))
    assert said.startswith("lab-sides-exchanged")
    assert any(joint in said for joint in crossed)


def test_all_names_exchanged_are_found_by_the_feet_and_put_right_by_a_mapping() -> None:
    assert refusal(lambda tracks: tracks) == "read"
    swapped = {
        f"{side}_{joint}": (f"{other[0].upper()}{PLUG_IN_GAIT[joint]}",)
        for side, other in zip(SIDES, reversed(SIDES), strict=True)
        for joint in PARTS
    }
    assert refusal(lambda tracks: exchanged(tracks, *PLUG_IN_GAIT)).startswith("lab-sides-exchanged")
    assert refusal(lambda tracks: exchanged(tracks, *PLUG_IN_GAIT), swapped) == "read"


def test_heels_and_toes_exchanged_are_told_from_exchanged_sides() -> None:
    def feet(tracks: Tracks) -> Tracks:
        return tracks | {f"{s}HEE": tracks[f"{s}TOE"] for s in "LR"} | {f"{s}TOE": tracks[f"{s}HEE"] for s in "LR"}

    assert refusal(feet).startswith("lab-feet-reversed")


def test_c3d_promises_right_handed_axes_and_trc_does_not(tmp_path: Path) -> None:
    positions = WALK.positions * np.array([1.0, -1.0, 1.0])
    turned = replace(WALK, positions=positions)
    with pytest.raises(GaitkeeperError) as error:
        read_c3d(write_c3d(tmp_path / "walk.c3d", turned))
    assert error.value.code == "lab-sides-exchanged"
    found = read_walk(write_trc(tmp_path / "walk.trc", turned))
    assert any("check one of them against the patient" in note for note in found.notes)
    heel = JOINT_INDEX["left_heel"]
    extents = [np.sort(np.ptp(one.positions[:, heel], axis=0)) for one in (found.trajectories, WALK)]
    assert np.allclose(*extents, atol=1e-4)


def test_a_standing_person_and_one_who_walks_backwards_keep_their_sides() -> None:
    still = JointTrajectories(WALK.time_s, np.repeat(WALK.positions[:1], WALK.time_s.size, 0), "m", WALK.confidence)
    backwards = replace(WALK, positions=WALK.positions[::-1].copy())
    for one in (still, backwards):
        tracks = markers_of(one, PLUG_IN_GAIT)
        markers = Markers(one.time_s, tuple(tracks), np.stack(list(tracks.values()), axis=1), 1.0)
        _, frame = to_trajectories(markers, Path("walk.c3d"), right_handed=True)
        assert not frame.mirrored
