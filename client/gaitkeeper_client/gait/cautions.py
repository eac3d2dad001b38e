"""What is said beside a value that stands but asks for care, as one table: code, rule, message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gaitkeeper_client.gait.analysis import Reason


@dataclass(frozen=True, slots=True)
class Caution:
    """``message`` is a ``str.format`` template."""

    code: str
    rule: str
    message: str


RELIABLE_STRIDES = 23
"""Strides after which the phase coordination index settles (Kribus-Shmiel et al. 2018,
doi:10.1371/journal.pone.0192049)."""

CAUTIONS: dict[str, Caution] = {
    row.code: row
    for row in (
        Caution(
            "wide-interval",
            "the 95 % interval reaches farther from the value than the limit of that parameter in definitions.toml",
            "The interval is wide: the value may be {low} as well as {high}.",
        ),
        Caution(
            "one-value",
            "the value rests on a single stride, step or window, so that no interval can be given",
            "One value alone: nothing tells how far it can be trusted.",
        ),
        Caution(
            "far-limb",
            "a side view in which the limb that the value is of, or compares, is always the one behind",
            "The {side} side is away from the camera and partly hidden: expect larger errors there.",
        ),
        Caution(
            "set-square",
            "an oblique view that is set square by the walk's own perspective",
            "The camera stood about {azimuth:.0f} degrees off the side: the walk is set square by how the walker grows "
            "on the way, and what the camera's lens is like is guessed.",
        ),
        Caution(
            "few-strides-for-coordination",
            f"fewer than {RELIABLE_STRIDES} strides for the phase coordination index",
            f"The index settles after about {RELIABLE_STRIDES} strides; here are {{n}}.",
        ),
        Caution(
            "timing-noise",
            "events are timed no better than a sample, and that alone makes a good part of a measured variability",
            "At this sample rate the timing of events alone gives about {share:.0f} % of this: the walker's own "
            "variability is smaller.",
        ),
        Caution(
            "uncalibrated-force",
            "contacts come of foot forces without newtons, and the value depends on the load taken for a contact",
            "The forces are not calibrated: a contact begins and ends at a share of the foot's usual load, perhaps "
            "15 ms from where newtons would put it.",
        ),
        Caution(
            "usual-leg",
            "the height is not given, and a leg of usual length stands in for it",
            "The leg is taken as 0.82 m long, because the height is not given: good to about 7 %.",
        ),
    )
}


def caution(code: str, **values: Any) -> Reason:
    """A row of the table filled in. An unknown code or a missing value is a programming error (KeyError)."""
    return Reason(code, CAUTIONS[code].message.format(**values))
