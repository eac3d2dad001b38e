"""How the report names things and writes numbers: one place, so that another language is another table."""

from __future__ import annotations

import math

PARAMETERS: dict[str, tuple[str, int]] = {
    "cadence": ("Cadence", 1),
    "walking_speed": ("Walking speed", 2),
    "stride_length": ("Stride length", 2),
    "step_length": ("Step length", 2),
    "stride_time": ("Stride time", 2),
    "step_time": ("Step time", 2),
    "stance_percent": ("Stance", 1),
    "swing_percent": ("Swing", 1),
    "double_support_percent": ("Double support", 1),
    "symmetry_index": ("Stance asymmetry", 1),
    "stride_time_cv": ("Stride time variability", 1),
}
"""By parameter: what it is called and how many decimals carry information; in the order in which a clinician reads.

Parameters that are not named here follow, under their own names.
"""

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
    "noise_leg_lengths": "Tracking noise, in leg lengths",
    "constant_place": "On the spot (treadmill)",
    "event_method": "Method for foot strikes and foot offs",
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
        if key.endswith("share"):
            return f"{value:.0%}"
        suffix = next((f" {unit}" for ending, unit in _ENDINGS if key.endswith(ending)), "")
        return number(value, 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2) + suffix
    if isinstance(value, list | tuple):
        return ", ".join(fact("", item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{title_of(name).lower()}: {fact(name, item)}" for name, item in value.items())
    return str(value)
