"""What a laboratory delivers of a walk: typed, in metres and seconds, the vertical along z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import GaitEvent, JointTrajectories


@dataclass(frozen=True, slots=True)
class Markers:
    """Marker positions as the file has them.

    ``time_s``: (T,) seconds from the first sample. ``names``: M, the file's own. ``positions``: (T, M, 3) in the file's
    axes and unit, NaN where a marker was not seen. ``metres_per_unit``: as the file declares, NaN where it does not.
    ``bones``: those of the names that are joints of a solved skeleton, not markers on the skin.
    """

    time_s: FloatArray
    names: tuple[str, ...]
    positions: FloatArray
    metres_per_unit: float
    bones: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ForcePlate:
    """One force plate. Sampled faster than the markers as a rule; both times count from the first marker sample.

    ``force``: (F, 3) newtons that the ground exerts on the foot (z up: positive while somebody stands on it).
    ``pressure_centre``: (F, 3) metres, NaN or meaningless while the plate is empty. ``corners``: (4, 3) metres.
    """

    time_s: FloatArray
    force: FloatArray
    pressure_centre: FloatArray
    corners: FloatArray


Axis = Literal["forward", "up", "right"]
"""Of a part of the body, as the person stands: x, y and z of the International Society of Biomechanics."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A rigid part of the body by two directions, (T, 3) vectors of any length in the axes of the walk, NaN unseen.

    ``along`` is the direction of the axis ``first`` itself; ``beside`` gives, square to it, that of ``second``.
    ``rolls``: whether its turn about its long axis was measured, or taken over from its neighbour.
    """

    first: Axis
    along: FloatArray
    second: Axis
    beside: FloatArray
    rolls: bool = True


@dataclass(frozen=True, slots=True)
class LabWalk:
    """One recording of a laboratory. ``events``: those that the file itself holds, with a side each.

    ``notes``: what the reader had to leave out or to assume, in words, for the quality record. ``sagittal``: the points
    were made of angles in the plane of progression alone, and nothing is known across it. ``segments``: by name
    (``pelvis``, ``left_thigh``...) those whose three axes the markers give, on the clock of the trajectories.
    """

    kind: str
    trajectories: JointTrajectories
    events: tuple[GaitEvent, ...] = ()
    plates: tuple[ForcePlate, ...] = ()
    notes: tuple[str, ...] = ()
    sagittal: bool = False
    segments: Mapping[str, Segment] = field(default_factory=dict)
