"""What the speed of a treadmill's belt adds to an analysis: the way that cannot be seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from gaitkeeper_client.gait.analysis import Analysis, Parameter
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.deviation import deviations_at
from gaitkeeper_client.gait.parameters_length import GRAVITY_M_S2, USUAL_LEG_M
from gaitkeeper_client.gait.refusals import reason
from gaitkeeper_client.gait.walk import IN_IMAGES, IN_SPACE, Shared
from gaitkeeper_shared.kinematics import leg_length

NOT_USED = "A belt's speed was given, but the person travels through the room: it was not used."
FROM_BELT = "Walking speed and stride length are those of the belt; the person's own shift on it is not in them."
CONTRADICTION = "The belt's speed was not used: the feet tell of another one."
LARGEST_DIFFERENCE = 0.15
"""Of the belt's speed from that of the feet, as a share. Synthetic walkers on a belt have 0.96 to 0.99 of its speed in
their steps (the trailing heel has risen by then); km/h for m/s is a factor of 3.6, miles an hour 2.2."""
_UNSEEN = ("constant-place", "positions-needed")
_MADE_OF_BELT = ("walking_speed", "stride_length", "dimensionless_speed")


def with_belt(analysis: Analysis, belt_m_s: float) -> Analysis:
    """The analysis with walking speed and stride length from the belt, where the walk itself does not give them.

    The speed is the belt's, without an interval; the stride length is the way of the belt during each stride. A walk
    that travels keeps its own values and says so in the notes. A speed that the feet contradict by more than
    :data:`LARGEST_DIFFERENCE` gives no values but the refusal ``belt-contradiction``.
    """
    if analysis.status != "analysed":
        return analysis
    unseen = [name for name in ("walking_speed", "stride_length") if _is_unseen(analysis.parameters[name])]
    if not unseen:
        return _noted(analysis, NOT_USED, analysis.parameters)
    found = dict(analysis.parameters)
    measured = _speed_of_feet(found)
    if measured is not None and abs(belt_m_s - measured) > LARGEST_DIFFERENCE * measured:
        why = reason("belt-contradiction", given=belt_m_s, measured=measured)
        refused = {n: Parameter(found[n].unit, refused=why) for n in _MADE_OF_BELT if _is_unseen(found[n])}
        return _noted(analysis, CONTRADICTION, found | refused)
    if "walking_speed" in unseen:
        found["walking_speed"] = Parameter(DEFINITIONS["walking_speed"].unit, belt_m_s, None, len(analysis.cycles))
    if "stride_length" in unseen:
        found["stride_length"] = _stride_length(analysis.parameters["stride_time"], belt_m_s)
    speed = _dimensionless(analysis, belt_m_s)
    if speed is not None and _is_unseen(analysis.parameters["dimensionless_speed"]):
        found["dimensionless_speed"] = Parameter(
            DEFINITIONS["dimensionless_speed"].unit, speed, None, len(analysis.cycles)
        )
        deviations = deviations_at(analysis.cycles, speed, _shared(analysis).range_deg)
        found |= {name: one for name, one in deviations.items() if _no_speed(found[name])}
    return _noted(analysis, FROM_BELT, found)


def _speed_of_feet(found: Mapping[str, Parameter]) -> float | None:
    """Left and right step over the stride time, in m/s; None where steps have no metres or there are too few."""
    left, right = (found[f"step_length_{side}"].value for side in ("left", "right"))
    seconds = found["stride_time"].value
    if left is None or right is None or seconds is None or left + right <= 0.0:
        return None
    return (left + right) / seconds


def _no_speed(parameter: Parameter) -> bool:
    return parameter.refused is not None and parameter.refused.code == "speed-unknown"


def _dimensionless(analysis: Analysis, belt_m_s: float) -> float | None:
    """The belt's speed over the root of gravity times leg length; None where there are no points."""
    if analysis.recording is None or not analysis.recording.trajectories.time_s.size:
        return None
    scale = analysis.quality.get("metres_per_unit")
    leg_m = leg_length(analysis.recording.trajectories.positions) * scale if isinstance(scale, float) else USUAL_LEG_M
    return belt_m_s / math.sqrt(GRAVITY_M_S2 * leg_m)


def _shared(analysis: Analysis) -> Shared:
    seen = analysis.recording is not None and analysis.recording.trajectories.dimensions == 2
    return IN_IMAGES if seen else IN_SPACE


def _is_unseen(parameter: Parameter) -> bool:
    return parameter.refused is not None and parameter.refused.code in _UNSEEN


def _stride_length(stride_time: Parameter, belt_m_s: float) -> Parameter:
    unit = DEFINITIONS["stride_length"].unit
    if stride_time.value is None:
        return Parameter(unit, refused=stride_time.refused)
    ends = stride_time.ci95
    interval = None if ends is None else (belt_m_s * ends[0], belt_m_s * ends[1])
    return Parameter(unit, belt_m_s * stride_time.value, interval, stride_time.n)


def _noted(analysis: Analysis, note: str, found: Mapping[str, Parameter]) -> Analysis:
    source = {**analysis.source, "notes": [*analysis.source.get("notes", ()), note]}
    recording = None if analysis.recording is None else replace(analysis.recording, source=source)
    return replace(analysis, source=source, parameters=found, recording=recording)
