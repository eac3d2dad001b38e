"""When a foot bears load, from the force under it, whatever the sensor's zero and gain.

The sensors of a shoe drift over minutes and are not calibrated: what the foot in the air and the foot under its usual
greatest load read is therefore followed along the recording, and everything is measured between these two levels.
Nothing of other recordings or of the site enters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gaitkeeper_shared.arrays import BoolArray, FloatArray
from gaitkeeper_shared.recording import GaitEvent, Side

CONTACT_N = 20.0
"""A foot stands when the force exceeds this: the usual threshold for force plates (newtons)."""
CONTACT_SHARE = 0.15
"""The same for sensors without a unit, as a share of the way from the unloaded to the loaded level."""
WINDOW_S, HOP_S = 12.0, 2.0
"""Levels are taken from windows that hold several strides of the slowest walker."""
FEWEST_OF_RANGE = 0.5
"""A window in which the force moves less than this share of its usual range holds standing, not walking."""
SHORTEST_PHASE_S = 0.1
"""A contact or a swing shorter than this is noise of the sensor."""
LONGEST_SWING_S = 3.0
"""A foot is not in the air for longer: the sensor lost its signal there."""
LONGEST_FILLED_S = 0.1


@dataclass(frozen=True, slots=True)
class Levels:
    """What the sensor reads under a foot in the air and under its usual greatest load; (T,) each."""

    unloaded: FloatArray
    loaded: FloatArray

    def share(self, force: FloatArray) -> FloatArray:
        """(T,) the force between the two levels: 0 in the air, about 1 under the greatest load of a step."""
        part: FloatArray = (force - self.unloaded) / (self.loaded - self.unloaded)
        return part


def find_levels(time_s: FloatArray, force: FloatArray) -> Levels | None:
    """The levels of one foot's (T,) force; None where it never changes as under a walking foot."""
    end = float(time_s[-1])
    centres = np.arange(0.0, max(end, HOP_S), HOP_S) + 0.5 * HOP_S
    found = []
    for centre in centres:
        low = np.searchsorted(time_s, min(centre - 0.5 * WINDOW_S, end - WINDOW_S))
        high = np.searchsorted(time_s, max(centre + 0.5 * WINDOW_S, WINDOW_S), side="right")
        part = force[low:high]
        known = part[np.isfinite(part)]
        enough = known.size >= 0.5 * part.size and known.size > 1
        found.append(np.percentile(known, [5, 95]) if enough else np.full(2, np.nan))
    table = np.array(found)
    ranges = table[:, 1] - table[:, 0]
    if not np.isfinite(ranges).any():
        return None
    usual = float(np.nanpercentile(ranges, 80))
    walking = np.nan_to_num(ranges, nan=-1.0) >= FEWEST_OF_RANGE * usual
    if usual <= 0.0:
        return None
    at = centres[walking]
    return Levels(*(np.interp(time_s, at, table[walking, column]) for column in (0, 1)))


def load_share(time_s: FloatArray, force: FloatArray) -> FloatArray:
    """(T,) of one foot: 0 in the air, about 1 under its usual greatest load; NaN where the sensor says nothing.

    Gaps of up to :data:`LONGEST_FILLED_S` are filled; a foot that seems to hang in the air for longer than
    :data:`LONGEST_SWING_S` is unknown. All NaN where the force never changes as under a walking foot.
    """
    levels = find_levels(time_s, force)
    if levels is None:
        return np.full(force.size, np.nan)
    share = levels.share(force)
    known = np.isfinite(share)
    share[~known] = np.interp(time_s[~known], time_s[known], share[known])
    for start, stop in _runs(~known):
        if time_s[stop - 1] - time_s[start] > LONGEST_FILLED_S:
            share[start:stop] = np.nan
    for start, stop in _runs(np.nan_to_num(share, nan=1.0) < CONTACT_SHARE):
        if time_s[stop - 1] - time_s[start] > LONGEST_SWING_S:
            share[start:stop] = np.nan
    return share


def find_contacts(time_s: FloatArray, load: FloatArray, threshold: float, side: Side) -> list[GaitEvent]:
    """Foot strikes and foot offs of one foot: where its (T,) load crosses the threshold, between samples.

    Phases too short to be real are dropped; a gap is no swing.
    """
    known = np.isfinite(load)
    loaded = np.where(known, load, np.inf) > threshold
    events: list[GaitEvent] = []
    for index in np.flatnonzero(loaded[1:] != loaded[:-1]):
        before, after = float(load[index]), float(load[index + 1])
        if not (np.isfinite(before) and np.isfinite(after)):
            continue
        part = (threshold - before) / (after - before)
        moment = float(time_s[index] + part * (time_s[index + 1] - time_s[index]))
        if events and moment - events[-1].time_s < SHORTEST_PHASE_S:
            events.pop()
            continue
        kind: Literal["foot_strike", "foot_off"] = "foot_strike" if after > before else "foot_off"
        events.append(GaitEvent(moment, side, kind, 1.0))
    return events


def _runs(mask: BoolArray) -> list[tuple[int, int]]:
    """(start, stop) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
