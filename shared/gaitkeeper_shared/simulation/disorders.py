"""What a disorder does to walking, as numbers: from a patient to the pattern that the walker follows.

Sources, one or more per disorder, of the signs and the direction of each. **How large a sign is, is our judgement**,
scaled by the patient's severity: no number was taken from a table, and the walk ratio from memory.

- healthy: speed, cadence and step length by the walk ratio, Sekiya & Nagasaki 1998, doi:10.1016/S0966-6362(98)00009-5
  (not read; Terrier & Schutz 2003, doi:10.1007/s00421-003-0906-3, abstract, have 0.0068 outdoors where we have 0.0064);
  variability of a few percent, Hausdorff 2005, doi:10.1186/1743-0003-2-19 (introduction read).
- parkinsonian: short steps, made up for by cadence, Morris et al. 1996, doi:10.1093/brain/119.2.551 (abstract read);
  uneven arm swing, Lewek et al. 2010, doi:10.1016/j.gaitpost.2009.10.013 (abstract read: in early disease arms swing
  unevenly, yet neither less than a control's; that they swing less is of later disease and from no source here).
- hemiparetic: stance and knee-flexion asymmetry, Olney & Richards 1996, doi:10.1016/0966-6362(96)01063-6; circumduction
  and hip hiking, Kerrigan et al. 2000, doi:10.1097/00002060-200005000-00006 (neither read).
- ataxic: fewer steps a minute, longer stance, wide base, large variability, joints that move nearly as far as usual,
  Stolze et al. 2002, doi:10.1136/jnnp.73.3.310; Ilg et al. 2007, doi:10.1093/brain/awl376 (abstracts read).
- antalgic: slow, shorter stance and step on the painful side, Constantinou et al. 2014, doi:10.2519/jospt.2014.4634
  (abstract read).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gaitkeeper_shared.recording import Side
from gaitkeeper_shared.simulation.patient import Disorder, SyntheticPatient


@dataclass(frozen=True, slots=True)
class LimbPattern:
    """One side's part of a walking pattern. Lengths in metres, angles in degrees.

    ``stance``: share of the stride from foot strike to foot off. ``step_share``: this side's step over the mean step.
    ``knee_swing``, ``knee_loading``: scale of the flexion in swing and in loading response; ``knee_offset``: added
    throughout stance. ``strike_pitch``: sole at foot strike, toes up. ``push_off``: scale of the heel's rise.
    ``swing_drop``: plantarflexion added in swing. ``circumduction``: sideways excursion of the foot in swing.
    ``arm_swing``: amplitude at the shoulder; ``elbow``: mean flexion. ``toe_out``: of the footprint.
    """

    stance: float
    step_share: float = 1.0
    knee_swing: float = 1.0
    knee_loading: float = 1.0
    knee_offset: float = 0.0
    strike_pitch: float = 20.0
    push_off: float = 1.0
    swing_drop: float = 0.0
    circumduction: float = 0.0
    arm_swing: float = 20.0
    elbow: float = 22.0
    toe_out: float = 7.0


@dataclass(frozen=True, slots=True)
class GaitPattern:
    """How a patient walks on average, and how much strides vary.

    ``cadence``: steps a minute. ``step_length``, ``step_width``: mean, metres. ``stride_time_cv``, ``step_length_cv``:
    coefficients of variation; ``step_width_sd``, ``sway_m``: metres. ``trunk_lean``: forward, degrees; ``trunk_sway``:
    sideways amplitude, degrees; ``hip_hike``: pelvic drop (+) or hike (-) amplitude in degrees on the swinging side.
    """

    left: LimbPattern
    right: LimbPattern
    cadence: float
    step_length: float
    step_width: float
    stride_time_cv: float
    step_length_cv: float
    step_width_sd: float
    trunk_lean: float
    trunk_sway: float
    sway_m: float
    hip_hike_left: float
    hip_hike_right: float
    pelvic_rotation: float
    trunk_lean_to_left: float = 0.0

    def limb(self, side: Side) -> LimbPattern:
        """The pattern of one side."""
        return self.left if side == "left" else self.right

    @property
    def stride_time(self) -> float:
        """Mean stride time in seconds."""
        return 120.0 / self.cadence

    @property
    def right_strike_phase(self) -> float:
        """Where in the left leg's cycle the right foot strikes: such that both double supports last equally long."""
        return 0.5 * (1.0 + self.left.stance - self.right.stance)


WALK_RATIO_M_MIN = 0.0064
"""Step length over cadence of healthy adults of 1.72 m (Sekiya & Nagasaki 1998), metre minutes per step."""


def _base(patient: SyntheticPatient, random: np.random.Generator, ratio: float = 1.0) -> GaitPattern:
    speed, height = patient.speed_m_s, patient.height_m
    walk_ratio = WALK_RATIO_M_MIN * (height / 1.72) * ratio * float(random.normal(1.0, 0.03))
    cadence = float(np.sqrt(60.0 * speed / walk_ratio))
    step_length = 60.0 * speed / cadence
    stretch = step_length / (0.41 * height)
    slow = max(0.0, 1.3 - speed)
    limb = LimbPattern(
        stance=0.61 + 0.055 * (1.3 - speed) + float(random.normal(0.0, 0.004)),
        knee_swing=float(np.clip(1.0 - 0.20 * slow + random.normal(0, 0.03), 0.7, 1.08)),
        knee_loading=float(np.clip(1.0 - 0.7 * slow, 0.35, 1.1)),
        strike_pitch=float(np.clip(20.0 * stretch + random.normal(0, 1.5), 4.0, 26.0)),
        push_off=float(np.clip(stretch**0.6, 0.5, 1.08)),
        arm_swing=float(np.clip(20.0 * stretch + random.normal(0, 2.5), 5.0, 30.0)),
        elbow=float(22.0 + random.normal(0, 4.0)),
        toe_out=float(np.clip(random.normal(7.0, 2.0), 1.0, 13.0)),
    )
    return GaitPattern(
        left=limb,
        right=limb,
        cadence=cadence,
        step_length=step_length,
        step_width=float(np.clip(random.normal(0.095, 0.015), 0.06, 0.14)),
        stride_time_cv=0.017,
        step_length_cv=0.025,
        step_width_sd=0.010,
        trunk_lean=float(3.0 + random.normal(0, 1.0) + 0.06 * max(0, patient.age - 60)),
        trunk_sway=2.0,
        sway_m=0.02,
        hip_hike_left=3.0,
        hip_hike_right=3.0,
        pelvic_rotation=float(np.clip(4.5 * stretch, 1.0, 6.0)),
    )


def _on_sides(
    pattern: GaitPattern,
    affected: Side,
    change_affected: Callable[[LimbPattern], LimbPattern],
    change_other: Callable[[LimbPattern], LimbPattern],
) -> GaitPattern:
    if affected == "left":
        return replace(pattern, left=change_affected(pattern.left), right=change_other(pattern.right))
    return replace(pattern, left=change_other(pattern.left), right=change_affected(pattern.right))


def _healthy(patient: SyntheticPatient, random: np.random.Generator) -> GaitPattern:
    return _base(patient, random)


def _parkinsonian(patient: SyntheticPatient, random: np.random.Generator) -> GaitPattern:
    k = patient.severity
    pattern = _base(patient, random, ratio=1.0 - 0.32 * k)

    def stooped(limb: LimbPattern, arm: float) -> LimbPattern:
        return replace(
            limb,
            stance=limb.stance + 0.015 * k,
            knee_swing=limb.knee_swing * (1.0 - 0.10 * k),
            knee_offset=7.0 * k,
            strike_pitch=limb.strike_pitch * (1.0 - 0.45 * k),
            arm_swing=limb.arm_swing * arm,
            elbow=22.0 + 33.0 * k,
        )

    pattern = _on_sides(pattern, patient.affected_side, lambda x: stooped(x, 0.15), lambda x: stooped(x, 0.4))
    return replace(
        pattern,
        stride_time_cv=0.03,
        step_length_cv=0.045,
        trunk_lean=pattern.trunk_lean + 11.0 * k,
        pelvic_rotation=0.5 * pattern.pelvic_rotation,
    )


def _hemiparetic(patient: SyntheticPatient, random: np.random.Generator) -> GaitPattern:
    k = patient.severity
    pattern = _base(patient, random, ratio=0.98)

    def paretic(limb: LimbPattern) -> LimbPattern:
        return replace(
            limb,
            stance=limb.stance - 0.035 * k,
            step_share=1.0 + 0.09 * k,
            knee_swing=limb.knee_swing * (1.0 - 0.38 * k),
            knee_loading=limb.knee_loading * 0.6,
            strike_pitch=2.0,
            push_off=limb.push_off * (1.0 - 0.35 * k),
            swing_drop=7.0 * k,
            circumduction=0.065 * k,
            arm_swing=limb.arm_swing * 0.12,
            elbow=65.0 * k,
            toe_out=limb.toe_out + 5.0,
        )

    def sound(limb: LimbPattern) -> LimbPattern:
        return replace(limb, stance=limb.stance + 0.035 * k, step_share=1.0 - 0.09 * k)

    pattern = _on_sides(pattern, patient.affected_side, paretic, sound)
    hike = -4.0 * k
    left = patient.affected_side == "left"
    return replace(
        pattern,
        step_width=pattern.step_width + 0.05 * k,
        stride_time_cv=0.032,
        step_length_cv=0.05,
        trunk_sway=3.5,
        sway_m=0.03,
        hip_hike_left=hike if left else pattern.hip_hike_left,
        hip_hike_right=pattern.hip_hike_right if left else hike,
        trunk_lean_to_left=-3.0 * k if left else 3.0 * k,
    )


def _ataxic(patient: SyntheticPatient, random: np.random.Generator) -> GaitPattern:
    k = patient.severity
    pattern = _base(patient, random, ratio=1.04)

    def unsteady(limb: LimbPattern) -> LimbPattern:
        return replace(
            limb, stance=limb.stance + 0.02 * k, toe_out=limb.toe_out + 6.0 * k, arm_swing=0.8 * limb.arm_swing
        )

    return replace(
        pattern,
        left=unsteady(pattern.left),
        right=unsteady(pattern.right),
        step_width=pattern.step_width + 0.12 * k,
        stride_time_cv=0.065 * k,
        step_length_cv=0.11 * k,
        step_width_sd=0.035 * k,
        trunk_sway=5.0 * k,
        sway_m=0.045,
    )


def _antalgic(patient: SyntheticPatient, random: np.random.Generator) -> GaitPattern:
    k = patient.severity
    pattern = _base(patient, random, ratio=0.97)

    def painful(limb: LimbPattern) -> LimbPattern:
        return replace(
            limb,
            stance=limb.stance - 0.05 * k,
            step_share=1.0 - 0.07 * k,
            knee_loading=limb.knee_loading * 0.5,
            knee_offset=4.0 * k,
            knee_swing=limb.knee_swing * (1.0 - 0.08 * k),
            strike_pitch=limb.strike_pitch * 0.7,
            push_off=limb.push_off * 0.8,
        )

    def sparing(limb: LimbPattern) -> LimbPattern:
        return replace(limb, stance=limb.stance + 0.03 * k, step_share=1.0 + 0.07 * k)

    pattern = _on_sides(pattern, patient.affected_side, painful, sparing)
    towards = 4.0 * k if patient.affected_side == "left" else -4.0 * k
    return replace(pattern, stride_time_cv=0.026, step_length_cv=0.035, trunk_sway=3.0, trunk_lean_to_left=towards)


_PATTERNS: dict[Disorder, Callable[[SyntheticPatient, np.random.Generator], GaitPattern]] = {
    "healthy": _healthy,
    "parkinsonian": _parkinsonian,
    "hemiparetic": _hemiparetic,
    "ataxic": _ataxic,
    "antalgic": _antalgic,
}


def pattern_of(patient: SyntheticPatient) -> GaitPattern:
    """The patient's own walking pattern; the same patient always has the same one."""
    return _PATTERNS[patient.disorder](patient, np.random.default_rng([patient.seed, 7]))
