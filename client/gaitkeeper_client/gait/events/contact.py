"""Events where a foot comes to rest on the ground and where it leaves its place again, told by several signs.

The coordinate method (:mod:`zeni`) says which events there are and about when; the time of each is the mean of what all
its signs (:mod:`signs`) say. A foot that bears weight does not move: heel and ankle are braked at a strike, and the tip
of the foot begins to move at an off. Shortly after that, foot and shank are tilted forward the farthest, whether
somebody walks fast or slowly; heel and ankle leave their places before it, and the earlier the slower the walk is.

What a sign is late by is taken off: the middle between simulated walkers seen through the pose network, and people on
force plates whose markers were projected into a picture (the big toe's marker as the tip of the foot). They differ by
up to 10 ms for a strike and 30 for an off: a foot is braked before it bears 20 N and moves while it still does, which
no simulated one does.

Where a recording shows no feet, the signs of ankle and shank are left. Strikes are told by them as well, offs less.

Needs a foot that is at rest in the picture: over ground and with a camera that stands still. Of somebody who walks in
one place the feet rest on a belt: its speed, that of the foot which goes back the faster, is added first. Where a sign
fails, the others stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.events.order import enforce_order
from gaitkeeper_client.gait.events.signs import (
    Sign,
    farthest_ahead,
    farthest_behind,
    faster_than,
    slower_than,
    tilted_most,
)
from gaitkeeper_client.gait.events.zeni import ANKLES, HEEL_AND_TOE, Ends, Zeni, events_at_the_ends
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint, midpoint
from gaitkeeper_shared.recording import EventType, GaitEvent
from gaitkeeper_shared.skeleton import SIDES

SEARCH_S = 0.16
"""How far what a sign says may be from what the coordinate method says."""
OWN = 2.0
"""Weight of what is seen of that end of the foot which comes down first, or leaves last."""
OF_HEEL = Sign(farthest_ahead("heel"), -0.039, OWN), Sign(slower_than("heel", 0.5), -0.01, OWN)
OF_TIP = Sign(farthest_behind("toe"), 0.019, OWN), Sign(faster_than("toe", 0.7), 0.005, OWN)
BRAKED_ANKLE = Sign(farthest_ahead("ankle"), -0.039), Sign(slower_than("ankle", 0.7), -0.018)
LEAVING_ANKLE = Sign(farthest_behind("ankle"), -0.023), Sign(faster_than("ankle", 1.3), 0.008)
TILTED_SHANK = Sign(tilted_most("knee", "ankle"), 0.073)
TILTED_FOOT = Sign(tilted_most("heel", "toe"), 0.05)
Signs = Mapping[EventType, Sequence[Sign]]
"""Of each kind of event. The first is the coordinate method's own, the second a foot that is seen to stop or to go."""
Said = Mapping[tuple[str, EventType], Sequence[FloatArray]]
"""By side and kind of event: what each sign says, (N,) times."""
OF_FEET: Signs = {
    "foot_strike": (*OF_HEEL, *BRAKED_ANKLE),
    "foot_off": (*OF_TIP, LEAVING_ANKLE[0], TILTED_SHANK, TILTED_FOOT),
}
OF_ANKLES: Signs = {"foot_strike": BRAKED_ANKLE, "foot_off": (*LEAVING_ANKLE, TILTED_SHANK)}
EDGE_S = 0.03
"""Smoothing has no neighbours at a walk's ends; an event this near to them is as likely an artefact."""
ALONE = 0.7
"""What the confidence of an event is worth that the coordinate method alone saw."""


@dataclass(frozen=True, slots=True)
class Contact:
    """``ends``: what of a foot the coordinate method looks at; the first of ``signs`` are its own."""

    name: str = "contact-3"
    ends: Ends = HEEL_AND_TOE

    @classmethod
    def of_ankles(cls) -> Contact:
        """For recordings that show no feet."""
        return cls("contact-of-ankles-1", ANKLES)

    @property
    def signs(self) -> Signs:
        """Those of the points that are looked at."""
        return OF_ANKLES if self.ends == ANKLES else OF_FEET

    def detect(self, bout: Bout) -> tuple[GaitEvent, ...]:
        """Events of one straight walk."""
        if bout.constant_place:
            bout = _over_ground(bout)
        said = self._said(bout)
        sure_of = Zeni(ends=self.ends).detect(bout)
        found = []
        for event in (*sure_of, *self._confirmed(events_at_the_ends(bout, self.ends), sure_of, said)):
            times, weights = _times(event, self.signs[event.type], said[event.side, event.type])
            time_s = float(np.average(times, weights=weights))
            sure = 1.0 - min(0.5, 2.0 * float(np.std(times)) / SEARCH_S) if len(times) > 1 else ALONE
            if bout.time_s[0] + EDGE_S <= time_s <= bout.time_s[-1] - EDGE_S:
                found.append(replace(event, time_s=time_s, confidence=event.confidence * sure))
        return enforce_order(found)

    def _said(self, bout: Bout) -> Said:
        speed = _walking_speed(bout)
        return {
            (side, kind): [sign.times(bout, side, speed) for sign in signs]
            for side in SIDES
            for kind, signs in self.signs.items()
        }

    def _confirmed(self, ends: Sequence[GaitEvent], known: Sequence[GaitEvent], said: Said) -> list[GaitEvent]:
        """Events at the walk's ends at which a foot is seen to come to rest or to leave its place, and are new."""
        return [
            event
            for event in ends
            if _nearest(said[event.side, event.type][1], _corrected(event, self.signs[event.type])) is not None
            and all(abs(other.time_s - event.time_s) > SEARCH_S for other in known if _same_kind(other, event))
        ]


def _corrected(event: GaitEvent, signs: Sequence[Sign]) -> float:
    return event.time_s - signs[0].late_s


def _times(event: GaitEvent, signs: Sequence[Sign], said: Sequence[FloatArray]) -> tuple[list[float], list[float]]:
    """Times and weights of what the coordinate method says, and of every other sign that has a moment near it."""
    first = _corrected(event, signs)
    near = [first, *(_nearest(times, first) for times in said[1:])]
    pairs = [(time_s, sign.weight) for time_s, sign in zip(near, signs, strict=True) if time_s is not None]
    return [time_s for time_s, _ in pairs], [weight for _, weight in pairs]


def _nearest(times: FloatArray, time_s: float) -> float | None:
    if not times.size:
        return None
    nearest = float(times[np.argmin(np.abs(times - time_s))])
    return nearest if abs(nearest - time_s) <= SEARCH_S else None


def _same_kind(one: GaitEvent, other: GaitEvent) -> bool:
    return (one.side, one.type) == (other.side, other.type)


def _over_ground(bout: Bout) -> Bout:
    """The walk as it would be over ground: moved forward as fast as the belt carries the standing foot back."""
    forward = [np.gradient(joint(bout.points, f"{side}_ankle")[:, 0], bout.time_s) for side in SIDES]
    belt = -float(np.nanmedian(np.minimum(*forward)))
    points = bout.points.copy()
    points[..., 0] += belt * (bout.time_s - bout.time_s[0])[:, None]
    return replace(bout, points=points)


def _walking_speed(bout: Bout) -> float:
    pelvis = midpoint(bout.points, "hip")[:, 0]
    return float(np.polyfit(bout.time_s, pelvis, 1)[0])
