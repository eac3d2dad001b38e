"""Markers that were taken off after a static trial, put back into a walk.

Laboratories set markers at the inner side of knee and ankle for a trial in which the person stands, and take them off
for the walks. There each is put back from markers of the same segment that stayed on, which keep their distances: the
anatomical calibration of Cappozzo et al. 1995 (doi:10.1016/0268-0033(95)91394-T), by the rigid motion that fits best
(Söderkvist & Wedin 1993, doi:10.1016/0021-9290(93)90098-Y).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from gaitkeeper_client.lab.picker import Picker, marker_sets, plain_name
from gaitkeeper_client.lab.subjects import of_one_person
from gaitkeeper_client.lab.walk import Markers
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.skeleton import SIDES, other_side

RIGID_M = 0.01
"""Standard deviation, in the walk, of a distance within a segment, at most: of the walks at hand, those of the thigh's
skin to the hip reach 9 mm."""
LONGEST = 1.2
"""Of the distance between a segment's ends: no marker of it is farther from either."""
MOST = 12
"""Markers of a segment that are looked at, the steadiest: more tell nothing new."""
LEAST_SPREAD_M = 0.015
"""Root mean square distance of a segment's markers from one line, at least: else they do not tell how it turns."""
SAME_M = 0.02
"""By how much a distance within a segment may differ between both trials: beyond, a marker was moved between them, or
is not the segment's. In one of the seven walks at hand a thigh's marker lies 57 mm off."""
STILL_M = 0.05
"""Median distance of markers from their usual place, at most, of a person who stands; 1.4 mm in the trial at hand."""
STEADY_M, LONG_M = 0.005, 0.1
"""Of a distance between two markers in the walk that tells the person's size: its standard deviation at most, and its
length at least."""
FEWEST_DISTANCES = 10
SAME_SIZE = 0.03
"""By how much, as a share of the walk's, such distances may differ in the static trial, in the middle of all of them:
in a taller person every one is longer, and a marker that was moved changes its own alone. Of the seven people at hand
they differ by up to 1.4 %, by whichever markers; of 30 pairs of different children, 21 to 24 differ by more than 3 %.
People of one size are not told apart."""
FEWEST = 3
"""Markers that tell how a segment stands."""
_PARTLY = (
    "The static trial gave no inner marker to these joints: {lacking}. Angles in three planes that need it are missing."
)
_FAR_END = {"knee": "hip", "ankle": "knee"}
"""By pair: the joint at the other end of the segment that both of its markers belong to."""


def with_static(
    walk: Markers, path: Path, static_path: Path | None, person: str | None = None
) -> tuple[Markers, tuple[str, ...]]:
    """The walk with the inner markers of knees and ankles that only the static trial has, behind its own.

    And a note where that was possible at some of them alone.

    ``static_path``: None for a walk that is taken as it is. ``person``: which of several people, see :mod:`subjects`;
    the others' markers stay as they are. Raises ``static-unusable`` where the trial gives no marker,
    ``person-unknown``, and what the file's reader raises.
    """
    if static_path is None:
        return walk, ()
    one, _ = of_one_person(walk, path, person)
    static = _of_whom_walks(_read(static_path), one, static_path)
    _check_still(static, static_path)
    _check_size(one, static, path, static_path)
    own, whose = {plain_name(name) for name in one.names}, _columns(one)
    added: dict[str, FloatArray] = {}
    whole: set[tuple[str, str]] = set()
    pairs = [(pair, side, found) for side in SIDES for pair in _FAR_END if (found := _pair(static, pair, side))]
    for pair, side, (outer, inner) in pairs:
        if plain_name(inner) in own:
            whole.add((pair, side))
        elif (track := _put_back(inner, _cluster(one, static, pair, side, outer), one, static)) is not None:
            whole.add((pair, side))
            subject, colon, _ = one.names[whose[plain_name(outer)]].rpartition(":")
            added[f"{subject}{colon}{inner.rpartition(':')[2]}"] = track
    if not added:
        why = (
            f"no marker at the inner side of a knee or ankle can be put back into {path.name}. It takes one that the "
            f"walk lacks, its fellow at the outer side, and {FEWEST - 1} more on the same thigh or shank that are in "
            "both files and were not moved between them"
        )
        if pairs and all(plain_name(inner) in own for _, _, (_, inner) in pairs):
            why = f"{path.name} has the markers at the inner side of knees and ankles itself"
        raise GaitkeeperError("static-unusable", path=static_path, detail=why)
    tracks = [walk.positions, *(track[:, None] for track in added.values())]
    with_added = replace(walk, names=(*walk.names, *added), positions=np.concatenate(tracks, axis=1))
    lacking = [f"{side} {pair}" for side in SIDES for pair in _FAR_END if (pair, side) not in whole]
    return with_added, (_PARTLY.format(lacking=", ".join(lacking)),) if lacking else ()


def check_no_static(path: Path, static: Path | None) -> None:
    """Raise ``option-does-not-apply`` where a picture's points were given a static trial."""
    if static is not None:
        raise GaitkeeperError("option-does-not-apply", option="--static", path=path, kind="points of a picture")


def _read(path: Path) -> Markers:
    from gaitkeeper_client.lab.c3d import read_c3d_markers
    from gaitkeeper_client.lab.motive import read_motive_markers
    from gaitkeeper_client.lab.trc import read_trc_markers

    readers = {".c3d": read_c3d_markers, ".trc": read_trc_markers, ".csv": read_motive_markers}
    if path.suffix.lower() not in readers:
        raise GaitkeeperError("static-unusable", path=path, detail="it is no C3D, TRC or Motive file of markers")
    return readers[path.suffix.lower()](path)


def _of_whom_walks(static: Markers, walk: Markers, path: Path) -> Markers:
    """The static trial's markers of one person: of the walk's name before the colon, where it has that name."""
    whose = {name.rpartition(":")[0] for name in walk.names} - {""}
    columns = [column for column, name in enumerate(static.names) if name.rpartition(":")[0] in whose]
    if not columns:
        return of_one_person(static, path)[0]
    names = tuple(static.names[column] for column in columns)
    return replace(static, names=names, positions=static.positions[:, columns])


def _check_still(static: Markers, path: Path) -> None:
    """Raise for a trial in which the person moves: the middle of where a marker was is then no pose of anybody's."""
    off = np.linalg.norm(static.positions - _standing(static), axis=2)
    usual = off[np.isfinite(off)] * Picker(static).metres_per_unit()
    if usual.size and float(np.median(usual)) > STILL_M:
        why = (
            f"its markers move: half of the time they are more than {100.0 * np.median(usual):.0f} cm from their place"
        )
        raise GaitkeeperError("static-unusable", path=path, detail=why)


def _check_size(walk: Markers, static: Markers, path: Path, static_path: Path) -> None:
    """Raise for a trial of somebody who is taller or shorter than who walks."""
    taller = _taller(walk, static)
    if abs(taller) > SAME_SIZE:
        how = "longer" if taller > 0.0 else "shorter"
        why = f"its distances are {100.0 * abs(taller):.0f} % {how} than those in {path.name}, as somebody else's are"
        raise GaitkeeperError("static-unusable", path=static_path, detail=why)


def _taller(walk: Markers, static: Markers) -> float:
    """By which share who stands is taller than who walks, by the distances that the walk keeps; 0 for too few."""
    columns, there = _columns(walk), _columns(static)
    tracks = Picker(walk).metres_per_unit() * walk.positions
    standing = Picker(static).metres_per_unit() * _standing(static)
    found = []
    for one, other in combinations(sorted(columns.keys() & there.keys()), 2):
        track, end = tracks[:, columns[one]], tracks[:, columns[other]]
        if _spread(track, end) <= STEADY_M and (usual := _usual(track, end)) >= LONG_M:
            found.append(float(np.linalg.norm(standing[there[one]] - standing[there[other]])) / usual)
    shares = np.array(found)
    shares = shares[np.isfinite(shares)]
    return float(np.median(shares)) - 1.0 if shares.size >= FEWEST_DISTANCES else 0.0


def _standing(static: Markers) -> FloatArray:
    """(M, 3) where each marker is in the static trial, in its unit; NaN for one that is never seen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of such a marker
        return np.asarray(np.nanmedian(static.positions, axis=0))


def _pair(static: Markers, pair: str, side: str) -> tuple[str, str] | None:
    """The names, as the static trial has them, of the outer and the inner marker at a joint."""
    own = {plain_name(name): name for name in reversed(static.names)}
    for option in marker_sets().pairs[pair]:
        outer, inner = (name.format(s=side[0], side=side) for name in option)
        if outer in own and inner in own:
            return own[outer], own[inner]
    return None


def _cluster(walk: Markers, static: Markers, pair: str, side: str, outer: str) -> list[tuple[int, int]]:
    """Columns in the walk and in the static trial of a segment's markers: those that keep their distances.

    The largest set with the outer marker of which every two do, and each to the joint at the segment's other end; of
    several the one whose distances are the steadiest.
    """
    columns, there = _columns(walk), _columns(static)
    own = plain_name(outer)
    far = Picker(walk).joints().get(f"{side}_{_FAR_END[pair]}")
    if far is None or own not in columns:
        return []
    metres = Picker(walk).metres_per_unit()
    standing = _standing(static) * Picker(static).metres_per_unit()
    tracks = {
        name: metres * walk.positions[:, columns[name]] for name in columns.keys() & there.keys() - _strangers(side)
    }
    near, far = tracks[own], metres * far
    reach = LONGEST * _usual(near, far)
    steady = {
        name: _spread(track, near) + _spread(track, far)
        for name, track in tracks.items()
        if max(_spread(track, end) for end in (near, far)) <= RIGID_M
        and max(_usual(track, end) for end in (near, far)) <= reach
    }
    names = [name for name in sorted(steady, key=lambda name: (steady[name], name)) if name != own][:MOST]
    apart = {}
    for one, other in combinations([own, *names], 2):
        moved = abs(
            _usual(tracks[one], tracks[other]) - float(np.linalg.norm(standing[there[one]] - standing[there[other]]))
        )
        apart[one, other] = _spread(tracks[one], tracks[other]) if moved <= SAME_M else float("inf")
    for count in range(len(names), FEWEST - 2, -1):
        sets = [(own, *more) for more in combinations(names, count)]
        rigid = [one for one in sets if all(apart[two] <= RIGID_M for two in combinations(one, 2))]
        if rigid:
            best = min(rigid, key=lambda one: sum(apart[two] for two in combinations(one, 2)))
            return [(columns[name], there[name]) for name in best]
    return []


def _columns(markers: Markers) -> Mapping[str, int]:
    return {plain_name(name): column for column, name in reversed(list(enumerate(markers.names)))}


def _strangers(side: str) -> set[str]:
    """Names of markers that are no part of a side's thigh or shank, but may keep their distance to both of its ends.

    A foot's to knee and ankle hardly change, and the other hip lies on the line about which this one bends.
    """
    table = marker_sets()
    foot = [*table.joints["heel"], *table.joints["toe"], *table.pairs["foot"]]
    pelvis = [option for options in table.pelvis.values() for option in options]
    found = {name.format(s=side[0], side=side) for option in foot for name in option}
    other = other_side(side)
    for options in (*table.joints.values(), pelvis):
        found |= {name.format(s=other[0], side=other) for option in options for name in option if "{s" in name}
    return found | {name.format(s=side[0], side=side) for option in pelvis for name in option}


def _usual(track: FloatArray, end: FloatArray) -> float:
    return float(np.nanmedian(np.linalg.norm(track - end, axis=1)))


def _spread(track: FloatArray, end: FloatArray) -> float:
    apart = np.linalg.norm(track - end, axis=1)
    seen = apart[np.isfinite(apart)]
    return float(seen.std()) if seen.size > 1 else float("inf")


def _put_back(inner: str, cluster: list[tuple[int, int]], walk: Markers, static: Markers) -> FloatArray | None:
    """(T, 3) of a marker of the static trial in the walk, in its unit; NaN where too few of its segment are seen.

    None where that is always so.
    """
    if not cluster:
        return None
    metres = Picker(walk).metres_per_unit()
    standing = _standing(static) * (Picker(static).metres_per_unit() / metres)
    model, place = standing[[column for _, column in cluster]], standing[static.names.index(inner)]
    known = np.isfinite(model).all(axis=1)
    track = np.full((len(walk.time_s), 3), np.nan)
    for frame, points in enumerate(walk.positions[:, [column for column, _ in cluster]]):
        seen = known & np.isfinite(points).all(axis=1)
        if seen.sum() >= FEWEST and _off_a_line(model[seen]) * metres >= LEAST_SPREAD_M:
            middle, there = model[seen].mean(axis=0), points[seen].mean(axis=0)
            turn, _ = Rotation.align_vectors(points[seen] - there, model[seen] - middle)
            track[frame] = there + turn.apply(place - middle)
    return track if np.isfinite(track).any() else None


def _off_a_line(points: FloatArray) -> float:
    """Root mean square distance of points from the line that fits them best."""
    values = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return float(np.sqrt((values[1:] ** 2).sum() / len(points)))
