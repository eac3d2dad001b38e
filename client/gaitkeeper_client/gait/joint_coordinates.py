"""Joint angles in three planes, of segments whose axes the markers of a laboratory give.

Each joint in the joint coordinate system of Grood & Suntay 1983 (doi:10.1115/1.3138397), recommended by Wu et al. 2002
(doi:10.1016/S0021-9290(01)00222-6): flexion about the upper segment's axis to the right, rotation about the lower one's
long axis, and ab- and adduction about the axis square to both. These are the Cardan angles in the order z, x, y. The
pelvis against the walk in the order rotation, obliquity, tilt (Baker 2001, doi:10.1016/S0966-6362(00)00083-7), in which
obliquity is what one sees: one hip higher than the other.

Positive are flexion, dorsiflexion, adduction, inversion and rotation inwards; of the pelvis tilting forward, its own
side higher, its own side in front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from gaitkeeper_client.gait.analysis import CURVE_POINTS, Cycle
from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.clean import cutoff_hz, low_pass, resampled
from gaitkeeper_client.gait.planes import BY_JOINT, PELVIS
from gaitkeeper_client.lab.walk import Segment
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import Side
from gaitkeeper_shared.skeleton import SIDES

Order = Literal["YXZ", "ZXY"]
_AXES = ("forward", "up", "right")
_INVERSION = "ankle_inversion"
_JOINTS: Mapping[str, tuple[str, str, float]] = {
    "hip": ("pelvis", "thigh", 1.0),
    "knee": ("thigh", "shank", -1.0),
    "ankle": ("shank", "foot", 1.0),
}
"""By joint: the upper and the lower segment, and the sign of flexion about the axis to the right."""


def smoothed(
    segments: Mapping[str, Segment], from_s: FloatArray, to_s: FloatArray, rate_hz: float
) -> dict[str, Segment]:
    """Segments on an even clock, with short gaps filled, smoothed as positions are (:mod:`clean`)."""

    def smooth(vectors: FloatArray) -> FloatArray:
        return low_pass(resampled(from_s, vectors, to_s), rate_hz, cutoff_hz(rate_hz))

    return {name: replace(one, along=smooth(one.along), beside=smooth(one.beside)) for name, one in segments.items()}


def axes_of(segment: Segment) -> FloatArray:
    """(T, 3, 3) unit vectors forward, up and right as columns, right-handed; NaN where a direction is not known."""
    first, second = _AXES.index(segment.first), _AXES.index(segment.second)
    third = 3 - first - second
    sign = 1.0 if (second - first) % 3 == 1 else -1.0
    axes = np.empty((segment.along.shape[0], 3, 3))
    axes[:, :, first] = _unit(segment.along)
    axes[:, :, third] = _unit(sign * np.cross(segment.along, segment.beside))
    axes[:, :, second] = sign * np.cross(axes[:, :, third], axes[:, :, first])
    return axes


def three_planes(segments: Mapping[str, Segment], heading: tuple[float, float]) -> dict[str, FloatArray]:
    """(T,) degrees of every angle of :data:`.planes.PLANES` that the segments give, with the side behind its name.

    ``heading``: horizontal direction of travel (x, y), of any length but zero.
    """
    axes = {name: axes_of(segment) for name, segment in segments.items()}
    found: dict[str, FloatArray] = {}
    for side in SIDES:
        inwards = 1.0 if side == "right" else -1.0
        if "pelvis" in axes:
            rotation, roll, pitch = _angles("YXZ", _walk(heading), axes["pelvis"])
            for name, angle in zip(PELVIS, (-pitch, -inwards * roll, inwards * rotation), strict=True):
                found[f"{name}_{side}"] = angle
        for joint, (upper, lower, bends) in _JOINTS.items():
            above = axes.get(upper, axes.get(f"{side}_{upper}"))
            below = axes.get(f"{side}_{lower}")
            if above is not None and below is not None:
                flexion, adduction, rotation = _angles("ZXY", above, below)
                turns = (bends * flexion, inwards * adduction, inwards * rotation)
                for name, angle in zip(BY_JOINT[joint], turns, strict=True):
                    if name != _INVERSION or segments[f"{side}_{lower}"].rolls:
                        found[f"{name}_{side}"] = angle
    return found


def in_three_planes(cycles: Sequence[Cycle], bout: Bout, segments: Mapping[str, Segment]) -> tuple[Cycle, ...]:
    """The cycles of one straight walk with the angles of their own side in three planes.

    ``segments``: on the clock of the tracks that the walk is a part of.
    """
    if not segments or not isinstance(bout.heading, tuple):
        return tuple(cycles)
    angles = three_planes(during(segments, bout), bout.heading)
    return tuple(replace(cycle, planes=_curves(cycle, bout, angles)) for cycle in cycles)


def during(segments: Mapping[str, Segment], bout: Bout) -> dict[str, Segment]:
    """The part of segments, on the clock of the tracks, that is one straight walk."""
    part = slice(bout.start, bout.stop)
    return {name: replace(one, along=one.along[part], beside=one.beside[part]) for name, one in segments.items()}


def _curves(cycle: Cycle, bout: Bout, angles: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    side: Side = cycle.side
    at = np.linspace(cycle.start_s, cycle.end_s, CURVE_POINTS)
    return {name: np.interp(at, bout.time_s, values) for name, values in angles.items() if name.endswith(f"_{side}")}


def _walk(heading: tuple[float, float]) -> FloatArray:
    """(3, 3) axes of the direction of travel."""
    forward = np.array([*heading, 0.0]) / np.hypot(*heading)
    up = np.array([0.0, 0.0, 1.0])
    return np.stack([forward, up, np.cross(forward, up)], axis=-1)


def _angles(order: Order, above: FloatArray, below: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(T,) degrees each of the three Cardan angles of (T, 3, 3) axes against others; NaN where one is not known."""
    relative = np.swapaxes(above, -1, -2) @ below
    known = np.isfinite(relative).all(axis=(1, 2))
    angles = np.full((relative.shape[0], 3), np.nan)
    if known.any():
        angles[known] = Rotation.from_matrix(relative[known]).as_euler(order, degrees=True)
    return angles[:, 0], angles[:, 1], angles[:, 2]


def _unit(vectors: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        unit: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
