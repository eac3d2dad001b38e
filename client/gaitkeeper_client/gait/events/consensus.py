"""Events of laboratory markers by methods whose errors differ in kind: IntellEvent, held by the motion of the foot.

The network's times are the better ones of a walk like those that it learned from. Of others (slow, shuffling, dragging
a leg) it is tens of milliseconds off, or sees nothing, where the foot's own motion errs by a constant, which is known:
for a strike, when the heel is braked (:mod:`braking`); for an off, when the toe is farthest behind (:mod:`zeni`). So
their mean is taken, and the less of the network the farther it is from the other: it never moves an event by more than
:data:`WEIGHT` times :data:`AGREE_S`. What one of them finds alone is kept with less confidence, as far as it fits into
the order of a walk.

The constants are medians over force plates: 22 strikes and 32 offs of ten people over ground. Taking off the walk's own
speed, so that the same people walk on a treadmill, leaves all errors as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.events.braking import braked
from gaitkeeper_client.gait.events.intellevent import MARKERS, network_events
from gaitkeeper_client.gait.events.local import RATE_HZ, local_walk, straight
from gaitkeeper_client.gait.events.order import enforce_order
from gaitkeeper_client.gait.events.stretches import Stretch, walking_stretches
from gaitkeeper_client.gait.events.zeni import Zeni
from gaitkeeper_shared.recording import EventType, GaitEvent, JointTrajectories
from gaitkeeper_shared.skeleton import JOINTS

COORDINATES_LATE_S: dict[EventType, float] = {"foot_strike": -0.045, "foot_off": 0.008}
"""The coordinate method's constant errors against force plates (late is positive), taken off."""
WEIGHT = 0.6
"""Of the network where both agree."""
AGREE_S: dict[EventType, float] = {"foot_strike": 0.012, "foot_off": 0.02}
"""Farther apart, the network counts as if it were so far; for strikes one and a half times the spread, over ground, of
its distance from the other method."""
SAME_S = 0.15
"""Two methods mean the same event if they are no farther apart: half of the shortest step."""
ALONE = 0.5
"""What the confidence of an event is worth that only one method found."""


@dataclass(frozen=True, slots=True)
class Consensus:
    """``tracks``: cleaned 3-D tracks, of which the bouts are parts."""

    tracks: JointTrajectories
    name: str = "intellevent-gaitkit-1.5+braking-2+zeni-2008"

    def detect(self, bout: Bout) -> tuple[GaitEvent, ...]:
        """Events of one straight walk. Raises ``events-network-missing``."""
        return self._events(Stretch(bout.start, bout.stop, straight(bout), (bout,)))

    def detect_all(self, bouts: Sequence[Bout]) -> tuple[GaitEvent, ...]:
        """Events of the straight walks and of the turns and steps between and beside them, in order of time."""
        found = [event for stretch in walking_stretches(self.tracks, bouts) for event in self._events(stretch)]
        return tuple(sorted(found, key=lambda event: event.time_s))

    def _events(self, stretch: Stretch) -> tuple[GaitEvent, ...]:
        where = (self.tracks, stretch.start, stretch.stop, stretch.direction)
        network = network_events(local_walk(*where, MARKERS, RATE_HZ))
        whole = local_walk(*where, JOINTS, self.tracks.sample_rate_hz)
        first = stretch.bouts[0]
        count = whole.time_s.size
        unrolled = replace(
            first,
            start=stretch.start,
            stop=stretch.start + count,
            time_s=whole.time_s,
            points=whole.relative[..., [0, 2]],
            confidence=self.tracks.confidence[stretch.start : stretch.start + count],
        )
        rough = Zeni().detect(unrolled)
        late = [replace(event, time_s=event.time_s - COORDINATES_LATE_S[event.type]) for event in rough]
        # Speeds of few samples a second, from one to the next, would come too late.
        fine = local_walk(*where, JOINTS, max(RATE_HZ, self.tracks.sample_rate_hz))
        coordinates = [exact or event for exact, event in zip(braked(fine, rough), late, strict=True)]
        inside = (float(whole.time_s[0]), float(whole.time_s[-1]))
        merged = _merged(network, coordinates)
        return enforce_order([event for event in merged if inside[0] <= event.time_s <= inside[1]])


def _merged(network: Sequence[GaitEvent], coordinates: Sequence[GaitEvent]) -> list[GaitEvent]:
    """One event for each pair, and what is left over of both."""
    left = list(coordinates)
    merged = []
    for event in sorted(network, key=lambda one: -one.confidence):
        same = [one for one in left if (one.side, one.type) == (event.side, event.type)]
        nearest = min(same, key=lambda one: abs(one.time_s - event.time_s), default=None)
        if nearest is None or abs(nearest.time_s - event.time_s) > SAME_S:
            merged.append(replace(event, confidence=ALONE * event.confidence))
            continue
        left.remove(nearest)
        apart = event.time_s - nearest.time_s
        pull = WEIGHT * float(np.clip(apart, -AGREE_S[event.type], AGREE_S[event.type]))
        sure = max(event.confidence, nearest.confidence) * (1.0 - 0.5 * min(1.0, abs(apart) / SAME_S))
        merged.append(replace(event, time_s=nearest.time_s + pull, confidence=sure))
    return merged + [replace(one, confidence=ALONE * one.confidence) for one in left]
