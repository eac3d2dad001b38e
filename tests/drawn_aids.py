"""People with a walking frame or in a wheelchair, drawn as the synthetic walkers are: what a camera in a clinic sees.

Everybody goes along +x in the lengths and looks of a synthetic patient; :func:`film` makes a video of several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import Side
from gaitkeeper_shared.simulation.anatomy import Anatomy, anatomy_of
from gaitkeeper_shared.simulation.appearance import appearance_of
from gaitkeeper_shared.simulation.camera import Camera
from gaitkeeper_shared.simulation.figure import Capsule, Group, figure_groups
from gaitkeeper_shared.simulation.patient import SyntheticPatient
from gaitkeeper_shared.simulation.render import drawn
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS, SIDES, other_side

MovedBy = Literal["push", "rest", "walk"]
"""What moves a wheelchair: its user's hands on the rims, another who pushes it, or its user's feet on the floor."""

_STEEL = (150.0, 150.0, 156.0)
_RUBBER = (48.0, 48.0, 52.0)
_CLOTH = (60.0, 40.0, 34.0)
_SPOKES = 20
_SEAT_M = 0.50
_HIP_M = _SEAT_M + 0.06
_WHEEL_M = 0.30
_HALF_WIDTH_M = 0.29
"""Of a chair or a frame, between its wheels."""
_PUSHES_HZ = 0.9
_HANDLES_M = 0.32
"""Of a chair, behind its user's back."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One person with what he uses: (T, J, 3) joints in metres, and what is drawn behind and before him."""

    patient: SyntheticPatient
    positions: FloatArray
    behind: tuple[Group, ...] = ()
    before: tuple[Group, ...] = ()

    def groups(self, camera: Camera) -> list[Group]:
        """What is drawn, far things first."""
        person = figure_groups(self.positions, appearance_of(self.patient), camera)
        return [*self.behind, *person, *self.before]

    def coming_back(self, aside: float) -> Scene:
        """The same along -x, ``aside`` metres to the left of the way along +x."""

        def turned(points: FloatArray) -> FloatArray:
            back: FloatArray = points * np.array([-1.0, -1.0, 1.0]) + np.array([0.0, aside, 0.0])
            return back

        def moved(groups: tuple[Group, ...]) -> tuple[Group, ...]:
            return tuple(
                replace(g, capsules=tuple(replace(c, start=turned(c.start), end=turned(c.end)) for c in g.capsules))
                for g in groups
            )

        return Scene(self.patient, turned(self.positions), moved(self.before), moved(self.behind))


def walking(walk: Walk, rate_hz: float) -> Scene:
    """A walk without anything."""
    return Scene(walk.patient, walk.positions(_times(walk, rate_hz)))


def with_walking_frame(walk: Walk, rate_hz: float, near: Side) -> Scene:
    """A walk behind a frame on four wheels, the hands on its grips. ``near``: the side that the camera sees."""
    points = walk.positions(_times(walk, rate_hz))
    way = _evenly(walk, rate_hz, points)
    anatomy = anatomy_of(walk.patient.height_m)
    parts = {}
    for side in SIDES:
        across = _across(side, _HALF_WIDTH_M)
        grip = _track(way + 0.30, across, 0.52 * anatomy.height)
        _reach(points, side, grip, anatomy)
        rear, front = _track(way + 0.22, across, 0.10), _track(way + 0.78, across, 0.10)
        bend, crossing = grip + _ahead(0.09), _track(way + 0.52, across, 0.56)
        parts[side] = (
            Group((Capsule(rear, 0.10, rear, 0.10), Capsule(front, 0.10, front, 0.10)), _RUBBER, flat=True),
            _tubes(0.014, (bend, crossing), (crossing, front), (crossing, rear)),
            Group((Capsule(grip - _ahead(0.06), 0.02, bend, 0.02),), _RUBBER),
        )
    seat = Capsule(_track(way + 0.36, 0.0, 0.55), 0.03, _track(way + 0.64, 0.0, 0.55), 0.03)
    return Scene(walk.patient, points, (*parts[other_side(near)], Group((seat,), _CLOTH)), parts[near])


def in_wheelchair(
    patient: SyntheticPatient, way: FloatArray, rate_hz: float, near: Side, moved_by: MovedBy, aside: float = 0.0
) -> Scene:
    """Somebody in a wheelchair that is at (T,) metres of its way, ``aside`` metres to its left."""
    anatomy = anatomy_of(patient.height_m)
    turn = 2.0 * np.pi * _PUSHES_HZ * np.arange(way.size) / rate_hz
    points = np.full((way.size, len(JOINTS), 3), np.nan)
    lean = np.radians(4.0 + (5.0 * np.cos(turn) if moved_by == "push" else 0.0))

    def put(joint: str, forward: FloatArray | float, half: float, up: FloatArray | float) -> FloatArray:
        across = aside + _across(joint.split("_")[0], half)
        points[:, JOINT_INDEX[joint]] = _track(way + forward, across, up)
        place: FloatArray = points[:, JOINT_INDEX[joint]]
        return place

    for side in SIDES:
        phase = turn + (0.0 if side == "left" else np.pi)
        scoot, lift = 0.16 * np.cos(phase), 0.05 * np.clip(np.sin(phase), 0.0, None)
        if moved_by != "walk":
            scoot, lift = np.zeros(way.size), np.full(way.size, 0.10)
        hip = put(f"{side}_hip", 0.02, anatomy.hip_half_width, _HIP_M)
        sole = 0.12 + anatomy.thigh + scoot
        ankle = put(f"{side}_ankle", sole, anatomy.hip_half_width, anatomy.ankle_height + lift)
        put(f"{side}_heel", sole - anatomy.ankle_forward, anatomy.hip_half_width, lift)
        put(f"{side}_toe", sole - anatomy.ankle_forward + anatomy.foot, anatomy.hip_half_width, lift)
        points[:, JOINT_INDEX[f"{side}_knee"]] = _bent(hip, ankle, anatomy.thigh, anatomy.shank, (0.3, 0.0, 1.0))
        up = _HIP_M + anatomy.trunk * np.cos(lean)
        put(f"{side}_shoulder", 0.02 + anatomy.trunk * np.sin(lean), anatomy.shoulder_half_width, up)
        angle = np.radians(15.0 + 35.0 * np.cos(turn)) if moved_by == "push" else np.full(way.size, 0.9)
        rim = _track(
            way + _WHEEL_M * np.sin(angle), aside + _across(side, _HALF_WIDTH_M), _WHEEL_M * (1.0 + np.cos(angle))
        )
        _reach(points, side, rim, anatomy)
    shoulders = 0.5 * (points[:, JOINT_INDEX["left_shoulder"]] + points[:, JOINT_INDEX["right_shoulder"]])
    points[:, JOINT_INDEX["nose"]] = shoulders + np.array([anatomy.nose_forward, 0.0, anatomy.nose_up])
    low, high = _track(way - 0.16, aside, _SEAT_M), _track(way - 0.19, aside, _SEAT_M + 0.42)
    seat = (_track(way - 0.14, aside, _SEAT_M - 0.06), _track(way + 0.28, aside, _SEAT_M - 0.06))
    cloth = Group((Capsule(low, 0.03, high, 0.03), Capsule(seat[0], 0.03, seat[1], 0.03)), _CLOTH)
    far, close = (_side_of_chair(way, aside + _across(side, _HALF_WIDTH_M)) for side in (other_side(near), near))
    return Scene(patient, points, (*far, cloth), close)


def pushed_by(walk: Walk, patient: SyntheticPatient, rate_hz: float, near: Side) -> tuple[Scene, Scene]:
    """Somebody who walks behind the wheelchair of a patient, and that patient."""
    points = walk.positions(_times(walk, rate_hz))
    way = _evenly(walk, rate_hz, points)
    for side in SIDES:
        handle = _track(way + 0.72 - _HANDLES_M, _across(side, _HALF_WIDTH_M), _SEAT_M + 0.42)
        _reach(points, side, handle, anatomy_of(walk.patient.height_m))
    return Scene(walk.patient, points), in_wheelchair(patient, way + 0.72, rate_hz, near, "rest")


def film(path: Path, scenes: Sequence[Scene], camera: Camera, rate_hz: float) -> Path:
    """Write a video of scenes, later ones before earlier ones, in the room of the last one's patient."""
    groups = [group for scene in scenes for group in scene.groups(camera)]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate_hz, (camera.width, camera.height))
    for image in drawn(groups, camera, len(scenes[0].positions), scenes[-1].patient.seed):
        writer.write(image)
    writer.release()
    return path


def _times(walk: Walk, rate_hz: float) -> FloatArray:
    return np.arange(int(walk.duration_s * rate_hz) + 1) / rate_hz


def _evenly(walk: Walk, rate_hz: float, points: FloatArray) -> FloatArray:
    """(T,) the way of what rolls with a walker: as far as his pelvis, and steady."""
    times = _times(walk, rate_hz)
    pelvis = 0.5 * (points[:, JOINT_INDEX["left_hip"], 0] + points[:, JOINT_INDEX["right_hip"], 0])
    return np.asarray(np.polyval(np.polyfit(times, pelvis, 1), times))


def _side_of_chair(way: FloatArray, across: float) -> tuple[Group, ...]:
    hub = _track(way, across, _WHEEL_M)
    turned = np.linspace(0.0, 2.0 * np.pi, _SPOKES + 1)[:, None] + way / _WHEEL_M
    rim = [hub + _WHEEL_M * np.stack([np.sin(a), np.zeros_like(a), np.cos(a)], axis=-1) for a in turned]
    caster = _track(way + 0.42, across, 0.08)
    back, front = _track(way - 0.17, across, _SEAT_M - 0.06), _track(way + 0.36, across, _SEAT_M - 0.06)
    top, handle = (_track(way - x, across, _SEAT_M + 0.42) for x in (0.20, _HANDLES_M))
    return (
        Group(tuple(Capsule(a, 0.016, b, 0.016) for a, b in pairwise(rim)), _RUBBER, flat=True),
        Group(tuple(Capsule(hub, 0.004, end, 0.004) for end in rim[:-1]), _STEEL, flat=True),
        Group((Capsule(caster, 0.08, caster, 0.08),), _RUBBER, flat=True),
        _tubes(
            0.013,
            (back, front),
            (front, _track(way + 0.52, across, 0.10)),
            (back, top),
            (top, handle),
            (_track(way + 0.30, across, _SEAT_M - 0.06), caster),
        ),
    )


def _tubes(radius: float, *ends: tuple[FloatArray, FloatArray]) -> Group:
    return Group(tuple(Capsule(start, radius, end, radius) for start, end in ends), _STEEL)


def _track(forward: FloatArray, across: float, up: FloatArray | float) -> FloatArray:
    return np.stack([forward, np.full_like(forward, across), np.broadcast_to(up, forward.shape)], axis=-1)


def _ahead(metres: float) -> FloatArray:
    return np.array([metres, 0.0, 0.0])


def _across(side: str, half: float) -> float:
    return half if side == "left" else -half


def _reach(points: FloatArray, side: str, target: FloatArray, anatomy: Anatomy) -> None:
    """Bend an arm so that its hand is at a place, or points there."""
    shoulder = points[:, JOINT_INDEX[f"{side}_shoulder"]]
    elbow = _bent(shoulder, target, anatomy.upper_arm, anatomy.forearm, (-1.0, 0.0, -0.2))
    along = target - elbow
    points[:, JOINT_INDEX[f"{side}_elbow"]] = elbow
    points[:, JOINT_INDEX[f"{side}_wrist"]] = elbow + anatomy.forearm * along / np.linalg.norm(along, axis=1)[:, None]


def _bent(
    start: FloatArray, end: FloatArray, first: float, second: float, towards: tuple[float, float, float]
) -> FloatArray:
    """(T, 3) the joint between two bones from ``start`` to ``end``, bent towards a direction."""
    line = end - start
    length = np.linalg.norm(line, axis=1, keepdims=True)
    along = line / length
    reach = np.clip(length, abs(first - second) + 1e-3, first + second - 1e-3)
    forth = (first**2 - second**2 + reach**2) / (2.0 * reach)
    out = np.asarray(towards) - np.sum(np.asarray(towards) * along, axis=1, keepdims=True) * along
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    joint: FloatArray = start + forth * along + np.sqrt(np.clip(first**2 - forth**2, 0.0, None)) * out
    return joint
