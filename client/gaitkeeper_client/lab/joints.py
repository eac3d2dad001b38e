"""From markers to joints, by the table ``marker_sets.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.geometry import LEG_M, METRES_PER_UNIT, metres_per_unit, vertical_axis, z_up
from gaitkeeper_client.lab.sides import check_sides
from gaitkeeper_client.lab.walk import Markers
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import leg_length
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS, SIDES

_NEEDED = ("hip", "knee", "ankle")
_SEEN_ENOUGH = 0.5
"""An alternative is taken if it is seen in at least this share of the frames of the one that is seen most."""

_MIRRORED = (
    "The file's axes are left-handed, or its left and right are exchanged: the feet point one way and the sides lie "
    "the other way round, and this format does not say which. The sides were taken as they are named: check one of "
    "them against the patient before a side is read from this report."
)

Alternatives = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class MarkerSets:
    """The table: alternatives per joint, and the pelvis' markers for the hip regression."""

    joints: Mapping[str, Alternatives]
    pelvis: Mapping[str, Alternatives]


@dataclass(frozen=True, slots=True)
class LabFrame:
    """How a file's axes and unit become ours: the vertical's axis and sign, metres per unit.

    ``mirrored``: the file's axes are left-handed (or its left and right are exchanged: see :mod:`sides`); the second
    horizontal axis is then turned over, and the sides stay as they are named.
    """

    vertical: tuple[int, int]
    scale: float
    mirrored: bool = False

    def points(self, positions: FloatArray) -> FloatArray:
        """(..., 3) positions in metres, z up."""
        return self.directions(positions) * self.scale

    def directions(self, vectors: FloatArray) -> FloatArray:
        """(..., 3) vectors of any quantity, z up."""
        turned = z_up(vectors, self.vertical)
        if self.mirrored:
            turned[..., 1] = -turned[..., 1]
        return turned

    @property
    def notes(self) -> tuple[str, ...]:
        """What has to be known of the frame, in words."""
        return (_MIRRORED,) if self.mirrored else ()


@cache
def marker_sets() -> MarkerSets:
    """The table that ships with the reader."""
    text = (resources.files("gaitkeeper_client.lab") / "marker_sets.toml").read_text("utf-8")
    table = tomllib.loads(text)

    def alternatives(rows: Mapping[str, list[list[str]]]) -> dict[str, Alternatives]:
        return {name: tuple(tuple(markers) for markers in row) for name, row in rows.items()}

    return MarkerSets(alternatives(table["joints"]), alternatives(table["pelvis"]))


def plain_name(name: str) -> str:
    """A marker's name as the table writes it: ``Anna:L.Heel`` is ``lheel``."""
    return "".join(letter for letter in name.split(":")[-1].lower() if letter.isalnum())


def to_trajectories(
    markers: Markers,
    path: Path,
    mapping: Mapping[str, tuple[str, ...]] | None = None,
    *,
    right_handed: bool = False,
) -> tuple[JointTrajectories, LabFrame]:
    """Joints of a walk, in metres, z up, and the frame that turns the file's other vectors alike.

    ``mapping``: our joint to the file's own markers, whose mean it is, before what the table says. ``right_handed``:
    the format promises such axes. Raises ``lab-points-missing``, ``lab-points-unseen``, ``lab-nothing-seen``,
    ``lab-unit-unknown``, ``lab-unit-contradiction``, ``lab-sides-exchanged``, ``lab-feet-reversed`` or
    ``pose-mapping-wrong``.
    """
    picker = _Picker(markers)
    tracks = picker.joints() | mapped_tracks(markers, path, mapping or {})
    _check_legs(picker, tracks, path)
    raw = np.full((markers.time_s.size, len(JOINTS), 3), np.nan)
    for name, track in tracks.items():
        raw[:, JOINT_INDEX[name]] = track
    length = leg_length(raw)
    if not np.isfinite(length):
        raise GaitkeeperError("lab-nothing-seen", path=path)
    upward = raw[:, [JOINT_INDEX[f"{side}_hip"] for side in SIDES]].sum(axis=1)
    upward = upward - raw[:, [JOINT_INDEX[f"{side}_ankle"] for side in SIDES]].sum(axis=1)
    frame = LabFrame(vertical_axis(upward), _scale(length, markers.metres_per_unit, path))
    if check_sides(frame.points(raw), path, right_handed=right_handed):
        frame = LabFrame(frame.vertical, frame.scale, mirrored=True)
    positions = frame.points(raw)
    confidence = np.asarray(np.isfinite(positions).all(axis=2), dtype=np.float64)
    return JointTrajectories(markers.time_s, positions, "m", confidence), frame


def _check_legs(picker: _Picker, tracks: Mapping[str, FloatArray], path: Path) -> None:
    """Raise for what a walk cannot be read without, by side: one leg that lacks its markers does not stand for both."""
    lacking = [(what, side) for side in SIDES for what in _NEEDED if f"{side}_{what}" not in tracks]
    if not lacking:
        return
    unnamed = [f"{side} {what}" for what, side in lacking if not picker.names(what, side)]
    if unnamed:
        raise GaitkeeperError("lab-points-missing", path=path, missing=_listed(unnamed))
    unseen = [f"{side} {what}" for what, side in lacking if not picker.sees(what, side)]
    if len(unseen) == len(SIDES) * len(_NEEDED):
        raise GaitkeeperError("lab-nothing-seen", path=path)
    if unseen:
        raise GaitkeeperError("lab-points-unseen", path=path, missing=_listed(unseen))
    both = dict.fromkeys(f"left and right {what} under names of one kind" for what, _ in lacking)
    raise GaitkeeperError("lab-points-missing", path=path, missing=_listed(list(both)))


def _listed(names: Sequence[str]) -> str:
    """``left hip, left knee``; the whole leg by one word."""
    for side in SIDES:
        leg = [f"{side} {what}" for what in _NEEDED]
        if all(one in names for one in leg):
            rest = [one for one in names if one not in leg]
            return ", ".join([f"the {side} leg (hip, knee and ankle)", *([_listed(rest)] if rest else [])])
    return ", ".join(names)


def mapped_tracks(markers: Markers, path: Path, mapping: Mapping[str, tuple[str, ...]]) -> dict[str, FloatArray]:
    """(T, 3) track of each joint that a mapping names. Raises ``pose-mapping-wrong``."""
    column = {name: number for number, name in reversed(list(enumerate(markers.names)))}
    found = {}
    for joint, names in mapping.items():
        if unknown := [name for name in names if name not in column]:
            own = ", ".join(markers.names)
            raise GaitkeeperError("pose-mapping-wrong", name=f"{joint}={unknown[0]}", path=path, names=own)
        track: FloatArray = markers.positions[:, [column[name] for name in names]].mean(axis=1)
        found[joint] = track
    return found


def _scale(leg: float, declared: float, path: Path) -> float:
    if not np.isfinite(declared):
        return metres_per_unit(leg, path)
    if LEG_M[0] <= leg * declared <= LEG_M[1]:
        return declared
    unit = next((name for name, factor in METRES_PER_UNIT.items() if factor == declared), f"{declared:g} m")
    fitting = [name for name, factor in METRES_PER_UNIT.items() if LEG_M[0] <= leg * factor <= LEG_M[1]]
    fits = f"The numbers are those of {fitting[0]}." if fitting else "No usual unit fits these numbers."
    raise GaitkeeperError("lab-unit-contradiction", path=path, unit=unit, length=leg, fits=fits)


class _Picker:
    """Finds the markers of one recording in the table."""

    def __init__(self, markers: Markers) -> None:
        self._markers = markers
        self._columns: dict[str, int] = {}
        for column, name in enumerate(markers.names):
            self._columns.setdefault(plain_name(name), column)  # a name that stands twice is taken once, the first

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

    def names(self, what: str, side: str) -> bool:
        """Whether the file has markers of that joint's name on that side, seen or not."""
        return bool(self._of(what, side))

    def sees(self, what: str, side: str) -> bool:
        """Whether any of them is ever seen."""
        return any(_share_seen(track) > 0.0 for track in self._of(what, side))

    def _of(self, what: str, side: str) -> list[FloatArray]:
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
        """Hip joint centres by the regression of Harrington et al. 2007 (table 6, the simple one), doi above.

        From the middle of the front spines, in metres: 0.24 of the pelvis' depth + 9.9 mm back, 0.30 of its width +
        10.9 mm down, 0.33 of its width + 7.3 mm to the side. Their error in children and adults is 5 to 8 mm each.
        """
        unit = self._markers.metres_per_unit
        table = marker_sets().pelvis
        left, right = self._best_pair([self._pair(option) for option in table["front"]])
        if left is None or right is None or not np.isfinite(unit):
            return None, None
        back_left, back_right = self._best_pair([self._pair(option) for option in table["back"]])
        back = self._best([self._mean(option, "left") for option in table["back_middle"]])
        if back_left is not None and back_right is not None:
            back = 0.5 * (back_left + back_right)
        if back is None:
            return None, None
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


def _share_seen(track: FloatArray) -> float:
    return float(np.isfinite(track).all(axis=1).mean())


def _enough(share: float, others: Sequence[float]) -> bool:
    return share > 0.0 and share >= _SEEN_ENOUGH * max(others)


def _median_length(vectors: FloatArray) -> float:
    lengths = np.linalg.norm(vectors, axis=1)
    seen = lengths[np.isfinite(lengths)]
    return float(np.median(seen)) if seen.size else float("nan")


def _unit(vectors: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        unit: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
