"""Which event method suits which recording."""

from __future__ import annotations

from dataclasses import dataclass

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.events.base import EventMethod
from gaitkeeper_client.gait.events.bike import SHORTEST_S, Bike
from gaitkeeper_client.gait.events.contact import Contact
from gaitkeeper_client.gait.events.intellevent import IntellEvent
from gaitkeeper_shared.recording import GaitEvent, JointTrajectories

LOWEST_RATE_HZ = 25.0
"""Of markers: down-sampled to 30 Hz, the networks' times were as good as at the laboratory's rate."""


def default_method(tracks: JointTrajectories) -> EventMethod:
    """The method for cleaned tracks: :class:`ForMarkers` for a laboratory's, the moments of contact for a picture's."""
    if tracks.dimensions == 3 and tracks.sample_rate_hz >= LOWEST_RATE_HZ:
        return ForMarkers(tracks)
    return Contact()


@dataclass(frozen=True, slots=True)
class ForMarkers:
    """Of 3-D markers: IntellEvent over ground, BIKE on the spot; where they find less than a stride, contacts."""

    tracks: JointTrajectories
    name: str = "markers-1"

    def detect(self, bout: Bout) -> tuple[GaitEvent, ...]:
        """Events of one straight walk."""
        if not bout.constant_place:
            found = IntellEvent(self.tracks).detect(bout)
        else:
            found = Bike(self.tracks).detect(bout) if bout.duration_s >= SHORTEST_S else ()
        return found or Contact().detect(bout)
