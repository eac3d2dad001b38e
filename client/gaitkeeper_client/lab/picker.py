"""Which of a file's markers make which joint, by the table ``marker_sets.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from gaitkeeper_client.lab.geometry import LEG_M
from gaitkeeper_client.lab.walk import Markers
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.skeleton import SIDES

SEEN_ENOUGH = 0.5
"""An alternative is taken if it is seen in at least this share of the frames of the one that is seen most."""

_SHANK_M = (0.5 * LEG_M[0], 0.5 * LEG_M[1])
_BONE = "bone"
"""What the table writes before the names of a solved skeleton's joints: a marker of that name lies elsewhere."""

Alternatives = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class MarkerSets:
    """The table: alternatives per joint, the pelvis' markers, and what gives a part of the body three axes.

    ``pairs``: an outer and an inner marker at knee, ankle and ball of the foot. ``centres``: markers at the very centre
    of hip, knee and ankle. ``bones``: two points for the direction forward and two for that upward.
    """

    joints: Mapping[str, Alternatives]
    pelvis: Mapping[str, Alternatives]
    pairs: Mapping[str, Alternatives]
    centres: Mapping[str, Alternatives]
    bones: Mapping[str, tuple[str, ...]]


@cache
def marker_sets() -> MarkerSets:
    """The table that ships with the reader."""
    text = (resources.files("gaitkeeper_client.lab") / "marker_sets.toml").read_text("utf-8")
    table = tomllib.loads(text)

    def alternatives(rows: Mapping[str, list[list[str]]]) -> dict[str, Alternatives]:
        return {name: tuple(tuple(markers) for markers in row) for name, row in rows.items()}

    bones = {name: tuple(points) for name, points in table["bones"].items()}
    joints, pelvis, pairs, centres = (alternatives(table[name]) for name in ("joints", "pelvis", "pairs", "centres"))
    return MarkerSets(joints, pelvis, pairs, centres, bones)


def plain_name(name: str) -> str:
    """A marker's name as the table writes it: ``Anna:L.Heel`` is ``lheel``."""
    return "".join(letter for letter in name.split(":")[-1].lower() if letter.isalnum())


class Picker:
    """Finds the markers of one person in the table."""

    def __init__(self, markers: Markers) -> None:
        self._markers = markers
        self._columns: dict[str, int] = {}
        for column, name in enumerate(markers.names):
            kind = _BONE if name in markers.bones else ""
            self._columns.setdefault(kind + plain_name(name), column)  # a name that stands twice is taken once

    def joints(self) -> dict[str, FloatArray]:
        """(T, 3) track of each joint that can be made, in the file's axes and unit."""
        table, found = marker_sets(), {}
        for what, alternatives in table.joints.items():
            if what == "nose":
                if (nose := self._best([self._mean(option, "left") for option in alternatives])) is not None:
                    found["nose"] = nose
                continue
            pairs = [self._pair(option) for option in alternatives]
            left, right = self._best_pair(pairs)
            if left is not None and right is not None:
                found[f"left_{what}"], found[f"right_{what}"] = left, right
        return found

    def across(self, what: str, side: str) -> FloatArray | None:
        """(T, 3) from the inner to the outer marker of a pair; None where the file has none that is seen."""
        options = marker_sets().pairs[what]
        return self._best([self._way((inner,), (outer,), side) for outer, inner in options])

    def centre(self, what: str, side: str) -> FloatArray | None:
        """(T, 3) of hip, knee or ankle; None where nothing but a marker on the skin says where it is."""
        table = marker_sets()
        options = [*table.pairs.get(what, ()), *table.centres[what]]
        return self._best([self._pair(option)[SIDES.index(side)] for option in options])

    def bone(self, what: str, side: str) -> tuple[FloatArray, FloatArray] | None:
        """(T, 3) forward and (T, 3) up of a part of the body that the file has as axes; None where it has not."""
        points = [(name,) for name in marker_sets().bones[what]]
        forward, up = (self._way(points[k], points[k + 1], side) for k in (0, 2))
        return None if self._best([forward]) is None or forward is None or up is None else (forward, up)

    def spines(self) -> tuple[FloatArray, FloatArray] | None:
        """(T, 3) from the left to the right front spine, and from the back of the pelvis to its front, or None."""
        found = self._pelvis()
        return None if found is None else (found[1] - found[0], 0.5 * (found[0] + found[1]) - found[2])

    def _way(self, start: tuple[str, ...], end: tuple[str, ...], side: str) -> FloatArray | None:
        first, last = self._mean(start, side), self._mean(end, side)
        return None if first is None or last is None else last - first

    def names(self, what: str, side: str) -> bool:
        """Whether the file has markers of that joint's name on that side, seen or not."""
        return bool(self.tracks(what, side))

    def sees(self, what: str, side: str) -> bool:
        """Whether any of them is ever seen."""
        return any(_share_seen(track) > 0.0 for track in self.tracks(what, side))

    def lacks_back_of_pelvis(self) -> bool:
        """Whether the hips could be made of the pelvis, if only its back had a marker, too."""
        options = marker_sets().pelvis
        front = [self._mean(option, side) for option in options["front"] for side in SIDES]
        back = [self._mean(option, side) for option in options["back"] for side in SIDES]
        back += [self._mean(option, "left") for option in options["back_middle"]]
        return any(track is not None for track in front) and all(track is None for track in back)

    def tracks(self, what: str, side: str) -> list[FloatArray]:
        """(T, 3) tracks of every definition of a joint whose markers the file names on that side, best first."""
        options = [option for option in marker_sets().joints[what] if option != ("pelvis",)]
        found = [self._mean(option, side) for option in options]
        if what == "hip":
            # The pelvis gives both hips; its spine of this side is what the file can lack.
            found += [self._mean(option, side) for option in marker_sets().pelvis["front"]]
        return [track for track in found if track is not None]

    def _ankles(self) -> FloatArray:
        left, right = self._best_pair([self._pair(option) for option in marker_sets().joints["ankle"]])
        if left is None or right is None:
            return np.full((self._markers.time_s.size, 3), np.nan)
        return 0.5 * (left + right)

    def _pair(self, option: tuple[str, ...]) -> tuple[FloatArray | None, FloatArray | None]:
        if option == ("pelvis",):
            return self._hips_of_pelvis()
        return self._mean(option, "left"), self._mean(option, "right")

    def _mean(self, option: tuple[str, ...], side: str) -> FloatArray | None:
        columns = [self._columns.get(name.format(s=side[0], side=side)) for name in option]
        if any(column is None for column in columns):
            return None
        mean: FloatArray = self._markers.positions[:, [column for column in columns if column is not None]].mean(axis=1)
        return mean

    def _best_pair(
        self, pairs: Sequence[tuple[FloatArray | None, FloatArray | None]]
    ) -> tuple[FloatArray | None, FloatArray | None]:
        """The first pair that is seen often enough; a pair is seen as often as its rarer side."""
        whole = [(left, right) for left, right in pairs if left is not None and right is not None]
        seen = [min(_share_seen(left), _share_seen(right)) for left, right in whole]
        return next((pair for pair, share in zip(whole, seen, strict=True) if _enough(share, seen)), (None, None))

    def _best(self, tracks: Sequence[FloatArray | None]) -> FloatArray | None:
        there = [track for track in tracks if track is not None]
        seen = [_share_seen(track) for track in there]
        return next((track for track, share in zip(there, seen, strict=True) if _enough(share, seen)), None)

    def _hips_of_pelvis(self) -> tuple[FloatArray | None, FloatArray | None]:
        """Hip joint centres by the simple regression of Harrington et al. 2007, table 6.

        doi:10.1016/j.jbiomech.2006.02.003.

        From the middle of the front spines, in metres: 0.24 of the pelvis' depth + 9.9 mm back, 0.30 of its width +
        10.9 mm down, 0.33 of its width + 7.3 mm to the side. Their error in children and adults is 5 to 8 mm each.
        """
        unit = self.metres_per_unit()
        pelvis = self._pelvis()
        if pelvis is None or not np.isfinite(unit):
            return None, None
        left, right, back = pelvis
        front = 0.5 * (left + right)
        width, depth = _median_length(right - left), _median_length(front - back)
        rightwards = _unit(right - left)
        forward = front - back
        forward = _unit(forward - (forward * rightwards).sum(axis=1, keepdims=True) * rightwards)
        up = np.cross(rightwards, forward)
        down = self._ankles() - front
        falls = (up * down).sum(axis=1)
        falls = falls[np.isfinite(falls)]
        if falls.size and np.median(falls) > 0.0:
            up = -up  # left-handed axes
        centre = front - forward * (0.24 * depth + 0.0099 / unit) - up * (0.30 * width + 0.0109 / unit)
        aside = rightwards * (0.33 * width + 0.0073 / unit)
        return centre - aside, centre + aside

    def _pelvis(self) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """(T, 3) left and right front spine, and the middle of the back; None where one has no marker."""
        table = marker_sets().pelvis
        left, right = self._best_pair([self._pair(option) for option in table["front"]])
        back_left, back_right = self._best_pair([self._pair(option) for option in table["back"]])
        back = self._best([self._mean(option, "left") for option in table["back_middle"]])
        if back_left is not None and back_right is not None:
            back = 0.5 * (back_left + back_right)
        return None if left is None or right is None or back is None else (left, right, back)

    def metres_per_unit(self) -> float:
        """As the file says; else by the length of the shank, in metres, centimetres or millimetres; NaN for none."""
        declared = self._markers.metres_per_unit
        if np.isfinite(declared):
            return declared if declared > 0.0 else float("nan")  # a pixel
        lengths = [
            _median_length(knee - ankle)
            for side in SIDES
            for knee, ankle in zip(self.tracks("knee", side)[:1], self.tracks("ankle", side)[:1], strict=False)
        ]
        low, high = _SHANK_M
        known = [length for length in lengths if np.isfinite(length)]
        fitting = [factor for factor in (1.0, 0.01, 0.001) if known and low <= factor * min(known) <= high]
        return fitting[0] if fitting else float("nan")


def _share_seen(track: FloatArray) -> float:
    return float(np.isfinite(track).all(axis=1).mean())


def _enough(share: float, others: Sequence[float]) -> bool:
    return share > 0.0 and share >= SEEN_ENOUGH * max(others)


def _median_length(vectors: FloatArray) -> float:
    lengths = np.linalg.norm(vectors, axis=1)
    seen = lengths[np.isfinite(lengths)]
    return float(np.median(seen)) if seen.size else float("nan")


def _unit(vectors: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        unit: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
