"""Parts of the body with three axes, where the markers of a laboratory give them: pelvis, thighs, shanks and feet.

Axes after the International Society of Biomechanics: pelvis and thigh by Wu et al. 2002
(doi:10.1016/S0021-9290(01)00222-6), the shank by its long axis as Grood & Suntay 1983 (doi:10.1115/1.3138397) have it,
with the malleoli for the axis across: the knee's rotation holds the torsion of the tibia. Long axes end in the middle
between two markers or in a centre that the file has, never in a marker on one side of the joint. The foot's long axis
is that of all our feet, heel to tip; the ball of the foot gives the axis across. Where Vicon's Plug-in Gait has written
a part's axes, those are taken; its foot gives no inversion.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.joints import LabFrame
from gaitkeeper_client.lab.picker import Picker
from gaitkeeper_client.lab.subjects import of_one_person
from gaitkeeper_client.lab.walk import Markers, Segment
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

_LONG = {"thigh": ("knee", "hip"), "shank": ("ankle", "knee")}
"""By segment: the joints from which and to which its long axis goes upwards."""
_ACROSS = {"thigh": "knee", "shank": "ankle", "foot": "foot"}
"""By segment: the pair of markers across it."""
_EXCHANGED = (
    "The inner marker lies on the outer side ({where}): as if their names were exchanged. Angles in three planes that "
    "need them are missing."
)


def segments_of(
    markers: Markers, path: Path, frame: LabFrame, tracks: JointTrajectories, person: str | None = None
) -> tuple[dict[str, Segment], tuple[str, ...]]:
    """The segments that one person's markers give, by name, and notes on those that were left out.

    A name is ``pelvis``, or a side and ``thigh``, ``shank`` or ``foot``. ``tracks``: the joints made of the same
    markers. Raises ``person-unknown``.
    """
    one, _ = of_one_person(markers, path, person)
    picker = Picker(one)
    found: dict[str, Segment] = {}
    exchanged: list[str] = []
    if (spines := picker.spines()) is not None:
        right, forward = (frame.directions(vector) for vector in spines)
        found["pelvis"] = Segment("right", right, "forward", forward)
    for side in SIDES:
        for part, pair in _ACROSS.items():
            if (segment := _of_bone(picker, frame, part, side)) is not None:
                found[f"{side}_{part}"] = segment
            elif (outwards := picker.across(pair, side)) is not None:
                across = frame.directions(outwards) * (1.0 if side == "right" else -1.0)
                long = _long_axis(picker, frame, tracks, part, side)
                if _points_left(across, tracks):
                    exchanged.append(f"{side} {pair}")
                elif long is not None:
                    found[f"{side}_{part}"] = Segment("forward" if part == "foot" else "up", long, "right", across)
    notes = (_EXCHANGED.format(where=", ".join(exchanged)),) if exchanged else ()
    return {name: segment for name, segment in found.items() if _seen(segment)}, notes


def _of_bone(picker: Picker, frame: LabFrame, part: str, side: str) -> Segment | None:
    bone = picker.bone(part, side)
    if bone is None:
        return None
    forward, up = (frame.directions(vector) for vector in bone)
    # The foot of Plug-in Gait is a line: which way its sole turns is taken from the shank.
    return Segment("forward", forward, "up", up, rolls=part != "foot")


def _points_left(across: FloatArray, tracks: JointTrajectories) -> bool:
    """Whether an axis to the right points to the left of the hips: the segment would stand the wrong way round."""
    hips = tracks.positions[:, JOINT_INDEX["right_hip"]] - tracks.positions[:, JOINT_INDEX["left_hip"]]
    along = (across * hips).sum(axis=1)
    known = along[np.isfinite(along)]
    return bool(known.size and float(np.median(known)) < 0.0)


def _long_axis(picker: Picker, frame: LabFrame, tracks: JointTrajectories, part: str, side: str) -> FloatArray | None:
    """(T, 3) of the foot from heel to tip; of thigh and shank from centre to centre, None where one has no centre."""
    if part == "foot":
        heel, toe = (tracks.positions[:, JOINT_INDEX[f"{side}_{what}"]] for what in ("heel", "toe"))
        return np.asarray(toe - heel)
    low, high = (picker.centre(joint, side) for joint in _LONG[part])
    return None if low is None or high is None else frame.directions(high - low)


def _seen(segment: Segment) -> bool:
    return bool((np.isfinite(segment.along) & np.isfinite(segment.beside)).all(axis=1).any())
