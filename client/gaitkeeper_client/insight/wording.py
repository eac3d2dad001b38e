"""How the report names things and writes numbers: one place, so that another language is another table."""

from __future__ import annotations

import math

PARAMETERS: dict[str, tuple[str, int]] = {
    "cadence": ("Cadence", 1),
    "walking_speed": ("Walking speed", 2),
    "stride_length": ("Stride length", 2),
    "step_length": ("Step length", 2),
    "step_width": ("Step width", 3),
    "stride_time": ("Stride time", 2),
    "step_time": ("Step time", 2),
    "stance_percent": ("Stance", 1),
    "swing_percent": ("Swing", 1),
    "double_support_percent": ("Double support", 1),
    "dimensionless_speed": ("Dimensionless speed", 2),
    "symmetry_index": ("Stance asymmetry", 1),
    "swing_asymmetry": ("Swing asymmetry, left less right", 1),
    "step_time_ratio": ("Step time, left over right", 2),
    "step_length_ratio": ("Step length, left over right", 2),
    "arm_swing_asymmetry": ("Arm swing asymmetry, left less right", 0),
    "phase_coordination_index": ("Phase coordination index", 1),
    "harmonic_ratio_vertical": ("Harmonic ratio, vertical", 1),
    "harmonic_ratio_forward": ("Harmonic ratio, forward", 1),
    "harmonic_ratio_sideways": ("Harmonic ratio, sideways", 1),
    "stride_time_cv": ("Stride time variability", 1),
    "stride_time_sd": ("Stride time, standard deviation", 3),
    "step_time_cv": ("Step time variability", 1),
    "stance_time_cv": ("Stance time variability", 1),
    "swing_time_cv": ("Swing time variability", 1),
    "stride_length_cv": ("Stride length variability", 1),
    "step_width_sd": ("Step width, standard deviation", 3),
    "trunk_lean": ("Trunk lean", 1),
    "trunk_sway_sagittal": ("Trunk sway, forward", 1),
    "trunk_sway_frontal": ("Trunk sway, to the sides", 1),
    "trunk_rotation": ("Trunk rotation", 1),
    "freezing_index": ("Freezing index", 2),
    "sagittal_deviation": ("Deviation from the norm's curves", 1),
    "sagittal_shape_deviation": ("Deviation in shape alone", 1),
    "step_time_left": ("Step time, left", 2),
    "step_time_right": ("Step time, right", 2),
    "stance_percent_left": ("Stance, left", 1),
    "stance_percent_right": ("Stance, right", 1),
    "step_length_left": ("Step length, left", 2),
    "step_length_right": ("Step length, right", 2),
    "toe_clearance_left": ("Toe clearance, left", 3),
    "toe_clearance_right": ("Toe clearance, right", 3),
    "hip_range_left": ("Hip range of motion, left", 0),
    "hip_range_right": ("Hip range of motion, right", 0),
    "knee_range_left": ("Knee range of motion, left", 0),
    "knee_range_right": ("Knee range of motion, right", 0),
    "ankle_range_left": ("Ankle range of motion, left", 0),
    "ankle_range_right": ("Ankle range of motion, right", 0),
    "foot_progression_left": ("Foot progression angle, left", 0),
    "foot_progression_right": ("Foot progression angle, right", 0),
    "arm_swing_left": ("Arm swing, left", 0),
    "arm_swing_right": ("Arm swing, right", 0),
}
"""By parameter: what it is called and how many decimals carry information; in the order in which a clinician reads.

Parameters that are not named here follow, under their own names.
"""

GROUPS: dict[str, tuple[str, ...]] = {
    "Pace and phases": (
        "cadence",
        "walking_speed",
        "stride_length",
        "step_length",
        "step_width",
        "stride_time",
        "step_time",
        "stance_percent",
        "swing_percent",
        "double_support_percent",
    ),
    "Symmetry and coordination": (
        "symmetry_index",
        "swing_asymmetry",
        "step_time_ratio",
        "step_length_ratio",
        "arm_swing_asymmetry",
        "phase_coordination_index",
        "harmonic_ratio_vertical",
        "harmonic_ratio_forward",
        "harmonic_ratio_sideways",
    ),
    "Variability from stride to stride": (
        "stride_time_cv",
        "stride_time_sd",
        "step_time_cv",
        "stance_time_cv",
        "swing_time_cv",
        "stride_length_cv",
        "step_width_sd",
    ),
    "Trunk, freezing, distance from the norm": (
        "trunk_lean",
        "trunk_sway_sagittal",
        "trunk_sway_frontal",
        "trunk_rotation",
        "freezing_index",
        "dimensionless_speed",
        "sagittal_deviation",
        "sagittal_shape_deviation",
    ),
}
"""Headings of the report's table and what stands under each; parameters of neither side."""

ALWAYS_SHOWN: tuple[str, ...] = (
    "cadence",
    "walking_speed",
    "stride_length",
    "step_length",
    "stride_time",
    "step_time",
    "stance_percent",
    "swing_percent",
    "double_support_percent",
    "symmetry_index",
    "stride_time_cv",
)
"""Keep their line in the table where they are withheld; others are listed below it, by reason."""

PAIRS: dict[str, str] = {
    "step_time": "Step time",
    "stance_percent": "Stance",
    "step_length": "Step length",
    "toe_clearance": "Toe clearance",
    "hip_range": "Hip, range of motion",
    "knee_range": "Knee, range of motion",
    "ankle_range": "Ankle, range of motion",
    "foot_progression": "Foot progression, toes out",
    "arm_swing": "Arm swing",
}
"""Parameters that exist for each side, without the side; and what they are called."""

UNITS: dict[str, str] = {"deg": "°", "1": ""}
"""Units that are written otherwise for people."""

ANGLES: dict[str, tuple[str, tuple[str, str]]] = {
    "hip_flexion": ("Hip", ("flexion", "extension")),
    "knee_flexion": ("Knee", ("flexion", "extension")),
    "ankle_dorsiflexion": ("Ankle", ("dorsiflexion", "plantarflexion")),
}
"""By angle: the joint's name, and what positive and negative are called."""

CHANNELS: dict[str, str] = {
    "hip_flexion": "hip flexion",
    "knee_flexion": "knee flexion",
    "ankle_dorsiflexion": "ankle dorsiflexion",
    "foot_forward": "forward position of the foot",
    "foot_height": "height of the foot",
    "hand_forward": "forward position of the hand",
    "trunk_lean": "trunk lean",
    "pelvis_height": "height of the pelvis",
    "pelvis_speed": "speed of the pelvis",
}

MEASURES: dict[str, tuple[str, str, float, int]] = {
    "stride_time": ("Stride time", "s", 1.0, 2),
    "stride_time_variability": ("Stride time variability", "%", 100.0, 1),
    "swing_share_variability": ("Variability of the swing's share, standard deviation", "points", 100.0, 2),
    "swing_share": ("Swing, share of the stride", "%", 100.0, 1),
}
"""What a model measures itself: what it is called, its unit for people, the factor to it, and decimals."""
_MEASURE_UNITS = {"deg": ("°", 1), "leg": ("leg lengths", 3), "leg/s": ("leg lengths/s", 2)}


def measure_wording(name: str, unit: str) -> tuple[str, str, float, int]:
    """:data:`MEASURES` of a model's measurement; one that is not listed is named after its channel, or as it is."""
    if name in MEASURES:
        return MEASURES[name]
    shown, decimals = _MEASURE_UNITS.get(unit, (unit, 3))
    for ending, words in (("_difference", "left and right, difference of their means"), ("_mean", "mean")):
        if name.endswith(ending):
            stem = name.removesuffix(ending)
            title = CHANNELS.get(stem, stem.replace("_", " "))
            return f"{title.capitalize()}, {words}", shown, 1.0, decimals
    return name, shown, 1.0, decimals


FACTS: dict[str, str] = {
    "tracked_share": "Samples in which the person was tracked",
    "filled_share": "Values filled in across gaps",
    "swapped_share": "Samples with left and right put right again",
    "sample_rate_hz": "Samples per second",
    "duration_s": "Length",
    "view": "View",
    "view_azimuth_deg": "Camera off the side view",
    "direction": "Direction of travel",
    "longest_gap_s": "Longest gap",
    "noise_leg_lengths": "Tracking noise, of the leg's length",
    "constant_place": "On the spot (treadmill)",
    "event_method": "Method for foot strikes and foot offs",
    "aid": "Walked with",
    "sha256": "SHA-256 of the source",
    "fps": "Frames per second",
}
"""What measured and recorded facts are called; others are called by their key."""


def number(value: float | None, decimals: int) -> str:
    """A number with a true minus sign; a dash for one that is not known."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{decimals}f}"
    # Minus nothing is nothing.
    return text.lstrip("-") if float(text) == 0.0 else text.replace("-", "−")


def title_of(key: str) -> str:
    """``longest_gap_s`` as ``Longest gap``."""
    known = FACTS.get(key)
    if known is not None:
        return known
    words = key
    for ending, _ in _ENDINGS:
        words = words.removesuffix(ending)
    words = words.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


_ENDINGS = (("_hz", "Hz"), ("_px", "px"), ("_deg", "°"), ("_m", "m"), ("_s", "s"))


def fact(key: str, value: object) -> str:
    """A measured or recorded fact in words, with the unit that its key carries."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if key == "noise_leg_lengths":
            return f"{100.0 * value:.1f}%"
        if key.endswith("share"):
            return f"{value:.0%}"
        suffix = next((f" {unit}" for ending, unit in _ENDINGS if key.endswith(ending)), "")
        return number(value, 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2) + suffix
    if isinstance(value, list | tuple):
        return ", ".join(fact("", item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{title_of(name).lower()}: {fact(name, item)}" for name, item in value.items())
    return str(value)
