"""One straight walk with what was found in it, and how its parameters read positions from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from gaitkeeper_client.gait.analysis import CURVE_POINTS, Cycle
from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.clean import cutoff_hz
from gaitkeeper_client.gait.view import View
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint, midpoint
from gaitkeeper_shared.recording import GaitEvent, Side

AT_REST = 0.2
"""A heel that moves farther than this while it should rest, in leg lengths, was lost by the network."""
FLAT_S = (0.1, 0.3)
"""Seconds after a strike in which the heel rests on the ground, from a fast walk to a slow one."""
IMAGE_NOISE = 0.006
"""In leg lengths, 5 mm. With less, harmonic ratios (1.4 where the truth is 6.5) and freezing indices (28 where it is
0.8) of rendered walkers, seen through a pose network, would pass for measurements."""
_SAMPLE_TO_SD = 1.0 / math.sqrt(12.0)
_MAD_TO_SD = 1.4826


@dataclass(frozen=True, slots=True)
class Shared:
    """Errors that all strides of a recording share: standard deviations between walkers and feet.

    ``strike_s``, ``off_s``: of a method's mean error, in seconds. ``scale``: of lengths, as a share of them.
    ``range_deg``: of a joint's range of motion, in degrees; ``far_range_deg``: of the leg behind.
    """

    strike_s: float
    off_s: float
    scale: float
    range_deg: float
    far_range_deg: float


IN_SPACE = Shared(0.008, 0.012, 0.0, 1.0, 1.0)
"""Markers against force plates: mean errors of 4 and 7 ms over ground, 13 and 9 ms on a slow treadmill. No plates saw
patients; offs of synthetic ones are late by 10 (healthy) to 15 to 30 ms. A range of motion loses what smoothing takes
off."""
IN_IMAGES = Shared(0.012, 0.012, 0.025, 2.0, 4.0)
"""Noisy image points of synthetic walkers: mean errors of events differ by 11 and 7 ms around biases of up to 10;
lengths of rendered walkers that are scaled by the height are 1 to 3 % off. With these of ranges, the intervals of 98
rendered walkers held all but one of their 196 knees' ranges; with 1.5 and 2.5 degrees 98 %, with none 90 %. The leg
behind is given more, because estimators that jitter where a joint is hidden see it bend 7 degrees more than it does."""
IN_TURNS = replace(IN_IMAGES, range_deg=1.5, far_range_deg=3.0)
"""Of a network that sees every other picture in a mirror. With these, the intervals of 80 rendered walkers at 25 to 60
frames a second held 157 of their 160 knees' ranges, and are a tenth (near) and a sixth (far) narrower than with those
above, which held all."""
OF_ANKLES_S = 0.02
"""Of a foot off that is told from an ankle: mean errors of rendered walkers and of people on force plates differ by 15
ms around biases of 5 ms to either side."""
TURN_DEG = 45.0
"""By how much a knee's range of 60 degrees changes as a picture is stretched along the way to twice its width, at the
small changes that count here: 13 % narrower, 65 degrees look like 59."""
OF_FORCES = Shared(0.0, 0.0, 0.0, 0.0, 0.0)
"""Contacts are measured."""
OF_RAW_FORCES = Shared(0.015, 0.015, 0.0, 0.0, 0.0)
"""Without newtons a contact is a share of the foot's usual load, and how early that is reached differs by feet, shoes
and sensors. The 15 ms are a judgement, not a measurement: no series has both raw values and newtons."""


@dataclass(frozen=True, slots=True)
class Walk:
    """One straight walk with what was found in it; ``metres``: per unit of its points, None where not known.

    ``space``: (T, J, 3) metres forward, to the walker's left, and up; None for image points. ``residual``: median
    distance between measured and smoothed coordinates, in the points' unit: what the keypoints' noise shows of itself.
    ``raw_forces``: whether its contacts come of forces that are not calibrated.
    ``takes_turns``: whether that is mostly the difference of two readings, which change at every sample.
    ``belt``: how fast the belt moves back, in the points' unit a second; 0 over ground, and where heels are seen.
    ``left_out``: (foot, start, end) of strides that are turns or missteps; a step in one of them is no step.
    """

    bout: Bout
    events: tuple[GaitEvent, ...]
    cycles: tuple[Cycle, ...]
    view: View
    metres: float | None
    space: FloatArray | None = None
    residual: float = math.nan
    left_out: tuple[tuple[Side, float, float], ...] = ()
    raw_forces: bool = False
    takes_turns: bool = False
    belt: float = 0.0

    @property
    def has_points(self) -> bool:
        """Whether positions are known: a series of forces or of times has none."""
        return bool(np.isfinite(self.bout.points).any())

    @property
    def noise(self) -> float:
        """Standard deviation of the measured coordinates' noise, taken as white; NaN where it cannot be told.

        Smoothing leaves of white noise only what lies above its cut-off in the residual. A network smooths before we
        see its points, so that those of an image are never taken as better than :data:`IMAGE_NOISE`. Of two readings
        that take turns, half their difference is in the residual, and half their sum's error stays: one is spread as
        the other where their errors have nothing to do with each other.
        """
        least = math.nan if self.space is not None else IMAGE_NOISE * self.bout.leg
        kept = 2.0 * cutoff_hz(self.bout.rate_hz) / self.bout.rate_hz
        if not math.isfinite(self.residual):
            return least
        seen = kept if self.takes_turns else 1.0 - kept
        return float(np.fmax(_MAD_TO_SD * self.residual / math.sqrt(seen), least))

    @property
    def smooth_noise(self) -> float:
        """Standard deviation of the noise that is still in the smoothed coordinates, in the points' unit; 0 unknown."""
        return self.kept_noise(self.noise) if math.isfinite(self.noise) else 0.0

    def kept_noise(self, noise: float) -> float:
        """What smoothing leaves of white noise of a standard deviation."""
        return noise * math.sqrt(min(1.0, 2.0 * cutoff_hz(self.bout.rate_hz) / self.bout.rate_hz))

    @property
    def event_sd_s(self) -> float:
        """The least that the time of an event is uncertain by: a sample's length, evenly spread.

        0 where no positions are known: then nothing tells how events were found.
        """
        return _SAMPLE_TO_SD / self.bout.rate_hz if self.has_points else 0.0

    @property
    def shared(self) -> Shared:
        """What an interval over strides cannot see."""
        if not self.has_points:
            return OF_RAW_FORCES if self.raw_forces else OF_FORCES
        if self.space is not None:
            return IN_SPACE if self.bout.feet else replace(IN_SPACE, off_s=OF_ANKLES_S)
        own = IN_TURNS if self.takes_turns else IN_IMAGES
        if not self.bout.feet:
            own = replace(own, off_s=OF_ANKLES_S)
        seen = self.view.perspective
        if seen is None:
            return own
        turned = TURN_DEG * seen.length_sd
        return replace(
            own,
            scale=math.hypot(own.scale, seen.length_sd),
            range_deg=math.hypot(own.range_deg, turned),
            far_range_deg=math.hypot(own.far_range_deg, turned),
        )

    @property
    def far_side(self) -> Side | None:
        """The side away from the camera; None for points in space.

        Who walks to the right shows the right side.
        """
        if self.space is not None or not isinstance(self.bout.heading, int | float) or not self.has_points:
            return None
        return "left" if self.bout.heading > 0 else "right"


@dataclass(frozen=True, slots=True)
class Step:
    """From a foot strike to the next of the other foot; it is the ``end`` foot's step."""

    walk: Walk
    start: GaitEvent
    end: GaitEvent

    @property
    def seconds(self) -> float:
        """Step time."""
        return self.end.time_s - self.start.time_s


def in_space(positions: FloatArray, heading: float | tuple[float, float]) -> FloatArray | None:
    """(T, J, 3) metres forward, to the walker's left, and up; None for points of an image."""
    if positions.shape[2] != 3 or not isinstance(heading, tuple):
        return None
    forward = np.array(heading) / math.hypot(*heading)
    to_left = np.array([-forward[1], forward[0]])
    along, across = positions[..., :2] @ forward, positions[..., :2] @ to_left
    turned: FloatArray = np.stack([along, across, positions[..., 2]], axis=-1)
    return turned


def steps_of(walk: Walk) -> list[Step]:
    """Steps in order; those of another length than walking has follow a missed strike and are left out.

    So are steps of strides that are left out: a step lies in the stride that its first strike starts, and in the one
    that its last strike ends.
    """
    strikes = [event for event in walk.events if event.type == "foot_strike"]
    starts = {(side, start) for side, start, _ in walk.left_out}
    ends = {(side, end) for side, _, end in walk.left_out}
    pairs = [
        Step(walk, a, b)
        for a, b in pairwise(strikes)
        if a.side != b.side and (a.side, a.time_s) not in starts and (b.side, b.time_s) not in ends
    ]
    if not pairs:
        return []
    typical = float(np.median([step.seconds for step in pairs]))
    return [step for step in pairs if 0.4 * typical <= step.seconds <= 1.8 * typical]


def metres_of(walk: Walk) -> float:
    """Metres per unit; NaN where not known."""
    return math.nan if walk.metres is None else walk.metres


def pelvis_at(walk: Walk, time_s: float) -> float:
    """Forward position of the mid-hip, in the points' unit, between samples."""
    return float(np.interp(time_s, walk.bout.time_s, midpoint(walk.bout.points, "hip")[:, 0]))


def foot_at(walk: Walk, side: str, time_s: float) -> float:
    """Forward position of a foot (:meth:`~gaitkeeper_client.gait.bouts.Bout.foot`), likewise."""
    return float(np.interp(time_s, walk.bout.time_s, joint(walk.bout.points, walk.bout.foot(side))[:, 0]))


def flat(walk: Walk, strike_s: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(T,) the samples in which a foot that struck at ``strike_s`` lies flat; none where the walk ends before."""
    low, high = FLAT_S
    inside = (walk.bout.time_s >= strike_s + low) & (walk.bout.time_s <= strike_s + high)
    return inside if strike_s + high <= walk.bout.time_s[-1] else np.zeros_like(inside)


def placed(walk: Walk, side: str, strike_s: float) -> float:
    """Where a foot stands after a strike: the median forward position of its heel, or its ankle, while it is flat.

    In the points' unit. Steadier than at the instant of the strike, in which it still moves. On a treadmill the foot
    moves on at once, and its heel at that instant is taken; an ankle's place is the one on the belt, since at that
    instant one foot is tilted up and the other rolls off, and their ankles are 7 % too near. NaN where the foot was not
    seen at rest.
    """
    if walk.bout.constant_place and walk.bout.feet:
        return foot_at(walk, side, strike_s)
    foot = joint(walk.bout.points, walk.bout.foot(side))[:, 0] + walk.belt * walk.bout.time_s
    inside = flat(walk, strike_s)
    if not inside.any() or not float(np.ptp(foot[inside])) <= AT_REST * walk.bout.leg:
        return math.nan
    return float(np.median(foot[inside]))


def belt_speed(bout: Bout, cycles: Sequence[Cycle]) -> float:
    """How fast feet that lie flat are carried back, in the points' unit a second; 0 where no foot was seen to."""
    back = []
    for cycle in cycles:
        stance_s = 0.0 if cycle.foot_off_s is None else cycle.foot_off_s - cycle.start_s
        # The heel rises in the second half of a stance.
        low, high = FLAT_S[0], max(FLAT_S[1], 0.5 * stance_s)
        inside = (bout.time_s >= cycle.start_s + low) & (bout.time_s <= cycle.start_s + high)
        if np.count_nonzero(inside) > 1:
            foot = joint(bout.points, bout.foot(cycle.side))[inside, 0]
            back.append(-float(np.polyfit(bout.time_s[inside], foot, 1)[0]))
    return float(np.median(back)) if back else 0.0


def over_cycle(walk: Walk, cycle: Cycle, values: FloatArray) -> FloatArray:
    """(101,) of a (T,) series of the walk over 0..100 % of a cycle; NaN where a gap was not filled."""
    at = np.linspace(cycle.start_s, cycle.end_s, CURVE_POINTS)
    curve: FloatArray = np.interp(at, walk.bout.time_s, values)
    return curve
