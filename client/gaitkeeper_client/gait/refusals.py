"""Every reason to withhold a result, as one table: the rule in words, the message, what to do about the recording.

"I rather have no results than bad results": a refusal is a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gaitkeeper_client.gait.analysis import Parameter, Reason


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
ONCE = "no gait cycle is repeated"
FEWEST_FOR_VARIABILITY = 10
"""Strides needed for a coefficient of variation that means something (see ``docs/analysis-schema.md``)."""

TABLE: dict[str, Refusal] = {
    row.code: row
    for row in (
        Refusal(
            "no-person",
            "nobody is seen for at least half a second",
            "Nobody can be seen in the recording for at least {seconds:.1f} s.",
            "Record one person, the whole body seen throughout; a video from the side, in good light.",
        ),
        Refusal(
            "not-walking",
            "the person neither travels with alternating legs nor walks on the spot",
            "No walk can be seen: {detail}.",
            "Record straight walking at the person's own pace, both legs in sight.",
        ),
        Refusal(
            "walks-backwards",
            "the feet point against the way travelled, by more than 90 degrees, in every straight walk",
            "The feet point against the way travelled: the person walks backwards, or the recording runs backwards.",
            "Record forward walking with a camera that stands still; check that the video is not played in reverse, "
            "and that heel and toe are not exchanged.",
        ),
        Refusal(
            "beyond-human",
            "the angle is larger than a human joint allows",
            "{what} would be {value:.0f} degrees, and no person exceeds {limit:.0f}: the points are not those of a "
            "person who walks forwards.",
            "Check the names and the axes of the points, and that the recording does not run backwards.",
        ),
        Refusal(
            "too-few-cycles",
            f"fewer than {FEWEST_CYCLES} complete gait cycles",
            "Only {cycles} complete gait cycle(s) can be seen and {needed} are needed: {detail}.",
            "Record a longer walkway, or several passes, both legs in sight throughout.",
        ),
        Refusal(
            "frame-rate-too-low",
            f"fewer than {LOWEST_RATE_HZ:g} samples per second",
            "The recording has {rate:.1f} samples per second and at least {needed:g} are needed to time a step.",
            "Record with 30 samples per second or more.",
        ),
        Refusal(
            "view-unfit",
            "the parameter cannot be measured from this side",
            "{what} cannot be measured from this view ({view}).",
            "Place the camera at the side of the walkway, square to it, at hip height. With a file of keypoints, give "
            "the picture's size (--size): then a view up to 40 degrees off the side can be set square.",
        ),
        Refusal(
            "space-needed",
            "the parameter needs positions in three dimensions",
            "{what} needs positions in three dimensions: a camera at the side does not see across the line of travel.",
            "Record laboratory markers, or use several calibrated cameras.",
        ),
        Refusal(
            "points-missing",
            "the points that the parameter is made of are not seen in any whole stride",
            "{what} needs {points}, and they are not seen over one whole stride.",
            "Keep the whole body in the picture, or place the markers that are missing.",
        ),
        Refusal(
            "mean-not-positive",
            "the parameter divides by a mean that is zero or negative",
            "{what} cannot be told: it divides by a mean that is zero or negative, as where a foot is only brought up.",
            "Look at the values that it is made of.",
        ),
        Refusal(
            "too-noisy",
            "the keypoints' noise is as large as what is to be measured",
            "{what} would tell of the keypoints' noise: {detail}.",
            "Record with 60 samples per second or more, a video from nearer and in better light; or record markers.",
        ),
        Refusal(
            "recording-too-short",
            "the recording is shorter than the parameter needs, or has no stretch without gaps of that length",
            "{what} needs {needed:g} s in which both legs are seen without a gap.",
            "Record longer.",
        ),
        Refusal(
            "speed-unknown",
            "norms are matched by speed, and the walk's speed is not known",
            "{what} compares with walkers of the same speed, and this walk's speed is not known.",
            "Record walking over ground from the side, or give the treadmill's speed (--speed).",
        ),
        Refusal(
            "scale-unknown",
            "lengths in pixels have no scale",
            "Lengths are in pixels and nothing tells how large a pixel is.",
            "Give the patient's height (--height, in metres).",
        ),
        Refusal(
            "feet-missing",
            "heel or tip of a foot is never seen",
            "The recording has no points of the feet, and without them no moment of contact can be found.",
            "Use a skeleton with feet (BODY_25, Halpe-26, BlazePose), or markers on heel and toe.",
        ),
        Refusal(
            "positions-needed",
            "the parameter needs positions of the body, and the recording holds forces or times alone",
            "It needs positions of the body, and the recording holds the forces or the times of contact alone.",
            "Record markers or a video too.",
        ),
        Refusal(
            "moving-camera",
            "the camera moves during a walk by more than 2 % of the picture's width, or zooms by more than 3 %",
            "{what} cannot be told: the camera moved during the walk, and the way travelled is seen only against it.",
            "Record with a camera on a stand that is not turned and does not zoom.",
        ),
        Refusal(
            "constant-place",
            "the person walks on the spot (treadmill, or a camera that moves along)",
            "The person stays in one place, as on a treadmill: the way travelled cannot be seen.",
            "Record walking over ground with a camera that stands still.",
        ),
        Refusal(
            "belt-contradiction",
            "the treadmill's speed differs from the steps' lengths over their time by more than 15 %",
            "The treadmill's speed was given as {given:.2f} m/s, and the feet move at {measured:.2f} m/s on it.",
            "Give the speed (--speed) in metres per second: is it in km/h? Check the height (--height) too.",
        ),
        Refusal(
            "too-few-strides",
            "fewer strides than the parameter needs",
            "{n} {of} can be seen; needed: {needed}.",
            "Record a longer walkway, or several passes.",
        ),
    )
}


def reason(code: str, **values: Any) -> Reason:
    """A row of the table filled in. An unknown code or a missing value is a programming error (KeyError)."""
    row = TABLE[code]
    return Reason(code, f"{row.message.format(**values)} {row.remedy}")


def refused(unit: str, code: str, count: int = 0, **values: Any) -> Parameter:
    """A parameter that is withheld."""
    return Parameter(unit=unit, n=count, refused=reason(code, **values))
