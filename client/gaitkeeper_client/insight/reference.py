"""The reference walk: what each feature channel is, phase by phase, when a healthy adult walks at an own free speed.

It is the mean over a few synthetic healthy walkers, whose joint curves follow published normal data (sources in
``gaitkeeper_shared/simulation/data/normal_walking.toml``: Winter 2009, doi:10.1002/9780470549148; Schwartz 2008,
doi:10.1016/j.jbiomech.2008.03.015; Bovi 2011, doi:10.1016/j.gaitpost.2010.08.009). No patient's data enters it, and it
is the same at every site.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from gaitkeeper_client.insight.phases import SidePhases, side_phases
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.models.channels import CHANNEL_BY_NAME, CHANNELS
from gaitkeeper_shared.recording import GaitEvent, Side

POINTS = 50
"""Points of the stored cycle."""
WALKERS = 3
_SPEED_M_S = 1.28
_SECONDS = 10.0
_EDGE_S = 1.0
_BOTH: tuple[Side, Side] = ("left", "right")
_RATE_HZ = 50.0


@cache
def reference_cycle() -> dict[str, FloatArray]:
    """By channel: (:data:`POINTS`,) scaled values at the phases ``(i + 0.5) / POINTS`` of the channel's own side.

    Left and right are the same: the mean of both. A trunk channel is given over the left cycle, which equals the right
    one, because a healthy trunk moves with the step.
    """
    tables = [_cycle_of(seed) for seed in range(WALKERS)]
    mean = {name: np.mean([table[name] for table in tables], axis=0) for name in tables[0]}
    for channel in CHANNELS:
        if channel.side == "left":
            twin = channel.name.removesuffix("left") + "right"
            mean[channel.name] = mean[twin] = 0.5 * (mean[channel.name] + mean[twin])
    return mean


def has_reference(channels: Sequence[str]) -> bool:
    """Whether the reference walk is known in all of these channels: it holds movement, not the load under the feet."""
    return {channel.name for channel in CHANNELS}.issuperset(channels)


def reference_values(channels: Sequence[str], phases: dict[str, SidePhases]) -> FloatArray:
    """(N, T, C) scaled reference values at the phases, which are (N, T) per side; NaN outside complete cycles."""
    midline = "left" if phases["left"].durations_s.size else "right"
    grid = (np.arange(-1, POINTS + 1) + 0.5) / POINTS
    columns = []
    for name in channels:
        cycle = reference_cycle()[name]
        closed = np.concatenate([cycle[-1:], cycle, cycle[:1]])
        phase = phases[CHANNEL_BY_NAME[name].side or midline].phase
        columns.append(np.where(np.isfinite(phase), np.interp(np.nan_to_num(phase), grid, closed), np.nan))
    return np.stack(columns, axis=-1)


def _cycle_of(seed: int) -> dict[str, FloatArray]:
    """The phase-averaged scaled channels of one synthetic healthy walker, by the exact times of its foot strikes."""
    from gaitkeeper_shared.kinematics import sagittal_plane
    from gaitkeeper_shared.models.channels import feature_signals, scaled
    from gaitkeeper_shared.simulation.patient import draw_patient
    from gaitkeeper_shared.simulation.walker import Walk

    walk = Walk(draw_patient("reference", "healthy", seed, speed_m_s=_SPEED_M_S), _SECONDS)
    tracks = walk.trajectories(_RATE_HZ)
    signals = feature_signals(tracks.time_s, sagittal_plane(tracks.positions, (1.0, 0.0)))
    values = scaled(signals, signals.names)
    events = [
        GaitEvent(float(time), side, "foot_strike", 1.0)
        for side in _BOTH
        for time in walk.footprints.side(side).strike_s
    ]
    # The first and last second carry the edges of the moving floor and mean.
    inside = (signals.time_s > _EDGE_S) & (signals.time_s < _SECONDS - _EDGE_S)
    table = {}
    for index, name in enumerate(signals.names):
        phases = side_phases(signals.time_s, events, CHANNEL_BY_NAME[name].side or "left")
        used = inside & (phases.cycle >= 0)
        bins = np.minimum(phases.phase[used] * POINTS, POINTS - 1).astype(np.int64)
        sums = np.bincount(bins, weights=values[used, index], minlength=POINTS)
        table[name] = sums / np.bincount(bins, minlength=POINTS)
    return table
