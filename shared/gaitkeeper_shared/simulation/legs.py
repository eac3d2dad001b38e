"""Feet that roll over their footprints, swing between them, and the knees that follow.

On the floor the foot rolls over the heel, lies flat, then rolls over the ball with the toes flat (Perry's rockers):
its contact never moves. In swing the ankle follows the normal curves, bent to leave one print and meet the next one
with matching velocity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import Side
from gaitkeeper_shared.simulation.anatomy import Anatomy
from gaitkeeper_shared.simulation.curves import normal_curves
from gaitkeeper_shared.simulation.disorders import GaitPattern
from gaitkeeper_shared.simulation.footprints import SidePrints
from gaitkeeper_shared.simulation.pelvis import PelvisPath

TOE_CLEARANCE_M = 0.012
_MARGIN_S = 1e-3
_TOE_BEND = np.radians(32.0)
"""How far the toes bend before the forefoot, too, leaves the floor and the foot rolls over the toes' tip."""
_BLEND = 0.65
"""Share of the swing over which a gap between the normal curves and a footprint is closed, from either end."""
_FULL_REACH = 0.9990
"""Of the leg's length: a knee flexion of about 5 degrees, the straightest a swinging leg gets."""


@dataclass(frozen=True, slots=True)
class LegPoints:
    """Points of one leg over time, each (T, 3) in metres."""

    hip: FloatArray
    knee: FloatArray
    ankle: FloatArray
    heel: FloatArray
    toe: FloatArray


@dataclass(frozen=True, slots=True)
class SagittalFoot:
    """Foot in its own plane: (T,) forward of the print's heel and up, metres; pitches in radians, toes up positive."""

    ankle: FloatArray
    pitch: FloatArray
    toe_pitch: FloatArray


class TargetCurves:
    """The normal curves of one leg, adapted to its pattern; the phase is that of the normal cycle."""

    def __init__(self, pattern: GaitPattern, side: Side, anatomy: Anatomy) -> None:
        self._limb = pattern.limb(side)
        self._normal = normal_curves()
        self.foot_off = self._normal.foot_off
        self._stretch = float(np.clip(pattern.step_length / (0.41 * anatomy.height), 0.35, 1.2))

    def thigh(self, phase: FloatArray) -> FloatArray:
        """Thigh against the vertical, radians, knee forward positive."""
        return np.radians(4.0 + self._stretch * (self._normal.thigh(phase) - 4.0))

    def knee(self, phase: FloatArray) -> FloatArray:
        """Knee flexion, radians."""
        normal = self._normal.knee(phase)
        early = 1.0 - _smoothstep((phase - 0.25) / 0.15)
        scale = early * self._limb.knee_loading + (1.0 - early) * self._limb.knee_swing
        stance = 1.0 - _smoothstep((phase - self.foot_off) / 0.2) + _smoothstep((phase - 0.85) / 0.15)
        return np.radians(5.0 + scale * (normal - 5.0) + stance * self._limb.knee_offset)

    def foot_pitch(self, phase: FloatArray) -> FloatArray:
        """Sole against the floor, radians, toes up positive; exactly 0 while flat."""
        normal = self._normal.foot_pitch(phase)
        strike = self._limb.strike_pitch / 20.0
        drop = (
            self._limb.swing_drop * np.sin(np.pi * np.clip((phase - self.foot_off) / (1.0 - self.foot_off), 0, 1)) ** 2
        )
        return np.radians(np.where(normal > 0, strike, self._limb.push_off) * normal - drop)


def _smoothstep(value: FloatArray) -> FloatArray:
    x = np.clip(value, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _arch(u: FloatArray) -> FloatArray:
    """0 at both ends of the swing, 1 shortly before its middle, where the toes pass closest to the floor."""
    return np.asarray(np.sin(np.pi * np.clip(u, 0.0, 1.0) ** 0.8) ** 1.5)


def _fade(u: FloatArray, gap: FloatArray, rate: FloatArray) -> FloatArray:
    """A cubic that starts at ``gap`` with slope ``rate`` and is 0 with slope 0 from u = 1 on."""
    u = np.clip(u, 0.0, 1.0)
    return np.asarray((2 * u**3 - 3 * u**2 + 1) * gap + (u**3 - 2 * u**2 + u) * rate)


def _turned(x: FloatArray | float, z: FloatArray | float, angle: FloatArray) -> FloatArray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([x * cos - z * sin, x * sin + z * cos], axis=-1)


def planted_ankle(anatomy: Anatomy, pitch: FloatArray) -> FloatArray:
    """(T, 2) ankle forward of the print's heel and up, for a foot on the floor with that pitch (radians)."""
    rolled_heel = _turned(anatomy.ankle_forward, anatomy.ankle_height, pitch)
    over_toes = _turned(anatomy.ankle_forward - anatomy.ball, anatomy.ankle_height, pitch)
    over_toes = over_toes + _turned(anatomy.ball - anatomy.foot, 0.0, planted_toe_pitch(pitch))
    over_toes = over_toes + np.array([anatomy.foot, 0.0])
    return np.where((pitch >= 0)[:, None], rolled_heel, over_toes)


def planted_toe_pitch(pitch: FloatArray) -> FloatArray:
    """Pitch of the toes (radians) of a foot on the floor: flat while they can bend, then with the foot."""
    return np.where(pitch < 0, np.minimum(pitch + _TOE_BEND, 0.0), pitch)


class Leg:
    """One leg of a walk: its points at any time between the first and the last planned print."""

    def __init__(self, side: Side, pattern: GaitPattern, anatomy: Anatomy, prints: SidePrints) -> None:
        self.side: Side = side
        self._anatomy = anatomy
        self._limb = pattern.limb(side)
        self._prints = prints
        self.targets = TargetCurves(pattern, side, anatomy)
        self._outward = 1.0 if side == "left" else -1.0
        angle = self._outward * np.radians(self._limb.toe_out)
        self._heading = np.array([np.cos(angle), np.sin(angle)])

    @property
    def strikes(self) -> FloatArray:
        """Times of the planned foot strikes, seconds."""
        return self._prints.strike_s

    def phase(self, time_s: FloatArray) -> tuple[FloatArray, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        """Phase of the normal cycle (foot off at ``targets.foot_off``) and the index of the last print, each (T,)."""
        prints, off_phase = self._prints, self.targets.foot_off
        index = np.clip(np.searchsorted(prints.strike_s, time_s, side="right") - 1, 0, prints.strike_s.size - 2)
        strike, off, following = prints.strike_s[index], prints.off_s[index], prints.strike_s[index + 1]
        stance = off_phase * (time_s - strike) / (off - strike)
        swing = off_phase + (1.0 - off_phase) * (time_s - off) / (following - off)
        return np.where(time_s < off, stance, swing), index

    def ankle_on_floor(self, time_s: FloatArray) -> FloatArray:
        """(T, 3) ankle as if the foot stood on its last print; meaningful during stance."""
        phase, index = self.phase(time_s)
        return self._placed(planted_ankle(self._anatomy, self.targets.foot_pitch(phase)), self._prints.heel[index])

    def _placed(self, sagittal: FloatArray, heel: FloatArray) -> FloatArray:
        horizontal = heel + sagittal[:, :1] * self._heading
        return np.concatenate([horizontal, sagittal[:, 1:]], axis=1)

    def points(self, pelvis: PelvisPath, time_s: FloatArray) -> LegPoints:
        """The leg's points at (T,) times."""
        phase, index = self.phase(time_s)
        pitch = self.targets.foot_pitch(phase)
        ankle = self.ankle_on_floor(time_s)
        swinging = phase >= self.targets.foot_off
        for swing in np.unique(index[swinging]):
            rows = np.flatnonzero(swinging & (index == swing))
            ankle[rows] = self._swing_ankle(pelvis, int(swing), time_s[rows])
        hip = pelvis.hip(self.side, time_s)
        freedom = np.sin(np.pi * np.clip((phase - self.targets.foot_off) / (1.0 - self.targets.foot_off), 0.0, 1.0))
        ankle = np.where(swinging[:, None], self._within_reach(hip, ankle, freedom), ankle)
        heel, toe = self._sole(ankle, pitch, phase)
        return LegPoints(hip, self._knee(hip, ankle), ankle, heel, toe)

    def _within_reach(self, hip: FloatArray, ankle: FloatArray, freedom: FloatArray) -> FloatArray:
        """Draw a swinging ankle in where the leg is too short for it; gently, or the knee would snap straight."""
        line = ankle - hip
        length = np.linalg.norm(line, axis=1)
        room, softness = _FULL_REACH * self._anatomy.leg - length, np.maximum(1e-5, 0.006 * freedom)
        drawn = _FULL_REACH * self._anatomy.leg - softness * np.logaddexp(0.0, room / softness)
        return np.asarray(hip + line * (drawn / length)[:, None])

    def _sole(self, ankle: FloatArray, pitch: FloatArray, phase: FloatArray) -> tuple[FloatArray, FloatArray]:
        anatomy = self._anatomy
        # In swing the toes unbend.
        unbent = _smoothstep((phase - self.targets.foot_off) / (0.55 * (1.0 - self.targets.foot_off)))
        toe_pitch = unbent * pitch + (1.0 - unbent) * planted_toe_pitch(pitch)
        to_heel = _turned(-anatomy.ankle_forward, -anatomy.ankle_height, pitch)
        to_ball = to_heel + _turned(anatomy.ball, 0.0, pitch)
        to_toe = to_ball + _turned(anatomy.foot - anatomy.ball, 0.0, toe_pitch)
        return self._offset(ankle, to_heel), self._offset(ankle, to_toe)

    def _offset(self, ankle: FloatArray, sagittal: FloatArray) -> FloatArray:
        return np.asarray(ankle + np.concatenate([sagittal[:, :1] * self._heading, sagittal[:, 1:]], axis=1))

    def _free_ankle(self, pelvis: PelvisPath, time_s: FloatArray) -> FloatArray:
        """(T, 2) forward, up: where the normal curves alone would carry the ankle."""
        phase, _ = self.phase(time_s)
        thigh, knee = self.targets.thigh(phase), self.targets.knee(phase)
        hip, anatomy = pelvis.hip(self.side, time_s), self._anatomy
        forward = hip[:, 0] + anatomy.thigh * np.sin(thigh) + anatomy.shank * np.sin(thigh - knee)
        up = hip[:, 2] - anatomy.thigh * np.cos(thigh) - anatomy.shank * np.cos(thigh - knee)
        return np.stack([forward, up], axis=-1)

    def _swing_ankle(self, pelvis: PelvisPath, index: int, time_s: FloatArray) -> FloatArray:
        path = self._bent_path(pelvis, index, time_s)
        off, strike = self._prints.off_s[index], self._prints.strike_s[index + 1]
        samples = np.linspace(off, strike, 42)[1:-1]
        trial = self._bent_path(pelvis, index, samples)
        phase, _ = self.phase(samples)
        heel, toe = self._sole(trial, self.targets.foot_pitch(phase), phase)
        arch = _arch((samples - off) / (strike - off))
        lowest = np.minimum(heel[:, 2], toe[:, 2])
        lift = float(np.clip(np.max((TOE_CLEARANCE_M * np.minimum(1.0, 1.5 * arch) - lowest) / arch), 0.0, 0.15))
        path[:, 2] += lift * _arch((time_s - off) / (strike - off))
        return path

    def _bent_path(self, pelvis: PelvisPath, index: int, time_s: FloatArray) -> FloatArray:
        off, strike = self._prints.off_s[index], self._prints.strike_s[index + 1]
        duration = strike - off
        ends = np.array([off - _MARGIN_S, off, strike, strike + _MARGIN_S])
        planted = self.ankle_on_floor(ends)
        planted[1] = planted[0] + 0.0  # the instant of foot off already counts as swing: take the last planted sample
        before = np.array([off - 2 * _MARGIN_S, off - _MARGIN_S])
        leaving = np.diff(self.ankle_on_floor(before), axis=0)[0] / _MARGIN_S
        landing = (planted[3] - planted[2]) / _MARGIN_S
        inside = np.array([off + _MARGIN_S, off + 2 * _MARGIN_S, strike - 2 * _MARGIN_S, strike - _MARGIN_S])
        free_inside = self._free_ankle(pelvis, inside)
        sagittal = [0, 2]
        start_gap = planted[1, sagittal] + leaving[sagittal] * _MARGIN_S * 2 - free_inside[0]
        end_gap = planted[2, sagittal] - landing[sagittal] * _MARGIN_S - free_inside[3]
        # At foot off the leg is already swinging: its own speed counts more than the rolling foot's.
        start_rate = 0.4 * (leaving[sagittal] - (free_inside[1] - free_inside[0]) / _MARGIN_S) * duration
        end_rate = (landing[sagittal] - (free_inside[3] - free_inside[2]) / _MARGIN_S) * duration
        u = np.clip((time_s - off) / duration, 0.0, 1.0)[:, None]
        bend = _fade(u / _BLEND, start_gap, _BLEND * start_rate) + _fade(
            (1.0 - u) / _BLEND, end_gap, -_BLEND * end_rate
        )
        path = self._free_ankle(pelvis, np.clip(time_s, off + _MARGIN_S, strike - _MARGIN_S)) + bend
        side_step = _smoothstep(u[:, 0])
        around = self._outward * self._limb.circumduction * np.sin(np.pi * u[:, 0]) ** 2
        y = planted[1, 1] + side_step * (planted[2, 1] - planted[1, 1]) + around
        return np.stack([path[:, 0], y, path[:, 1]], axis=-1)

    def _knee(self, hip: FloatArray, ankle: FloatArray) -> FloatArray:
        anatomy = self._anatomy
        line = ankle - hip
        length = np.linalg.norm(line, axis=1, keepdims=True)
        along = line / length
        reach = (anatomy.thigh**2 - anatomy.shank**2 + length**2) / (2 * length)
        height = np.sqrt(np.clip(anatomy.thigh**2 - reach**2, 0.0, None))
        # Knees bend forward, turned out half as far as the foot.
        turn = 0.5 * self._outward * np.radians(self._limb.toe_out)
        forward = np.array([np.cos(turn), np.sin(turn), 0.0])
        across = forward - (along @ forward)[:, None] * along
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        return np.asarray(hip + reach * along + height * across)
