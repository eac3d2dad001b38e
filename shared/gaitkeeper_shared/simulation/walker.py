"""From a patient to a walk: footprints, the pelvis fitted to the normal curves, legs, trunk, arms and head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.optimize import least_squares

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import JointTrajectories, Side
from gaitkeeper_shared.simulation.anatomy import Anatomy, anatomy_of
from gaitkeeper_shared.simulation.disorders import GaitPattern, pattern_of
from gaitkeeper_shared.simulation.footprints import Footprints, plan_footprints
from gaitkeeper_shared.simulation.legs import Leg
from gaitkeeper_shared.simulation.patient import SyntheticPatient
from gaitkeeper_shared.simulation.pelvis import HARMONICS, PelvisPath, steady_path
from gaitkeeper_shared.simulation.upper_body import upper_body
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS

BOTH: tuple[Side, Side] = ("left", "right")
_PLANNING_STEP_S = 0.01
_STRAIGHTEST = 0.9987
"""Share of the leg's length that a planted leg may span: a knee flexion of about 6 degrees."""


class Walk:
    """One walk of one patient along +x, from 0 to ``duration_s``; positions at any time, exact and repeatable.

    ``number`` tells several walks of a patient apart. x is forward, y to the walker's left, z up, metres.
    """

    def __init__(self, patient: SyntheticPatient, duration_s: float, number: int = 0) -> None:
        self.patient = patient
        self.duration_s = duration_s
        self.pattern: GaitPattern = pattern_of(patient)
        self.anatomy: Anatomy = anatomy_of(patient.height_m)
        oscillation = _fit_oscillation(self.pattern, self.anatomy)
        random = np.random.default_rng([patient.seed, 11, number])
        self.footprints: Footprints = plan_footprints(self.pattern, duration_s, random)
        self._legs = {side: Leg(side, self.pattern, self.anatomy, self.footprints.side(side)) for side in BOTH}
        path = steady_path(self.anatomy, self.pattern, self.footprints).with_oscillation(oscillation)
        self.pelvis: PelvisPath = _within_reach(path, self._legs, self.anatomy, duration_s)

    def positions(self, time_s: FloatArray) -> FloatArray:
        """(T, J, 3) positions of all joints in metres at (T,) seconds within the walk."""
        if time_s.size and not (time_s[0] >= -1e-9 and time_s[-1] <= self.duration_s + 1e-9):
            raise ValueError(f"the walk lasts from 0 to {self.duration_s} s")
        points = np.full((time_s.size, len(JOINTS), 3), np.nan)
        for side in BOTH:
            leg = self._legs[side].points(self.pelvis, time_s)
            for name in ("hip", "knee", "ankle", "heel", "toe"):
                points[:, JOINT_INDEX[f"{side}_{name}"]] = getattr(leg, name)
        for name, track in upper_body(self.pelvis, time_s).items():
            points[:, JOINT_INDEX[name]] = track
        return points

    def trajectories(self, sample_rate_hz: float) -> JointTrajectories:
        """The walk's exact joint positions, evenly sampled."""
        time_s = np.arange(int(self.duration_s * sample_rate_hz) + 1) / sample_rate_hz
        return JointTrajectories(time_s, self.positions(time_s), "m", np.ones((time_s.size, len(JOINTS))))


def _fit_oscillation(pattern: GaitPattern, anatomy: Anatomy) -> FloatArray:
    """Harmonics of the pelvis with which both planted legs come closest to their target curves."""
    stride = pattern.stride_time
    prints = plan_footprints(pattern, 2.0 * stride, None)
    legs = [Leg(side, pattern, anatomy, prints.side(side)) for side in BOTH]
    path = steady_path(anatomy, pattern, prints)
    samples = []
    for leg in legs:
        side_prints = prints.side(leg.side)
        print_index = int(np.searchsorted(side_prints.strike_s, 0.0))
        samples.append(np.linspace(side_prints.strike_s[print_index] + 1e-3, side_prints.off_s[print_index] - 1e-3, 32))

    def residuals(coefficients: FloatArray) -> FloatArray:
        moved = path.with_oscillation(coefficients)
        parts = [_stance_misfit(leg, moved, anatomy, time_s) for leg, time_s in zip(legs, samples, strict=True)]
        parts.append(np.delete(coefficients, HARMONICS) / np.array([0.06, *[0.015] * 4, *[0.03] * 4]))
        return np.concatenate(parts)

    start = np.concatenate([path.forward, path.height])
    return np.asarray(least_squares(residuals, start, max_nfev=30).x, dtype=np.float64)


def _stance_misfit(leg: Leg, path: PelvisPath, anatomy: Anatomy, time_s: FloatArray) -> FloatArray:
    phase, _ = leg.phase(time_s)
    line = leg.ankle_on_floor(time_s) - path.hip(leg.side, time_s)
    length = np.linalg.norm(line, axis=1)
    cosine = (length**2 - anatomy.thigh**2 - anatomy.shank**2) / (2 * anatomy.thigh * anatomy.shank)
    knee = np.arccos(np.clip(cosine, -1.0, 0.9999))
    thigh = np.arctan2(line[:, 0], -line[:, 2]) + 0.5 * knee
    too_long = np.clip(length - _STRAIGHTEST * anatomy.leg, 0.0, None)
    knee_error, thigh_error = knee - leg.targets.knee(phase), thigh - leg.targets.thigh(phase)
    return np.concatenate([knee_error / np.radians(4.0), thigh_error / np.radians(5.0), too_long / 0.002])


def _within_reach(path: PelvisPath, legs: dict[Side, Leg], anatomy: Anatomy, duration_s: float) -> PelvisPath:
    """Lower the pelvis, smoothly, wherever a planted leg would have to be longer than it is."""
    time_s = np.arange(-0.3, duration_s + 0.3, _PLANNING_STEP_S)
    total = np.zeros_like(time_s)
    limit = _STRAIGHTEST * anatomy.leg
    for _ in range(8):
        needed = np.zeros_like(time_s)
        for leg in legs.values():
            needed = np.maximum(needed, _too_high(leg, path, time_s, limit))
            # A leg is longest just after its foot strike, which falls between two samples.
            strikes = leg.strikes[(leg.strikes > time_s[0]) & (leg.strikes < time_s[-1])] + 1e-6
            before = np.searchsorted(time_s, strikes) - 1
            at_strike = _too_high(leg, path, strikes, limit)
            np.maximum.at(needed, before, at_strike)
            np.maximum.at(needed, before + 1, at_strike)
        if not np.any(needed > 1e-5):
            break
        total = total + gaussian_filter1d(maximum_filter1d(needed, size=21), sigma=2.5)
        path = replace(path, lowering=CubicSpline(time_s, total))
    return path


def _too_high(leg: Leg, path: PelvisPath, time_s: FloatArray, limit: float) -> FloatArray:
    """By how many metres the pelvis is too high for a planted leg of at most ``limit``; 0 for a swinging one."""
    phase, _ = leg.phase(time_s)
    line = leg.ankle_on_floor(time_s) - path.hip(leg.side, time_s)
    highest = np.sqrt(np.clip(limit**2 - line[:, 0] ** 2 - line[:, 1] ** 2, 0.0, None))
    return np.where(phase < leg.targets.foot_off, np.clip(-line[:, 2] - highest, 0.0, None), 0.0)
