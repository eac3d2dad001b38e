"""Events where a foot comes to rest on the ground and where it leaves its place again.

A foot that bears weight does not move. The coordinate method (:mod:`zeni`) says about when each event is; near it, the
moment is taken at which the heel's forward speed has fallen below a share of the walking speed (foot strike), or the
toe's has risen above one (foot off), between samples. The idea is that of O'Connor et al. 2007,
doi:10.1016/j.gaitpost.2006.05.016, with the threshold tied to the walker's own speed. What is left of the smoothing's
and the threshold's delay is a constant and taken off: the middle between that of simulated walkers seen through the
pose network, and that of people on force plates whose markers were projected into a picture. By it strikes of the
simulated come 3 ms late and offs 9, and of the people (the big toe's marker as the tip of the foot) both 5 to 6 ms
early: a heel is braked before it bears 20 N, and a tip of the foot that has begun to move still does, which no
simulated one does.

Needs a foot that is at rest in the picture: over ground and with a camera that stands still. Of somebody who walks in
one place the feet rest on a belt: its speed, that of the foot which goes back the faster, is added first. Where neither
helps, the coordinate method's time stands, corrected by a constant of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.events.base import crossings
from gaitkeeper_client.gait.events.order import enforce_order
from gaitkeeper_client.gait.events.zeni import Zeni, events_at_the_ends
from gaitkeeper_shared.kinematics import joint, midpoint
from gaitkeeper_shared.recording import GaitEvent
from gaitkeeper_shared.skeleton import SIDES

SEARCH_S = 0.16
"""How far the moment of contact may be from the coordinate method's."""
STRIKE_SHARE, OFF_SHARE = 0.5, 0.7
"""Of the walking speed; see the module."""
STRIKE_DELAY_S, OFF_DELAY_S = -0.009, 0.006
"""Constant errors of this method, taken off."""
ZENI_STRIKE_S, ZENI_OFF_S = -0.037, 0.019
"""Constant errors of the coordinate method on the same walkers and people (early, late), likewise taken off."""
EDGE_S = 0.03
"""Smoothing has no neighbours at a walk's ends; an event this near to them is as likely an artefact."""
WEIGHT = 0.5
"""Of this method against the coordinate method, whose errors are of another kind."""


@dataclass(frozen=True, slots=True)
class Contact:
    """The coordinate method, sharpened by the moments of contact."""

    name: str = "contact-2"

    def detect(self, bout: Bout) -> tuple[GaitEvent, ...]:
        """Events of one straight walk."""
        if bout.constant_place:
            bout = _over_ground(bout)
        speed = _walking_speed(bout)
        found = []
        sure_of = Zeni().detect(bout)
        for event in (*sure_of, *_confirmed(bout, events_at_the_ends(bout), sure_of, speed)):
            late = ZENI_STRIKE_S if event.type == "foot_strike" else ZENI_OFF_S
            time_s, sure = event.time_s - late, 0.7
            contact = _contact(bout, event, speed)
            if contact is not None:
                delay = STRIKE_DELAY_S if event.type == "foot_strike" else OFF_DELAY_S
                sure = 1.0 - min(0.5, abs(contact - delay - time_s) / SEARCH_S)
                time_s = WEIGHT * (contact - delay) + (1.0 - WEIGHT) * time_s
            if bout.time_s[0] + EDGE_S <= time_s <= bout.time_s[-1] - EDGE_S:
                found.append(replace(event, time_s=time_s, confidence=event.confidence * sure))
        return enforce_order(found)


def _confirmed(bout: Bout, ends: Sequence[GaitEvent], known: Sequence[GaitEvent], speed: float) -> list[GaitEvent]:
    """Events at the walk's ends at which a foot is seen to come to rest or to leave its place, and which are new."""
    return [
        event
        for event in ends
        if _contact(bout, event, speed) is not None
        and all(abs(other.time_s - event.time_s) > SEARCH_S for other in known if _same_kind(other, event))
    ]


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


def _contact(bout: Bout, event: GaitEvent, speed: float) -> float | None:
    strike = event.type == "foot_strike"
    track = joint(bout.points, f"{event.side}_{'heel' if strike else 'toe'}")[:, 0]
    forward = np.gradient(track, bout.time_s)
    level = (STRIKE_SHARE if strike else OFF_SHARE) * speed
    times = crossings(bout.time_s, forward - level, falling=strike)
    near = [t for t in times if abs(t - event.time_s) <= SEARCH_S]
    return min(near, key=lambda t: abs(t - event.time_s)) if near else None
