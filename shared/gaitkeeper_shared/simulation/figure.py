"""The drawn figure: round parts around the joints, in the order in which they are painted, far ones first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.simulation.appearance import Appearance, Colour
from gaitkeeper_shared.simulation.camera import Camera
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

_FAR_LIGHT = 0.70
"""The far limbs stand in the body's shade: without it a pose estimator confuses left and right."""


@dataclass(frozen=True, slots=True)
class Part:
    """The hull of circles: (N, 3) ``centres`` and (N,) ``radii`` in metres; ``light`` scales the colour's brightness."""

    centres: FloatArray
    radii: FloatArray
    colour: Colour
    light: float = 1.0
    rounded: bool = True
    convex: bool = True


def _part(
    points: list[FloatArray], radii: list[float], colour: Colour, light: float = 1.0, rounded: bool = True
) -> Part:
    return Part(np.stack(points), np.array(radii), colour, light, rounded)


def figure_parts(points: FloatArray, look: Appearance, camera: Camera) -> list[Part]:
    """The parts of one (J, 3) pose for that camera."""
    near_left = camera.forward[1] < 0.0
    near, far = ("left", "right") if near_left else ("right", "left")
    assert near in SIDES
    facing = _facing(points)
    return [
        *_arm(points, far, look, _FAR_LIGHT),
        *_leg(points, far, look, _FAR_LIGHT, facing),
        *_leg(points, near, look, 1.0, facing),
        *_torso(points, look),
        *_head(points, look, facing, near_left),
        *_arm(points, near, look, 1.0),
    ]


def _at(points: FloatArray, name: str) -> FloatArray:
    position: FloatArray = points[JOINT_INDEX[name]]
    return position


def _facing(points: FloatArray) -> FloatArray:
    """Unit horizontal vector to the walker's front, square to the line of the hips."""
    across = _at(points, "left_hip") - _at(points, "right_hip")
    front = np.array([across[1], -across[0], 0.0])
    return np.asarray(front / np.linalg.norm(front))


def _leg(points: FloatArray, side: str, look: Appearance, light: float, facing: FloatArray) -> list[Part]:
    scale = look.height_m / 1.72
    girth = scale * look.girth
    hip, knee, ankle = (_at(points, f"{side}_{name}") for name in ("hip", "knee", "ankle"))
    shank = (ankle - knee) / np.linalg.norm(ankle - knee)
    calf = knee + 0.30 * (ankle - knee) - 0.02 * scale * facing
    return [
        *_shoe(points, side, look, light, scale),
        _part([knee, calf, ankle + 0.015 * shank], [0.056 * girth, 0.058 * girth, 0.042 * girth], look.trousers, light),
        _part([hip, knee], [0.088 * girth, 0.060 * girth], look.trousers, light),
    ]


def _shoe(points: FloatArray, side: str, look: Appearance, light: float, scale: float) -> list[Part]:
    ankle, heel, toe = (_at(points, f"{side}_{name}") for name in ("ankle", "heel", "toe"))
    along = (toe - heel) / np.linalg.norm(toe - heel)
    up = ankle - heel - ((ankle - heel) @ along) * along
    up = up / np.linalg.norm(up)
    heel_round, toe_round = 0.036 * scale, 0.024 * scale
    back = heel + 0.026 * scale * along + heel_round * up
    front = toe - 0.018 * scale * along + toe_round * up
    ball = heel + 0.68 * (toe - heel) + 0.030 * scale * up
    sole_back, sole_front = heel + 0.02 * scale * along + 0.012 * up, toe - 0.02 * scale * along + 0.010 * up
    dark = (30.0, 30.0, 34.0) if sum(look.shoes) > 300 else (225.0, 225.0, 225.0)
    return [
        _part([back, ball, front], [heel_round, 0.030 * scale, toe_round], look.shoes, light),
        _part([back, ankle], [heel_round, 0.040 * scale], look.shoes, light),
        _part([sole_back, sole_front], [0.012 * scale, 0.010 * scale], dark, light, rounded=False),
    ]


def _torso(points: FloatArray, look: Appearance) -> list[Part]:
    girth = look.height_m / 1.72 * look.girth
    hips = [_at(points, f"{side}_hip") for side in SIDES]
    shoulders = [_at(points, f"{side}_shoulder") for side in SIDES]
    hip, chest = 0.5 * (hips[0] + hips[1]), 0.5 * (shoulders[0] + shoulders[1])
    spine = chest - hip
    waist = hip + 0.30 * spine
    return [
        _part([*hips, hip + 0.12 * spine], [0.090 * girth, 0.090 * girth, 0.118 * girth], look.trousers),
        _part(
            [waist, hip + 0.75 * spine, *(joint - 0.06 * spine for joint in shoulders)],
            [0.112 * girth, 0.125 * girth, 0.062 * girth, 0.062 * girth],
            look.shirt,
        ),
        _part([hip + 0.14 * spine, waist], [0.118 * girth, 0.112 * girth], look.shirt),
    ]


def _arm(points: FloatArray, side: str, look: Appearance, light: float) -> list[Part]:
    girth = look.height_m / 1.72 * look.girth
    shoulder, elbow, wrist = (_at(points, f"{side}_{name}") for name in ("shoulder", "elbow", "wrist"))
    forearm = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    hand = wrist + 0.075 * girth * forearm
    half = elbow + 0.35 * (wrist - elbow)
    return [
        _part([wrist, hand], [0.030 * girth, 0.034 * girth], look.skin, light),
        _part([half, wrist], [0.038 * girth, 0.028 * girth], look.skin, light),
        _part([elbow, half], [0.046 * girth, 0.042 * girth], look.shirt, 0.94 * light),
        _part([shoulder, elbow], [0.060 * girth, 0.047 * girth], look.shirt, 0.94 * light),
    ]


def _head(points: FloatArray, look: Appearance, facing: FloatArray, near_left: bool) -> list[Part]:
    scale = look.height_m / 1.72
    chest = 0.5 * (_at(points, "left_shoulder") + _at(points, "right_shoulder"))
    nose = _at(points, "nose")
    up = np.array([0.0, 0.0, 1.0])
    across = np.array([-facing[1], facing[0], 0.0])
    near = across if near_left else -across
    centre = nose - 0.105 * scale * facing + 0.02 * scale * up
    skull = centre + 0.035 * scale * up - 0.012 * scale * facing
    jaw = centre - 0.060 * scale * up + 0.030 * scale * facing
    parts = [
        _part([chest + 0.01 * up, centre - 0.05 * scale * up], [0.055 * scale, 0.050 * scale], look.skin, 0.9),
    ]
    if look.long_hair:
        behind = centre - 0.055 * scale * facing
        parts.append(_part([behind, behind - 0.11 * scale * up], [0.075 * scale, 0.045 * scale], look.hair))
    dark = (40.0, 40.0, 50.0)
    lip = tuple(0.72 * channel for channel in look.skin)
    eye = centre + 0.070 * scale * facing + 0.030 * scale * up + 0.055 * scale * near
    mouth = jaw + 0.038 * scale * facing + 0.005 * scale * up + 0.045 * scale * near
    parts += [
        _part(
            [skull - 0.015 * scale * facing + 0.012 * scale * up, skull - 0.04 * scale * facing],
            [0.098 * scale, 0.088 * scale],
            look.hair,
        ),
        _part([centre + 0.020 * scale * facing, jaw], [0.082 * scale, 0.055 * scale], look.skin),
        _part(
            [nose - 0.030 * scale * facing + 0.02 * scale * up, nose - 0.012 * scale * facing],
            [0.012 * scale, 0.015 * scale],
            look.skin,
        ),
        _part(
            [skull + 0.035 * scale * up + 0.02 * scale * facing, skull - 0.035 * scale * facing + 0.02 * scale * up],
            [0.062 * scale, 0.072 * scale],
            look.hair,
        ),
        _part([eye, eye + 0.012 * scale * facing], [0.010 * scale, 0.009 * scale], dark, rounded=False),
        _part(
            [eye + 0.026 * scale * up - 0.008 * facing, eye + 0.024 * scale * up + 0.014 * scale * facing],
            [0.006 * scale, 0.005 * scale],
            look.hair,
            rounded=False,
        ),
        _part(
            [mouth, mouth + 0.020 * scale * facing],
            [0.006 * scale, 0.005 * scale],
            (lip[0], lip[1] * 0.8, lip[2]),
            rounded=False,
        ),
        _part(
            [
                centre - 0.015 * scale * facing + 0.01 * scale * up + 0.08 * scale * near,
                centre - 0.018 * scale * facing - 0.02 * scale * up + 0.08 * scale * near,
            ],
            [0.019 * scale, 0.014 * scale],
            look.skin,
            0.85,
        ),
    ]
    return parts
