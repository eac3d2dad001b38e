"""Simulated walks for the tests of explanations: exact events, known truth, nobody's data, the same at every site."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from gaitkeeper_client.gait.clean import clean
from gaitkeeper_client.insight.explanation import phases_of, reference_windows
from gaitkeeper_client.insight.heatmap import Placement, place
from gaitkeeper_client.insight.phases import SidePhases
from gaitkeeper_shared.arrays import Float32Array, FloatArray
from gaitkeeper_shared.kinematics import sagittal_plane
from gaitkeeper_shared.models.channels import feature_signals
from gaitkeeper_shared.models.windows import placed_windows
from gaitkeeper_shared.recording import GaitEvent, JointTrajectories, Side, Signals
from gaitkeeper_shared.simulation.patient import Disorder, draw_patient
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.study import Input

RATE_HZ = 50.0
MOST_WINDOWS = 4
"""Windows of a walk that are explained: a heatmap is a mean, and more of one simulated walker tell little."""
_BOTH: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True, slots=True)
class SimulatedWalk:
    """Points in space, and the exact foot strikes."""

    disorder: Disorder
    seed: int
    tracks: JointTrajectories
    events: tuple[GaitEvent, ...]

    def signals(self, noise_m: float = 0.0, seed: int = 0) -> Signals:
        """Feature channels; with white noise of ``noise_m`` metres on every point, cleaned as every source is."""
        tracks = self.tracks
        if noise_m > 0.0:
            drawn = np.random.default_rng([self.seed, seed]).normal(0.0, noise_m, tracks.positions.shape)
            tracks = clean(replace(tracks, positions=tracks.positions + drawn)).tracks
        return feature_signals(tracks.time_s, sagittal_plane(tracks.positions, (1.0, 0.0)))


@cache
def simulated_walk(disorder: Disorder, seed: int, seconds: float) -> SimulatedWalk:
    """One walk of one simulated patient. Seeds from 7000 on: no walk that the reference or a demonstration is of."""
    walk = Walk(draw_patient("certificate", disorder, 7000 + seed), seconds)
    events = tuple(
        GaitEvent(float(time), side, "foot_strike", 1.0)
        for side in _BOTH
        for time in walk.footprints.side(side).strike_s
        if 0.0 <= time <= seconds
    )
    return SimulatedWalk(disorder, seed, walk.trajectories(RATE_HZ), events)


@dataclass(frozen=True)
class Sample:
    """What a model is asked about a walk: (N, T, C) scaled ``windows`` from (N,) ``starts_s``, and its foot strikes."""

    windows: Float32Array
    starts_s: FloatArray
    window: Input
    events: tuple[GaitEvent, ...]

    @cached_property
    def phases(self) -> dict[str, SidePhases]:
        """By side, where in the cycle the samples lie."""
        return phases_of(self.windows, self.starts_s, self.window, self.events)

    @cached_property
    def placement(self) -> Placement:
        """Which cell of the heatmap each value belongs to."""
        return place(self.window.channels, self.phases, self.window.rate_hz)

    @cached_property
    def reference(self) -> Float32Array:
        """The reference walk in this walk's rhythm."""
        return reference_windows(self.windows, self.window.channels, self.phases)

    def changed(self, windows: Float32Array) -> Sample:
        """The same moments with other values."""
        return Sample(windows, self.starts_s, self.window, self.events)


def sample_of(walk: SimulatedWalk, window: Input, noise_m: float = 0.0, seed: int = 0) -> Sample | None:
    """The windows of a walk, thinned to :data:`MOST_WINDOWS`; None where it has none."""
    starts_s, windows = placed_windows(walk.signals(noise_m, seed), window)
    if windows.shape[0] == 0:
        return None
    picked = np.linspace(0, windows.shape[0] - 1, min(MOST_WINDOWS, windows.shape[0])).round().astype(int)
    return Sample(windows[picked], starts_s[picked], window, walk.events)
