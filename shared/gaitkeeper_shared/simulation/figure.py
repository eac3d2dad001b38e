"""The drawn figure: groups of capsules around the joints, in the order in which they are painted, far ones first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.simulation.appearance import Appearance, Colour
from gaitkeeper_shared.simulation.camera import Camera
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

FAR_LIGHT = 0.55
"""The far limbs stand in the body's shade: without it a pose estimator confuses left and right."""
_UP = np.array([0.0, 0.0, 1.0])
_HIP_RAISE = 0.03
"""Metres by which the drawn hip sits higher than the joint: pose estimators place theirs lower in the trousers."""


@dataclass(frozen=True, slots=True)
class Capsule:
    """The hull of two balls over time: centres (T, 3) and radii in metres."""

    start: FloatArray
    start_radius: float
    end: FloatArray
    end_radius: float


@dataclass(frozen=True, slots=True)
class Group:
    """Capsules of one colour that are shaded as one body. ``light`` scales the brightness; ``flat``: no shading."""

    capsules: tuple[Capsule, ...]
    colour: Colour
    light: float = 1.0
    flat: bool = False


class _Body:
    """Joint tracks and directions of one walk, (T, 3) each, in the figure's scale."""

    def __init__(self, points: FloatArray, look: Appearance, camera: Camera) -> None:
        self._points = points
        self.look = look
        self.scale = look.height_m / 1.72
        self.girth = self.scale * look.girth
        across = self.at("left_hip") - self.at("right_hip")
        front = np.stack([across[:, 1], -across[:, 0], np.zeros(len(across))], axis=-1)
        self.front: FloatArray = _unit(front)
        left = np.stack([-self.front[:, 1], self.front[:, 0], np.zeros(len(across))], axis=-1)
        self.near = "left" if camera.forward[1] < 0.0 else "right"
        self.to_near: FloatArray = left if self.near == "left" else -left

    def at(self, name: str) -> FloatArray:
        track: FloatArray = self._points[:, JOINT_INDEX[name]]
        return track

    def between(self, what: str) -> FloatArray:
        return 0.5 * (self.at(f"left_{what}") + self.at(f"right_{what}"))


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector, axis=-1, keepdims=True))


def figure_groups(points: FloatArray, look: Appearance, camera: Camera) -> list[Group]:
    """The groups of a walk of (T, J, 3) poses, for that camera."""
    body = _Body(points, look, camera)
    far = "left" if body.near == "right" else "right"
    assert far in SIDES
    return [
        *_arm(body, far, FAR_LIGHT),
        *_leg(body, far, FAR_LIGHT),
        *_leg(body, body.near, 1.0),
        *_torso(body),
        *_head(body),
        *_arm(body, body.near, 1.0),
    ]


def _leg(body: _Body, side: str, light: float) -> list[Group]:
    girth = body.girth
    hip, knee, ankle = (body.at(f"{side}_{name}") for name in ("hip", "knee", "ankle"))
    calf = knee + 0.30 * (ankle - knee) - 0.02 * body.scale * body.front
    cuff = ankle + 0.012 * _unit(ankle - knee)
    trousers = (
        Capsule(hip + _HIP_RAISE * body.scale * _UP, 0.086 * girth, knee, 0.053 * girth),
        Capsule(knee, 0.052 * girth, calf, 0.055 * girth),
        Capsule(calf, 0.055 * girth, cuff, 0.040 * girth),
    )
    return [*_shoe(body, side, light), Group(trousers, body.look.trousers, light)]


def _shoe(body: _Body, side: str, light: float) -> list[Group]:
    scale, look = body.scale, body.look
    ankle, heel, toe = (body.at(f"{side}_{name}") for name in ("ankle", "heel", "toe"))
    along = _unit(toe - heel)
    up = ankle - heel
    up = _unit(up - np.sum(up * along, axis=1, keepdims=True) * along)
    back = heel + scale * (0.016 * along + 0.036 * up)
    ball = heel + 0.68 * (toe - heel) + 0.030 * scale * up
    front = toe + scale * (-0.014 * along + 0.020 * up)
    upper = (
        Capsule(back, 0.036 * scale, ball, 0.030 * scale),
        Capsule(ball, 0.030 * scale, front, 0.020 * scale),
        Capsule(back, 0.036 * scale, ankle, 0.040 * scale),
        Capsule(ankle, 0.040 * scale, ball, 0.030 * scale),
    )
    sole = Capsule(
        heel + scale * (0.004 * along + 0.011 * up),
        0.011 * scale,
        toe + scale * (-0.014 * along + 0.010 * up),
        0.010 * scale,
    )
    dark = (36.0, 36.0, 40.0) if sum(look.shoes) > 300 else (225.0, 225.0, 225.0)
    return [Group(upper, look.shoes, light), Group((sole,), dark, light, flat=True)]


def _torso(body: _Body) -> list[Group]:
    girth, look = body.girth, body.look
    hip = body.between("hip")
    spine = body.between("shoulder") - hip
    shoulders = [body.at(f"{side}_shoulder") - 0.06 * spine for side in SIDES]
    chest, waist, belt = hip + 0.76 * spine, hip + 0.36 * spine, hip + 0.20 * spine
    seat = tuple(
        Capsule(body.at(f"{side}_hip") + 0.03 * body.scale * _UP, 0.090 * girth, belt, 0.116 * girth) for side in SIDES
    )
    shirt = (
        Capsule(belt, 0.119 * girth, waist, 0.112 * girth),
        Capsule(waist, 0.112 * girth, chest, 0.124 * girth),
        *(Capsule(chest, 0.122 * girth, shoulder, 0.064 * girth) for shoulder in shoulders),
    )
    return [Group(seat, look.trousers), Group(shirt, look.shirt)]


def _arm(body: _Body, side: str, light: float) -> list[Group]:
    girth, look = body.girth, body.look
    shoulder, elbow, wrist = (body.at(f"{side}_{name}") for name in ("shoulder", "elbow", "wrist"))
    hand = wrist + 0.075 * girth * _unit(wrist - elbow)
    cuff = elbow + 0.35 * (wrist - elbow)
    skin = (
        Capsule(cuff, 0.038 * girth, wrist, 0.028 * girth),
        Capsule(wrist, 0.029 * girth, hand, 0.034 * girth),
    )
    sleeve = (
        Capsule(shoulder, 0.060 * girth, elbow, 0.047 * girth),
        Capsule(elbow, 0.046 * girth, cuff, 0.042 * girth),
    )
    return [Group(skin, look.skin, light), Group(sleeve, look.shirt, 0.94 * light)]


def _head(body: _Body) -> list[Group]:
    scale, look, front, near = body.scale, body.look, body.front, body.to_near

    def place(origin: FloatArray, forward: float, up: float, aside: float = 0.0) -> FloatArray:
        return np.asarray(origin + scale * (forward * front + up * _UP + aside * near))

    nose = body.at("nose")
    centre = place(nose, -0.105, 0.02)
    skull, jaw = place(centre, -0.012, 0.035), place(centre, 0.030, -0.060)

    def ball(start: FloatArray, first: float, end: FloatArray, second: float) -> Capsule:
        return Capsule(start, first * scale, end, second * scale)

    lip: Colour = (0.72 * look.skin[0], 0.58 * look.skin[1], 0.72 * look.skin[2])
    neck = ball(place(body.between("shoulder"), 0.0, 0.01), 0.055, place(centre, 0.0, -0.05), 0.050)
    back_hair = [ball(place(skull, -0.015, 0.012), 0.098, place(skull, -0.04, 0.0), 0.088)]
    if look.long_hair:
        back_hair.append(ball(place(centre, -0.055, 0.0), 0.075, place(centre, -0.055, -0.11), 0.045))
    face = (
        ball(place(centre, 0.020, 0.0), 0.082, jaw, 0.055),
        ball(place(nose, -0.030, 0.02), 0.012, place(nose, -0.012, 0.0), 0.015),
    )
    fringe = ball(place(skull, 0.02, 0.035), 0.062, place(skull, -0.035, 0.02), 0.072)
    ear = ball(place(centre, -0.015, 0.01, 0.08), 0.019, place(centre, -0.018, -0.02, 0.08), 0.014)
    eye = ball(place(centre, 0.070, 0.030, 0.055), 0.010, place(centre, 0.082, 0.030, 0.055), 0.009)
    brow = ball(place(centre, 0.062, 0.056, 0.055), 0.006, place(centre, 0.084, 0.054, 0.055), 0.005)
    mouth = ball(place(jaw, 0.038, 0.005, 0.045), 0.006, place(jaw, 0.058, 0.005, 0.045), 0.005)
    return [
        Group((neck,), look.skin, 0.9),
        Group(tuple(back_hair), look.hair),
        Group(face, look.skin),
        Group((fringe,), look.hair),
        Group((ear,), look.skin, 0.85),
        Group((eye,), (40.0, 40.0, 50.0), flat=True),
        Group((brow,), look.hair, flat=True),
        Group((mouth,), lip, flat=True),
    ]
