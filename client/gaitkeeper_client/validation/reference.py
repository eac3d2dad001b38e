"""What a walk is compared with: events that somebody else measured, and when these are known to be complete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import EventType, GaitEvent, Side


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start_s`` to ``end_s`` every event of this side and type is in the reference: any other one is false."""

    side: Side
    type: EventType
    start_s: float
    end_s: float

    def holds(self, event: GaitEvent) -> bool:
        """Whether the reference can judge this event."""
        return (self.side, self.type) == (event.side, event.type) and self.start_s <= event.time_s <= self.end_s


@dataclass(frozen=True, slots=True)
class Reference:
    """The other measurement. ``source``: in words. Times in seconds from the walk's first sample.

    ``angles``: by our names (``knee_flexion_left``), (A,) degrees at ``angle_time_s``; empty where there are none.
    """

    source: str
    events: tuple[GaitEvent, ...] = ()
    spans: tuple[Span, ...] = ()
    angle_time_s: FloatArray | None = None
    angles: Mapping[str, FloatArray] = field(default_factory=dict)
    labels: tuple[GaitEvent, ...] = ()
    """What the laboratory marked as events where :attr:`events` are those of force plates."""
    notes: tuple[str, ...] = ()
    """What of the file could not serve as a reference, in words."""


CLIP_EDGE_S = 0.05
"""A recording that was cut to begin with a strike does not show the foot come down: such events are left out."""
AROUND_S = 0.2
"""Before a foot's strike and after its off it is in the air for at least so long: no other event can be there."""


def spans_of_labels(events: tuple[GaitEvent, ...]) -> tuple[Span, ...]:
    """Labels are taken as complete from a side's first event of a kind to its last."""
    spans = []
    for side, kind in sorted({(event.side, event.type) for event in events}):
        times = [event.time_s for event in events if (event.side, event.type) == (side, kind)]
        spans.append(Span(side, kind, min(times) - AROUND_S, max(times) + AROUND_S))
    return tuple(spans)
