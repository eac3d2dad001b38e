"""The names of the angles in three planes. Apart from what computes them, which takes scipy: words need none."""

from __future__ import annotations

from collections.abc import Mapping

PELVIS = ("pelvis_tilt", "pelvis_obliquity", "pelvis_rotation")
"""Of the pelvis against the walk."""
BY_JOINT: Mapping[str, tuple[str, str, str]] = {
    "hip": ("hip_flexion", "hip_adduction", "hip_rotation"),
    "knee": ("knee_flexion", "knee_adduction", "knee_rotation"),
    "ankle": ("ankle_dorsiflexion", "ankle_inversion", "ankle_rotation"),
}
"""Of each joint: how it bends, how it leans to the side, and how it turns about the lower segment."""
PLANES: tuple[str, ...] = (*PELVIS, *(name for names in BY_JOINT.values() for name in names))
"""All angles; each exists once per side: ``hip_adduction_left``."""
