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

Where a recording shows no feet the ankles are watched, with constants of their own (:data:`OF_ANKLES`), found in the
same way. An ankle is braked as its heel is, and strikes are found as well; it leaves its place while the foot still
rolls over its ball, and long before the off of who walks slowly. So a third sign is used for it: the shank is tilted
forward the farthest shortly after the foot has left the ground, slow or fast.

Needs a foot that is at rest in the picture: over ground and with a camera that stands still. Of somebody who walks in
one place the feet rest on a belt: its speed, that of the foot which goes back the faster, is added first. Where neither
helps, the coordinate method's time stands, corrected by a constant of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.events.base import Peak, crossings, peaks
from gaitkeeper_client.gait.events.order import SHORTEST_SWING_S, enforce_order
from gaitkeeper_client.gait.events.zeni import ANKLES, HEEL_AND_TOE, Ends, Zeni, events_at_the_ends
from gaitkeeper_shared.kinematics import joint, midpoint
from gaitkeeper_shared.recording import GaitEvent
from gaitkeeper_shared.skeleton import SIDES

SEARCH_S = 0.16
"""How far the moment of contact may be from the coordinate method's."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Which points of a foot tell its moments of contact, and how.

    ``strike_share``, ``off_share``: of the walking speed; see the module. ``strike_s``, ``off_s``: constant errors of
    this method, in seconds, late positive; ``zeni_strike_s``, ``zeni_off_s``: of the coordinate method on the same
    walkers and people; ``shank_off_s``: of the shank's farthest tilt as a foot off, None where that is not used. All
    are taken off.
    """

    ends: Ends
    strike_share: float
    off_share: float
    strike_s: float
    off_s: float
    zeni_strike_s: float
    zeni_off_s: float
    shank_off_s: float | None = None


OF_FEET = Moments(HEEL_AND_TOE, 0.5, 0.7, -0.009, 0.006, -0.037, 0.019)
OF_ANKLES = Moments(ANKLES, 0.7, 1.3, -0.018, 0.008, -0.041, -0.022, 0.072)
EDGE_S = 0.03
"""Smoothing has no neighbours at a walk's ends; an event this near to them is as likely an artefact."""
ALONE = 0.7
"""What the confidence of an event is worth that the coordinate method alone saw."""
TILT_DEG = 10.0
"""Prominence of the shank's tilt: it goes to and fro over 60 degrees, over 30 of who shuffles."""


@dataclass(frozen=True, slots=True)
class Contact:
    """The coordinate method, sharpened by the moments of contact."""

    name: str = "contact-2"
    moments: Moments = OF_FEET

    @classmethod
    def of_ankles(cls) -> Contact:
        """For recordings that show no feet."""
        return cls("contact-of-ankles-1", OF_ANKLES)

    def detect(self, bout: Bout) -> tuple[GaitEvent, ...]:
        """Events of one straight walk."""
        if bout.constant_place:
            bout = _over_ground(bout)
        speed, by = _walking_speed(bout), self.moments
        found = []
        sure_of = Zeni(ends=by.ends).detect(bout)
        for event in (*sure_of, *_confirmed(bout, events_at_the_ends(bout, by.ends), sure_of, speed, by)):
            times = self._times(bout, event, speed)
            time_s = float(np.mean(times))
            sure = 1.0 - min(0.5, float(np.ptp(times)) / SEARCH_S) if len(times) > 1 else ALONE
            if bout.time_s[0] + EDGE_S <= time_s <= bout.time_s[-1] - EDGE_S:
                found.append(replace(event, time_s=time_s, confidence=event.confidence * sure))
        return enforce_order(found)

    def _times(self, bout: Bout, event: GaitEvent, speed: float) -> list[float]:
        """What the coordinate method says, and what else does: errors of other kinds, worth the same."""
        by, strike = self.moments, event.type == "foot_strike"
        times = [event.time_s - (by.zeni_strike_s if strike else by.zeni_off_s)]
        contact = _contact(bout, event, speed, by)
        if contact is not None:
            times.append(contact - (by.strike_s if strike else by.off_s))
        if not strike and by.shank_off_s is not None:
            tilted = [peak.time_s - by.shank_off_s for peak in _farthest_tilts(bout, event.side)]
            times += [time_s for time_s in tilted if abs(time_s - times[0]) <= SEARCH_S][:1]
        return times


def _confirmed(
    bout: Bout, ends: Sequence[GaitEvent], known: Sequence[GaitEvent], speed: float, by: Moments
) -> list[GaitEvent]:
    """Events at the walk's ends at which a foot is seen to come to rest or to leave its place, and which are new."""
    return [
        event
        for event in ends
        if _contact(bout, event, speed, by) is not None
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


def _contact(bout: Bout, event: GaitEvent, speed: float, by: Moments) -> float | None:
    strike = event.type == "foot_strike"
    track = joint(bout.points, f"{event.side}_{by.ends[0 if strike else 1]}")[:, 0]
    forward = np.gradient(track, bout.time_s)
    level = (by.strike_share if strike else by.off_share) * speed
    times = crossings(bout.time_s, forward - level, falling=strike)
    near = [t for t in times if abs(t - event.time_s) <= SEARCH_S]
    return min(near, key=lambda t: abs(t - event.time_s)) if near else None


def _farthest_tilts(bout: Bout, side: str) -> list[Peak]:
    """When a shank is tilted forward the farthest, its knee ahead of its ankle."""
    shank = joint(bout.points, f"{side}_knee") - joint(bout.points, f"{side}_ankle")
    tilt = np.degrees(np.arctan2(shank[:, 0], shank[:, 1]))
    return peaks(bout.time_s, tilt, TILT_DEG, SHORTEST_SWING_S) if np.isfinite(tilt).all() else []
