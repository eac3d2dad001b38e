"""Which event method suits which recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.events.base import EventMethod
from gaitkeeper_client.gait.events.bike import Bike
from gaitkeeper_client.gait.events.consensus import Consensus
from gaitkeeper_client.gait.events.contact import Contact
from gaitkeeper_client.gait.events.intellevent import IntellEvent
from gaitkeeper_client.gait.events.zeni import Zeni
from gaitkeeper_client.gait.feet import feet_are_seen
from gaitkeeper_shared.recording import GaitEvent, JointTrajectories

LOWEST_RATE_HZ = 25.0
"""Of markers: down-sampled to 30 Hz, the networks' times were as good as at the laboratory's rate."""

METHODS: Mapping[str, Callable[[JointTrajectories], EventMethod]] = {
    "consensus": Consensus,
    "intellevent": IntellEvent,
    "bike": Bike,
    "contact": lambda _: Contact(),
    "ankles": lambda _: Contact.of_ankles(),
    "zeni": lambda _: Zeni(),
}
"""By name; the first three need markers in space."""


def default_method(tracks: JointTrajectories) -> EventMethod:
    """The method for cleaned tracks: :class:`Consensus` for a laboratory's, the moments of contact for a picture's.

    Where no feet are seen, those of the ankles.
    """
    if not feet_are_seen(tracks.positions):
        return Contact.of_ankles()
    # Rates come from time stamps, which are rounded.
    if tracks.dimensions == 3 and tracks.sample_rate_hz >= LOWEST_RATE_HZ - 0.05:
        return Consensus(tracks)
    return Contact()


def detect_all(method: EventMethod, bouts: Sequence[Bout]) -> tuple[GaitEvent, ...]:
    """Events of all straight walks, and of the turns between them where the method follows a path that turns."""
    if isinstance(method, Consensus):
        return method.detect_all(bouts)
    found = [event for bout in bouts for event in method.detect(bout)]
    return tuple(sorted(found, key=lambda event: event.time_s))
