"""Segment lengths of an adult from the height.

Fractions of height after Drillis & Contini 1966 as printed in Winter, Biomechanics and Motor Control of Human Movement,
4th ed. 2009, doi:10.1002/9780470549148, fig. 4.1; the foot's inner points (ankle, ball) after Winter's link model.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Lengths in metres. ``heel`` and ``toe`` are points of the sole, the others joint centres.

    ``ankle_height`` and ``ankle_forward``: ankle above the sole and ahead of the heel, foot flat. ``ball``: heel to the
    metatarsal heads, where the foot bends. ``hip_half_width``, ``shoulder_half_width``: joint centre to the midline.
    """

    height: float
    thigh: float
    shank: float
    ankle_height: float
    ankle_forward: float
    ball: float
    foot: float
    hip_half_width: float
    shoulder_half_width: float
    trunk: float
    upper_arm: float
    forearm: float
    nose_up: float
    nose_forward: float

    @property
    def leg(self) -> float:
        """Thigh plus shank."""
        return self.thigh + self.shank


def anatomy_of(height_m: float) -> Anatomy:
    """Segment lengths for a height in metres."""
    return Anatomy(
        height=height_m,
        thigh=0.245 * height_m,
        shank=0.246 * height_m,
        ankle_height=0.039 * height_m,
        ankle_forward=0.038 * height_m,
        ball=0.109 * height_m,
        foot=0.152 * height_m,
        hip_half_width=0.052 * height_m,
        shoulder_half_width=0.112 * height_m,
        trunk=0.288 * height_m,
        upper_arm=0.186 * height_m,
        forearm=0.146 * height_m,
        nose_up=0.108 * height_m,
        nose_forward=0.062 * height_m,
    )
