"""From the force under both feet to an analysis: times of contact, and the parameters that follow from times alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gaitkeeper_client.gait.analysis import Analysis, Cycle, Parameter, Reason
from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.cycles import find_cycles
from gaitkeeper_client.gait.parameters import Walk, all_refused, parameters
from gaitkeeper_client.gait.refusals import FEWEST_CYCLES, reason
from gaitkeeper_client.gait.view import LABORATORY
from gaitkeeper_client.lab.footforce import FootForces
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import GaitEvent, JointTrajectories, Recording
from gaitkeeper_shared.skeleton import JOINTS

FORCE_METHOD = "foot-force-1"
"""How events are found, for provenance."""
TEMPORAL = frozenset(
    (
        "cadence",
        "stride_time",
        "step_time",
        "stance_percent",
        "swing_percent",
        "double_support_percent",
        "symmetry_index",
        "stride_time_cv",
    )
)
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
    walk = _walk(forces.time_s, events)
    kept = _without_outliers(walk.cycles)
    quality = _quality(forces, len(walk.cycles) - len(kept))
    if not events:
        why = reason("not-walking", detail="no foot is loaded and unloaded again as by steps")
    elif len(kept) < FEWEST_CYCLES:
        why = reason("too-few-cycles", cycles=len(kept), needed=FEWEST_CYCLES)
    else:
        found = temporal(parameters((replace(walk, cycles=kept),)))
        recording = Recording(_no_points(), events, forces.signals(), dict(source), quality)
        return Analysis("analysed", (), source, found, events, kept, quality, recording)
    return Analysis("refused", (why,), source, all_refused(why), events, (), quality)


def temporal(found: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """The parameters with those refused that need positions."""
    why = _no_positions()
    return {name: one if name in TEMPORAL else Parameter(one.unit, refused=why) for name, one in found.items()}


def _no_positions() -> Reason:
    return reason("positions-needed")


def _walk(time_s: FloatArray, events: tuple[GaitEvent, ...]) -> Walk:
    """The series as one walk whose points are not known."""
    ends = time_s[[0, -1]]
    unknown = np.full((2, len(JOINTS), 2), np.nan)
    bout = Bout(0, 2, ends, unknown, np.zeros((2, len(JOINTS))), 1.0, False, math.nan)
    cycles = tuple(replace(cycle, curves={}) for cycle in find_cycles(bout, events))
    return Walk(bout, events, cycles, LABORATORY, None)


def _without_outliers(cycles: Sequence[Cycle]) -> tuple[Cycle, ...]:
    if not cycles:
        return ()
    times = np.array([cycle.duration_s for cycle in cycles])
    limit = OUTLIER_SD * float(times.std())
    middle = float(np.median(times))
    return tuple(cycle for cycle in cycles if abs(cycle.duration_s - middle) <= limit)


def _quality(forces: FootForces, left_out: int) -> dict[str, Any]:
    known = np.isfinite(forces.loads()).mean(axis=0)
    return {
        "sample_rate_hz": float(1.0 / np.median(np.diff(forces.time_s))),
        "duration_s": float(forces.time_s[-1] - forces.time_s[0]),
        "tracked_share": float(known.min()),
        "strides_left_out": left_out,
        "event_method": FORCE_METHOD,
    }


def _no_points() -> JointTrajectories:
    return JointTrajectories(np.empty(0), np.empty((0, len(JOINTS), 3)), "m", np.empty((0, len(JOINTS))))
