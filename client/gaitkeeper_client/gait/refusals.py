"""Every reason to withhold a result, as one table: the rule in words, the message, what to do about the recording.

"I rather have no results than bad results": a refusal is a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gaitkeeper_client.gait.analysis import Parameter, Reason
from gaitkeeper_client.language.texts import say


@dataclass(frozen=True, slots=True)
class Refusal:
    """``message`` and ``remedy`` are ``str.format`` templates."""

    code: str
    rule: str
    message: str
    remedy: str


LOWEST_RATE_HZ = 20.0
"""Double support lasts about 0.12 s: below 20 Hz it has two samples, and events are more than 25 ms uncertain."""
FEWEST_CYCLES = 2
FEWEST_FOR_VARIABILITY = 10
"""Strides needed for a coefficient of variation that means something (see ``docs/analysis-schema.md``)."""

RULES: dict[str, str] = {
    "no-person": "nobody is seen for at least half a second",
    "not-walking": "the person neither travels with alternating legs nor walks on the spot, or sits",
    "walks-backwards": "the feet point against the way travelled, by more than 90 degrees, in every straight walk",
    "upside-down": "the shoulders are below the hips in more than half of what is seen of both",
    "beyond-human": "the angle is larger than a human joint allows",
    "too-few-cycles": f"fewer than {FEWEST_CYCLES} complete gait cycles",
    "frame-rate-too-low": f"fewer than {LOWEST_RATE_HZ:g} samples per second",
    "view-unfit": "the parameter cannot be measured from this side",
    "space-needed": "the parameter needs positions in three dimensions",
    "points-missing": "the points that the parameter is made of are not seen in any whole stride",
    "mean-not-positive": "the parameter divides by a mean that is zero or negative",
    "too-noisy": "the keypoints' noise is as large as what is to be measured",
    "no-interval": "too few strides, steps or windows, of a leg where legs are compared, to say how sure the value is",
    "too-uncertain": (
        "the 95 % interval reaches farther from the value than the value itself, and than six times the limit from "
        "which it is marked as wide"
    ),
    "recording-too-short": (
        "the recording is shorter than the parameter needs, or has no stretch without gaps of that length"
    ),
    "speed-unknown": "norms are matched by speed, and the walk's speed is not known",
    "scale-unknown": "lengths in pixels have no scale",
    "feet-missing": (
        "the parameter is of a foot whose heel or tip is never seen, or in less than half of where its ankle is"
    ),
    "positions-needed": "the parameter needs positions of the body, and the recording holds forces or times alone",
    "moving-camera": (
        "the camera moves during a walk by more than 2 % of the picture's width, or zooms by more than 3 %"
    ),
    "constant-place": "the person walks on the spot (treadmill, or a camera that moves along)",
    "belt-contradiction": "the treadmill's speed differs from the steps' lengths over their time by more than 15 %",
    "too-few-strides": "fewer strides than the parameter needs",
}
"""When a result is withheld, by code. Message and remedy are the catalogue's (``refusal``, ``remedy``)."""

TABLE: dict[str, Refusal] = {
    code: Refusal(code, rule, say(f"refusal.{code}"), say(f"remedy.{code}")) for code, rule in RULES.items()
}


def reason(code: str, **values: Any) -> Reason:
    """A row of the table filled in. An unknown code or a missing value is a programming error (KeyError)."""
    row = TABLE[code]
    return Reason(code, f"{row.message.format(**values)} {row.remedy}")


def refused(unit: str, code: str, count: int = 0, **values: Any) -> Parameter:
    """A parameter that is withheld."""
    return Parameter(unit=unit, n=count, refused=reason(code, **values))
