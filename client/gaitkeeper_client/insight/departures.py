"""Where a walk leaves the norm, in sentences that say no more than the numbers they are made from."""

from __future__ import annotations

from dataclasses import dataclass

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.insight.cycle_figures import dimensionless_speed, side_curves
from gaitkeeper_client.insight.deviations import FEWEST_CYCLES, Deviation, deviations
from gaitkeeper_client.insight.norms import norm_curve, speed_band
from gaitkeeper_client.insight.parameter_view import is_of_the_limb_behind
from gaitkeeper_client.insight.wording import ANGLES, CHANNELS, side_name
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.skeleton import SIDES

MOST = 8
OFFSET_SHARE = 0.5
_OF_A_SIDE = 2


@dataclass(frozen=True, slots=True)
class Departure:
    """One departure from the norm; ``phase``: ``stance``, ``swing``, or empty where the foot off is not known.
    ``hidden``: the side is the one behind, away from the camera."""

    deviation: Deviation
    phase: str
    hidden: bool = False

    @property
    def name(self) -> str:
        """A name that lasts: the same angle, side and stretch give the same one."""
        item = self.deviation
        return f"{item.angle}-{item.side}-{item.from_percent}"

    @property
    def mostly_offset(self) -> bool:
        """Whether half of it or more is the same all over the cycle, as misplaced points are too."""
        return self.deviation.offset / self.deviation.degrees >= OFFSET_SHARE

    @property
    def told(self) -> str:
        """The sentence, and what else has to be known before it is believed."""
        told = [self.sentence]
        if self.mostly_offset:
            told.append(say("departure.offset", degrees=abs(self.deviation.offset)))
        if self.hidden:
            told.append(say("departure.hidden"))
        return " ".join(told)

    @property
    def sentence(self) -> str:
        """In words; what a clinician signs, so that it lasts."""
        item = self.deviation
        phase = say("departure.phase", phase=say(f"phases.{self.phase}")) if self.phase else ""
        where = say("norms.below" if item.degrees < 0 else "norms.above")
        return say(
            "departure.sentence",
            angle=CHANNELS.get(item.angle, item.angle).capitalize(),
            side=side_name(item.side),
            phase=phase,
            degrees=abs(item.degrees),
            where=where,
            at_percent=item.at_percent,
            spreads=abs(item.spreads),
            from_percent=item.from_percent,
            to_percent=item.to_percent,
        )


def departures(analysis: Analysis) -> tuple[Departure, ...]:
    """The largest departures of a walk's joints and sides from the norm of its speed, at most :data:`MOST`."""
    band = speed_band(dimensionless_speed(analysis))
    found = []
    for angle in ANGLES:
        if (norm := norm_curve(angle, band)) is None:
            continue
        for side, curve in side_curves(analysis.cycles, angle).items():
            largest = deviations(angle, side, curve, norm)[:_OF_A_SIDE]
            hidden = _hidden(analysis, side)
            found += [Departure(item, _phase(item, curve.foot_off), hidden) for item in largest]
    found.sort(key=lambda one: -abs(one.deviation.spreads))
    return tuple(found[:MOST])


def judged(analysis: Analysis) -> bool:
    """Whether any side's curves can be held against the norm."""
    return any(cycles >= FEWEST_CYCLES for cycles in _cycles(analysis).values())


def told_unjudged(analysis: Analysis) -> tuple[str, ...]:
    """What was not held against the norm, in a sentence; nothing where all was, or where there are no joint curves."""
    every = _cycles(analysis)
    left_out = [side for side, cycles in every.items() if cycles < FEWEST_CYCLES]
    if not left_out or not any(every.values()):
        return ()
    if len(left_out) == len(every):
        return (say("departure.unjudged"),)
    return (say("departure.side_unjudged", side=side_name(left_out[0])),)


def _cycles(analysis: Analysis) -> dict[str, int]:
    """Of each side, the most cycles that one of its angles is known over."""
    curves = [side_curves(analysis.cycles, angle) for angle in ANGLES]
    return {side: max((one[side].n for one in curves if side in one), default=0) for side in SIDES}


def _hidden(analysis: Analysis, side: str) -> bool:
    """Whether what was measured of a leg carries the caution that it is the one behind."""
    found = (analysis.parameters.get(f"{joint}_range_{side}") for joint in ("hip", "knee", "ankle"))
    return any(is_of_the_limb_behind(one) for one in found if one is not None)


def _phase(item: Deviation, foot_off: float | None) -> str:
    if foot_off is None:
        return ""
    return "swing" if item.at_percent > foot_off else "stance"
