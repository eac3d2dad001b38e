"""How the report names things and writes numbers: the names are the catalogue's, the decimals stand here."""

from __future__ import annotations

import math

from gaitkeeper_client.gait.planes import PLANES as _PLANES
from gaitkeeper_client.language.texts import say, say_all, worded
from gaitkeeper_shared.skeleton import SIDES

_DECIMALS: dict[str, int] = {
    "cadence": 1,
    "walking_speed": 2,
    "stride_length": 2,
    "step_length": 2,
    "step_width": 3,
    "stride_time": 2,
    "step_time": 2,
    "stance_percent": 1,
    "swing_percent": 1,
    "double_support_percent": 1,
    "dimensionless_speed": 2,
    "symmetry_index": 1,
    "swing_asymmetry": 1,
    "step_time_ratio": 2,
    "step_length_ratio": 2,
    "arm_swing_asymmetry": 0,
    "phase_coordination_index": 1,
    "harmonic_ratio_vertical": 1,
    "harmonic_ratio_forward": 1,
    "harmonic_ratio_sideways": 1,
    "stride_time_cv": 1,
    "stride_time_sd": 3,
    "step_time_cv": 1,
    "stance_time_cv": 1,
    "swing_time_cv": 1,
    "stride_length_cv": 1,
    "step_width_sd": 3,
    "trunk_lean": 1,
    "trunk_sway_sagittal": 1,
    "trunk_sway_frontal": 1,
    "trunk_rotation": 1,
    "freezing_index": 2,
    "sagittal_deviation": 1,
    "sagittal_shape_deviation": 1,
    "step_time_left": 2,
    "step_time_right": 2,
    "stance_percent_left": 1,
    "stance_percent_right": 1,
    "step_length_left": 2,
    "step_length_right": 2,
    "toe_clearance_left": 3,
    "toe_clearance_right": 3,
    "hip_range_left": 0,
    "hip_range_right": 0,
    "knee_range_left": 0,
    "knee_range_right": 0,
    "ankle_range_left": 0,
    "ankle_range_right": 0,
    "foot_progression_left": 0,
    "foot_progression_right": 0,
    "arm_swing_left": 0,
    "arm_swing_right": 0,
}
PARAMETERS: dict[str, tuple[str, int]] = {
    name: (say(f"parameters.{name}"), places) for name, places in _DECIMALS.items()
}
"""By parameter: what it is called and how many decimals carry information; in the order in which a clinician reads.

Parameters that are not named here follow, under their own names.
"""

GROUPS: dict[str, tuple[str, ...]] = {
    say("parameter_groups.pace"): (
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
    say("parameter_groups.symmetry"): (
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
    say("parameter_groups.variability"): (
        "stride_time_cv",
        "stride_time_sd",
        "step_time_cv",
        "stance_time_cv",
        "swing_time_cv",
        "stride_length_cv",
        "step_width_sd",
    ),
    say("parameter_groups.trunk"): (
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
    name: say(f"pairs.{name}")
    for name in (
        "step_time",
        "stance_percent",
        "step_length",
        "toe_clearance",
        "hip_range",
        "knee_range",
        "ankle_range",
        "foot_progression",
        "arm_swing",
    )
}
"""Parameters that exist for each side, without the side; and what they are called."""

UNITS: dict[str, str] = {"deg": "°", "1": "", "steps/min": say("facts_words.steps_a_minute")}
"""Units that are written otherwise for people."""

ANGLES: dict[str, tuple[str, tuple[str, str]]] = {
    name: (say(f"angles.{name}"), (say(f"angles.{name}_up"), say(f"angles.{name}_down")))
    for name in ("hip_flexion", "knee_flexion", "ankle_dorsiflexion")
}
"""By angle: the joint's name, and what positive and negative are called."""

PLANES: dict[str, tuple[str, tuple[str, str]]] = {
    name: (say(f"planes.{name}"), (say(f"planes.{name}_up"), say(f"planes.{name}_down"))) for name in _PLANES
}
"""The same for angles in three planes."""

CHANNELS: dict[str, str] = {
    name: say(f"channels.{name}")
    for name in (
        "hip_flexion",
        "knee_flexion",
        "ankle_dorsiflexion",
        "foot_forward",
        "foot_height",
        "hand_forward",
        "trunk_lean",
        "pelvis_height",
        "pelvis_speed",
    )
}

MEASURES: dict[str, tuple[str, str, float, int]] = {
    "stride_time": (say("measures.stride_time"), "s", 1.0, 2),
    "stride_time_variability": (say("measures.stride_time_variability"), "%", 100.0, 1),
    "swing_share_variability": (say("measures.swing_share_variability"), say("measures.points"), 100.0, 2),
    "swing_share": (say("measures.swing_share"), "%", 100.0, 1),
}
"""What a model measures itself: what it is called, its unit for people, the factor to it, and decimals."""
_MEASURE_UNITS = {"deg": ("°", 1), "leg": (say("measures.legs"), 3), "leg/s": (say("measures.legs_s"), 2)}


def measure_wording(name: str, unit: str) -> tuple[str, str, float, int]:
    """:data:`MEASURES` of a model's measurement; one that is not listed is named after its channel, or as it is."""
    if name in MEASURES:
        return MEASURES[name]
    shown, decimals = _MEASURE_UNITS.get(unit, (unit, 3))
    for ending, told in (("_difference", "measures.difference_of"), ("_mean", "measures.mean_of")):
        if name.endswith(ending):
            stem = name.removesuffix(ending)
            title = CHANNELS.get(stem, stem.replace("_", " "))
            return say(told, title=title.capitalize()), shown, 1.0, decimals
    return name, shown, 1.0, decimals


_SIDES: dict[str, str] = say_all("sides")
_JOINTS: dict[str, str] = say_all("joints")
FACTS: dict[str, str] = say_all("facts")
"""What measured and recorded facts are called; others are called by their key."""


def side_name(side: str) -> str:
    """A side in words; empty for what has none."""
    return _SIDES.get(side, side)


def joint_name(joint: str) -> str:
    """A joint, or a part of the body, in words."""
    return _JOINTS.get(joint, joint)


def place(side: str, joint: str) -> str:
    """A joint with its side."""
    return say("sides.joint", side=side_name(side), joint=joint_name(joint)).strip()


def span(low: str, high: str) -> str:
    """From one number to another, as they were written."""
    return say("facts_words.range", low=low, high=high)


def count_of_cycles(count: int) -> str:
    """How many cycles a curve is of."""
    return say("curves.count_one") if count == 1 else say("curves.count", n=count)


def channel_name(channel: str) -> str:
    """A feature channel in words, without its side."""
    for side in SIDES:
        channel = channel.removesuffix(f"_{side}")
    return CHANNELS.get(channel, channel.replace("_", " "))


def moment(text: str) -> str:
    """A moment in UTC, ISO 8601, as people read it; anything else as it is."""
    return (
        f"{text[:10]} {text[11:16]} UTC"
        if len(text) > 16 and text[10] == "T" and text.endswith(("Z", "+00:00"))
        else text
    )


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


_ENDINGS = (("_hz", "Hz"), ("_px", "px"), ("_deg", "°"), ("_m_s", "m/s"), ("_m", "m"), ("_s", "s"))


def _unit_of(key: str) -> str:
    """The unit that a fact's key carries."""
    unit = next((unit for ending, unit in _ENDINGS if key.endswith(ending)), "")
    return unit if unit in ("", "°") else f" {unit}"


def fact(key: str, value: object) -> str:
    """A measured or recorded fact in words, with the unit that its key carries."""
    if value is None:
        return say("facts_words.unknown")
    if isinstance(value, bool):
        return say("facts_words.yes" if value else "facts_words.no")
    if isinstance(value, float):
        if key.endswith("leg_lengths"):
            return f"{number(100.0 * value, 1)}%"
        if key.endswith("share"):
            return f"{value:.0%}"
        decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 or key.endswith("_deg") else 2
        return number(value, decimals) + _unit_of(key)
    if isinstance(value, int):
        return f"{value}{_unit_of(key)}"
    if isinstance(value, list | tuple):
        if not value:
            return say("facts_words.none")
        return ", ".join(fact("", item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{title_of(name).lower()}: {fact(name, item)}" for name, item in value.items())
    return worded(str(value))
