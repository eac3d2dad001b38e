"""From the force under both feet to an analysis: times of contact, and the parameters that follow from times alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from gaitkeeper_client.gait.analysis import Analysis, Cycle, Parameter, Reason
from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.cautions import caution
from gaitkeeper_client.gait.cycles import LONGEST_S, SHORTEST_S, find_cycles
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.measure import noted
from gaitkeeper_client.gait.parameters import Walk, all_refused, parameters
from gaitkeeper_client.gait.refusals import FEWEST_CYCLES, reason
from gaitkeeper_client.gait.statistics import mean_with_ci95
from gaitkeeper_client.gait.view import LABORATORY
from gaitkeeper_client.lab.footforce import FORCE_CHANNELS, GAITNDD_HZ, SIDES, FootForces, StrideTimes
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import GaitEvent, JointTrajectories, Recording, Signals
from gaitkeeper_shared.skeleton import JOINTS

FORCE_METHOD = "foot-force-1"
"""How events are found, for provenance."""
TEMPORAL = frozenset(name for name, row in DEFINITIONS.items() if not row.sagittal)
"""Parameters that follow from times of contact; every other needs positions."""
OUTLIER_SD = 3.0
"""Strides farther from the middle than this many standard deviations are turns at the end of the hallway or missteps
(Hausdorff et al. 2000, doi:10.1152/jappl.2000.88.6.2045)."""


def analyse_forces(forces: FootForces, *, source: Mapping[str, Any]) -> Analysis:
    """Analyse a walk of which the force under each foot is known and nothing else.

    Events are found on the whole series. Turns and missteps are left out of the parameters, not averaged in. What
    needs positions is refused; ``recording`` holds the channels of :meth:`FootForces.signals` and no points.
    """
    events = forces.events()
    walk = replace(_walk(forces.time_s, events), raw_forces=forces.unit == "raw")
    kept = _without_outliers(walk.cycles)
    quality = _quality(forces, _strides(events) - len(kept))
    if not events:
        why = reason("not-walking", detail=say("why.no_steps"))
    elif len(kept) < FEWEST_CYCLES:
        why = reason("too-few-cycles", cycles=len(kept), needed=FEWEST_CYCLES, detail=say("why.once"))
    else:
        found = temporal(parameters((_without_turns(walk, kept),)))
        if walk.raw_forces:
            found = {name: _uncalibrated(name, one) for name, one in found.items()}
        recording = Recording(_no_points(), events, forces.signals(), dict(source), quality)
        return Analysis("analysed", (), source, found, events, kept, quality, recording)
    return Analysis("refused", (why,), source, all_refused(why), events, (), quality)


def analyse_times(times: StrideTimes, *, source: Mapping[str, Any]) -> Analysis:
    """Analyse a series of stride times that another program took from foot forces.

    It holds neither the moments of single events nor channels; ``recording`` is empty but for its provenance.
    """
    cycles = _without_outliers(tuple(sorted(_cycles_of(times), key=lambda cycle: cycle.start_s)))
    quality: dict[str, Any] = {
        "duration_s": float(times.end_s[-1] - times.end_s[0]),
        "strides_left_out": 2 * times.end_s.size - len(cycles),
        "event_method": "stride times of the file",
    }
    if len(cycles) < FEWEST_CYCLES:
        why = reason("too-few-cycles", cycles=len(cycles), needed=FEWEST_CYCLES, detail=say("why.once"))
        return Analysis("refused", (why,), source, all_refused(why), (), (), quality)
    walk = replace(_walk(np.arange(0.0, quality["duration_s"], 1.0 / GAITNDD_HZ), ()), cycles=cycles)
    found = temporal(parameters((walk,)))
    share = 100.0 * times.double_support_s / times.stride_s.mean(axis=1)
    known = share[np.isfinite(share)]
    if known.size >= FEWEST_CYCLES:
        name = "double_support_percent"
        found[name] = Parameter(DEFINITIONS[name].unit, *mean_with_ci95([float(one) for one in known]), known.size)
    signals = Signals(np.empty(0), FORCE_CHANNELS, np.empty((0, 2), dtype=np.float32))
    return Analysis(
        "analysed", (), source, found, (), cycles, quality, Recording(_no_points(), (), signals, dict(source), quality)
    )


def _cycles_of(times: StrideTimes) -> Iterator[Cycle]:
    for row, end in enumerate(times.end_s - times.end_s[0] + float(np.nanmax(times.stride_s[0]))):
        for column, side in enumerate(SIDES):
            stride, stance = float(times.stride_s[row, column]), float(times.stance_s[row, column])
            if SHORTEST_S <= stride <= LONGEST_S:
                start = float(end) - stride
                off = start + stance if 0.0 < stance < stride else None
                yield Cycle(side, start, float(end), off, None, None)


def temporal(found: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """The parameters with those refused that need positions."""
    why = _no_positions()
    return {name: one if name in TEMPORAL else Parameter(one.unit, refused=why) for name, one in found.items()}


def _no_positions() -> Reason:
    return reason("positions-needed")


def _walk(time_s: FloatArray, events: tuple[GaitEvent, ...]) -> Walk:
    """The series as one walk whose points are not known. Five minutes of NaN cost nothing: all are the same one."""
    samples, joints = time_s.size, len(JOINTS)
    unknown = np.broadcast_to(np.nan, (samples, joints, 2))
    bout = Bout(0, samples, time_s, unknown, np.broadcast_to(0.0, (samples, joints)), 1.0, False, math.nan)
    cycles = tuple(replace(cycle, curves={}) for cycle in find_cycles(bout, events))
    return Walk(bout, events, cycles, LABORATORY, None)


def _strides(events: Sequence[GaitEvent]) -> int:
    """How many strides follow from the foot strikes, turns and missteps among them."""
    strikes = {side: [e.time_s for e in events if e.side == side and e.type == "foot_strike"] for side in SIDES}
    return sum(SHORTEST_S <= end - start <= LONGEST_S for times in strikes.values() for start, end in pairwise(times))


def _without_outliers(cycles: Sequence[Cycle]) -> tuple[Cycle, ...]:
    if not cycles:
        return ()
    times = np.array([cycle.duration_s for cycle in cycles])
    limit = OUTLIER_SD * float(times.std())
    middle = float(np.median(times))
    return tuple(cycle for cycle in cycles if abs(cycle.duration_s - middle) <= limit)


def _uncalibrated(name: str, found: Parameter) -> Parameter:
    """With a caution where a value depends on the moment of contact, not only on the time between alike ones."""
    depends = found.value is not None and not name.startswith(("cadence", "stride_time"))
    return noted(found, caution("uncalibrated-force")) if depends else found


def _without_turns(walk: Walk, kept: Sequence[Cycle]) -> Walk:
    """The walk with the strides ``kept`` alone, and with none of the strikes and steps of other strides."""
    whole = {(cycle.side, cycle.start_s, cycle.end_s) for cycle in kept}
    moments = {(side, time_s) for side, start, end in whole for time_s in (start, end)}
    strikes = [event for event in walk.events if event.type == "foot_strike"]
    strides = [
        (side, start, end)
        for side in SIDES
        for start, end in pairwise([event.time_s for event in strikes if event.side == side])
    ]
    return replace(
        walk,
        cycles=tuple(kept),
        events=tuple(e for e in walk.events if e.type != "foot_strike" or (e.side, e.time_s) in moments),
        left_out=tuple(stride for stride in strides if stride not in whole),
    )


def _quality(forces: FootForces, left_out: int) -> dict[str, Any]:
    return {
        "sample_rate_hz": float(1.0 / np.median(np.diff(forces.time_s))),
        "duration_s": float(forces.time_s[-1] - forces.time_s[0]),
        "forces_known_share": float(np.isfinite(forces.loads()).all(axis=1).mean()),
        "strides_left_out": left_out,
        "event_method": FORCE_METHOD,
    }


def _no_points() -> JointTrajectories:
    return JointTrajectories(np.empty(0), np.empty((0, len(JOINTS), 3)), "m", np.empty((0, len(JOINTS))))
