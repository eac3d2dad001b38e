"""A static trial's markers in the walk: whose they are, and what is said where none or not all can be put back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from segments_fixtures import INNER, as_markers, full_set, standing, turned_in, walk, write_markers

from gaitkeeper_client.gait.joint_coordinates import three_planes
from gaitkeeper_client.lab.options import ReadOptions
from gaitkeeper_client.lab.readers import read_walk
from gaitkeeper_client.lab.static import with_static
from gaitkeeper_shared.errors import GaitkeeperError

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
    found = with_static(markers, tmp_path / "walk.trc", static, "Ben")
    assert set(found.names) - set(markers.names) == {f"Ben:{s}{inner}" for s in "LR" for inner in INNER}
    off = found.positions[:, found.names.index("Ben:RKneeMedial")] - beside["Ben:RKneeMedial"]
    assert np.abs(off).max() < 4e-3
    segments = read_walk(tmp_path / "walk.trc", ReadOptions(static=static, person="Ben")).segments
    turned = three_planes(segments, (1.0, 0.0))["hip_rotation_right"]
    assert turned == pytest.approx(2.0 * turned_in(TIME_S), abs=1.0)


def test_of_two_who_stand_the_one_who_walks_is_taken(tmp_path: Path) -> None:
    markers = as_markers({f"Ben:{name}": track for name, track in BEN.items()}, TIME_S, without=INNER)
    still = {f"Anna:{name}": track for name, track in ANNA.items()}
    still |= {f"Ben:{name}": track + ASIDE for name, track in BEN.items()}
    found = with_static(markers, tmp_path / "walk.trc", standing(tmp_path / "static.trc", still))
    off = found.positions[:, found.names.index("Ben:LKneeMedial")] - BEN["LKneeMedial"]
    assert np.abs(off).max() < 4e-3


def test_a_walk_that_has_its_inner_markers_needs_no_static_trial(tmp_path: Path) -> None:
    static = standing(tmp_path / "static.trc", ANNA)
    with pytest.raises(GaitkeeperError, match=r"walk\.trc has the markers at the inner side .* itself"):
        with_static(as_markers(ANNA, TIME_S), tmp_path / "walk.trc", static)
