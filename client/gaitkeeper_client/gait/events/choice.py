"""Which event method suits which recording."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.events.base import EventMethod
from gaitkeeper_client.gait.events.bike import SHORTEST_S, Bike
from gaitkeeper_client.gait.events.contact import Contact
from gaitkeeper_client.gait.events.intellevent import IntellEvent
from gaitkeeper_client.gait.events.order import enforce_order
from gaitkeeper_shared.recording import GaitEvent, JointTrajectories

LOWEST_RATE_HZ = 25.0
"""Of markers: down-sampled to 30 Hz, the networks' times were as good as at the laboratory's rate."""

SAME_S = 0.15
"""Two methods mean the same foot off if they are no farther apart."""


def default_method(tracks: JointTrajectories) -> EventMethod:
    """The method for cleaned tracks: :class:`ForMarkers` for a laboratory's, the moments of contact for a picture's."""
    if tracks.dimensions == 3 and tracks.sample_rate_hz >= LOWEST_RATE_HZ:
        return ForMarkers(tracks)
    return Contact()


@dataclass(frozen=True, slots=True)
class ForMarkers:
    """Of 3-D markers: IntellEvent over ground, on the spot BIKE with its help; where they find nothing, contacts.

    On a belt BIKE's strikes are good, and its offs about as early as IntellEvent's are late: their mean is taken (one
    person at 0.5 m/s showed it: 26 ms early, 30 ms late).
    """

    tracks: JointTrajectories
    name: str = "markers-1"

    def detect(self, bout: Bout) -> tuple[GaitEvent, ...]:
        """Events of one straight walk."""
        if not bout.constant_place:
            found = IntellEvent(self.tracks).detect(bout)
        else:
            found = self._on_the_spot(bout) if bout.duration_s >= SHORTEST_S else ()
        return found or Contact().detect(bout)

    def _on_the_spot(self, bout: Bout) -> tuple[GaitEvent, ...]:
        offs = [event for event in IntellEvent(self.tracks).detect(bout) if event.type == "foot_off"]
        found = []
        for event in Bike(self.tracks).detect(bout):
            same = [off.time_s for off in offs if event.type == "foot_off" and off.side == event.side]
            near = [time_s for time_s in same if abs(time_s - event.time_s) <= SAME_S]
            found.append(replace(event, time_s=0.5 * (event.time_s + near[0])) if near else event)
        return enforce_order(found)
