"""Trunk, head and arms above the pelvis: lean, sway, counter-rotation and arm swing."""

from __future__ import annotations

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import Side
from gaitkeeper_shared.simulation.pelvis import PelvisPath


def upper_body(pelvis: PelvisPath, time_s: FloatArray) -> dict[str, FloatArray]:
    """(T, 3) tracks, in metres, of the shoulders, elbows, wrists and the nose."""
    pattern, anatomy = pelvis.pattern, pelvis.anatomy
    turn = 2.0 * np.pi * np.asarray(pelvis.phase(time_s), dtype=np.float64)
    lean = np.radians(pattern.trunk_lean + 1.0 * np.cos(2 * turn))
    aside = np.radians(pattern.trunk_lean_to_left + pattern.trunk_sway * np.sin(turn - 0.3))
    trunk = np.stack([np.sin(lean), np.sin(aside) * np.cos(lean), np.cos(lean) * np.cos(aside)], axis=-1)
    base = pelvis.centre(time_s) + anatomy.trunk * trunk
    tracks: dict[str, FloatArray] = {}
    sides: tuple[Side, Side] = ("left", "right")
    for side in sides:
        sign = 1.0 if side == "left" else -1.0
        limb = pattern.limb(side)
        # The shoulders turn against the pelvis; an arm is furthest forward at the other foot's strike.
        rotation = -0.8 * np.radians(pattern.pelvic_rotation) * np.cos(turn)
        half = anatomy.shoulder_half_width
        shoulder = base + sign * half * np.stack([np.sin(rotation), np.cos(rotation), np.sin(aside)], axis=-1)
        swing = -sign * np.cos(turn - 0.15)
        upper = np.radians(-3.0 + 0.5 * pattern.trunk_lean * (limb.elbow > 40.0) + limb.arm_swing * swing)
        bend = np.radians(limb.elbow + 0.45 * limb.arm_swing * swing)
        elbow = shoulder + anatomy.upper_arm * _arm_direction(upper, sign, 0.14)
        tracks[f"{side}_shoulder"] = shoulder
        tracks[f"{side}_elbow"] = elbow
        tracks[f"{side}_wrist"] = elbow + anatomy.forearm * _arm_direction(upper + bend, sign, 0.02)
    # The head balances part of the lean away.
    head = 0.6 * lean
    up = anatomy.nose_up * np.cos(head) - anatomy.nose_forward * np.sin(head)
    forward = anatomy.nose_forward * np.cos(head) + anatomy.nose_up * np.sin(head)
    tracks["nose"] = base + np.stack([forward, 0.6 * anatomy.nose_up * np.sin(aside), up], axis=-1)
    return tracks


def _arm_direction(angle: FloatArray, sign: float, abduction: float) -> FloatArray:
    direction = np.stack([np.sin(angle), np.full_like(angle, sign * abduction), -np.cos(angle)], axis=-1)
    return np.asarray(direction / np.linalg.norm(direction, axis=1, keepdims=True))
