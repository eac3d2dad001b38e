"""From markers to joints, by the table ``marker_sets.toml``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.geometry import LEG_M, METRES_PER_UNIT, check_upright, metres_per_unit, vertical_axis, z_up
from gaitkeeper_client.lab.picker import Picker
from gaitkeeper_client.lab.sides import check_sides
from gaitkeeper_client.lab.subjects import of_one_person
from gaitkeeper_client.lab.walk import Markers
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import leg_length
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS, SIDES

_NEEDED = ("hip", "knee", "ankle")

_MIRRORED = (
    "The file's axes are left-handed, or its left and right are exchanged: the feet point one way and the sides lie "
    "the other way round, and this format does not say which. The sides were taken as they are named: check one of "
    "them against the patient before a side is read from this report."
)


@dataclass(frozen=True, slots=True)
class LabFrame:
    """How a file's axes and unit become ours: the vertical's axis and sign, metres per unit.

    ``mirrored``: the file's axes are left-handed (or its left and right are exchanged: see :mod:`sides`); the second
    horizontal axis is then turned over, and the sides stay as they are named. ``remarks``: what the choice of markers
    left out, in words.
    """

    vertical: tuple[int, int]
    scale: float
    mirrored: bool = False
    remarks: tuple[str, ...] = ()

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
        return (*self.remarks, _MIRRORED) if self.mirrored else self.remarks


def to_trajectories(
    markers: Markers,
    path: Path,
    mapping: Mapping[str, tuple[str, ...]] | None = None,
    *,
    right_handed: bool = False,
    person: str | None = None,
) -> tuple[JointTrajectories, LabFrame]:
    """Joints of a walk, in metres, z up, and the frame that turns the file's other vectors alike.

    ``mapping``: our joint to the file's own markers, whose mean it is, before what the table says. ``right_handed``:
    the format promises such axes. ``person``: which of several people, see :mod:`subjects`. Raises
    ``lab-points-missing``, ``lab-points-unseen``, ``lab-nothing-seen``, ``lab-unit-unknown``,
    ``lab-unit-contradiction``, ``lab-tilted``, ``lab-sides-exchanged``, ``lab-sides-change``, ``lab-feet-reversed``,
    ``person-unknown`` or ``pose-mapping-wrong``.
    """
    raw, remarks = picked_joints(markers, path, mapping, person)
    length = leg_length(raw)
    if not np.isfinite(length):
        raise GaitkeeperError("lab-nothing-seen", path=path)
    check_upright(upward(raw), path)
    frame = LabFrame(vertical_axis(upward(raw)), metres_of(length, markers.metres_per_unit, path), remarks=remarks)
    if check_sides(frame.points(raw), path, right_handed=right_handed):
        frame = replace(frame, mirrored=True)
    positions = frame.points(raw)
    confidence = np.asarray(np.isfinite(positions).all(axis=2), dtype=np.float64)
    return JointTrajectories(markers.time_s, positions, "m", confidence), frame


def picked_joints(
    markers: Markers, path: Path, mapping: Mapping[str, tuple[str, ...]] | None, person: str | None = None
) -> tuple[FloatArray, tuple[str, ...]]:
    """(T, J, 3) joints of one person in the file's axes and unit, and notes; raises as :func:`to_trajectories`."""
    one, remarks = of_one_person(markers, path, person)
    picker = Picker(one)
    tracks = picker.joints() | mapped_tracks(markers, path, mapping or {})
    _check_legs(picker, tracks, path)
    raw = np.full((markers.time_s.size, len(JOINTS), 3), np.nan)
    for name, track in tracks.items():
        raw[:, JOINT_INDEX[name]] = track
    return raw, remarks


def upward(raw: FloatArray) -> FloatArray:
    """(T, 3) of (T, J, 3) joints: from the ankles to the hips."""
    hips, ankles = (raw[:, [JOINT_INDEX[f"{side}_{what}"] for side in SIDES]].sum(axis=1) for what in ("hip", "ankle"))
    return np.asarray(hips - ankles)


def _check_legs(picker: Picker, tracks: Mapping[str, FloatArray], path: Path) -> None:
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
    if {what for what, _ in lacking} == {"hip"} and picker.lacks_back_of_pelvis():
        both = {"the back of the pelvis (LPSI and RPSI, or SACR), without which its front gives no hips": None}
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


def metres_of(leg: float, declared: float, path: Path) -> float:
    """Metres per unit, from the length of a leg and what the file says of its unit (NaN for nothing).

    Raises ``lab-unit-unknown`` or ``lab-unit-contradiction``.
    """
    if not np.isfinite(declared):
        return metres_per_unit(leg, path)
    if LEG_M[0] <= leg * declared <= LEG_M[1]:
        return declared
    unit = next((name for name, factor in METRES_PER_UNIT.items() if factor == declared), f"{declared:g} m")
    fitting = [name for name, factor in METRES_PER_UNIT.items() if LEG_M[0] <= leg * factor <= LEG_M[1]]
    fits = f"The numbers are those of {fitting[0]}." if fitting else "No usual unit fits these numbers."
    raise GaitkeeperError("lab-unit-contradiction", path=path, unit=unit, length=leg, fits=fits)
