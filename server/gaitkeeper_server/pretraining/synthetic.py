"""Windows of synthetic patients as a study sees them, with what recordings of real people have and a simulator has not.

Joints of different sources lie in different places (a constant offset of each angle), points jitter and drift, and a
walker's arms or one leg may not be seen. Without these an encoder learns what only the simulator does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.ndimage import gaussian_filter1d

from gaitkeeper_shared.arrays import Float32Array, FloatArray, IntArray
from gaitkeeper_shared.kinematics import leg_length, sagittal_plane
from gaitkeeper_shared.models.channels import CHANNEL_BY_NAME, feature_signals
from gaitkeeper_shared.models.windows import cut_windows
from gaitkeeper_shared.recording import Signals
from gaitkeeper_shared.simulation.patient import DISORDERS, draw_patient
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.study import Input

RATE_HZ = 60.0
EDGE_S = 0.5
"""A synthetic walk's first and last half second are left out: nobody is recorded from a standing start."""
LEAST_S = 6.0
JITTER, DRIFT = 0.004, 0.01
"""Standard deviation of a point's fast and slow error, as shares of the leg's length."""
OFFSET = 0.12
"""Standard deviation of a channel's constant offset, in its half-range: about 2 to 3 degrees."""
HIDDEN = 0.1
"""Chance that a channel is not seen at all."""


@dataclass(frozen=True, slots=True)
class SyntheticWindows:
    """``windows``: (N, T, C) scaled. ``classes``: (N,) index into ``DISORDERS``. ``patients``: (N,) whose it is."""

    windows: Float32Array
    classes: IntArray
    patients: IntArray


def synthetic_windows(
    window: Input, patients: int, seed: int, on_progress: Callable[[int, int], None] = lambda *_: None
) -> SyntheticWindows:
    """Windows of ``patients`` patients, every second healthy, the others of each disorder in turn; on all processors.

    The same arguments give the same windows on any machine with the same libraries.
    """
    make = partial(_patient_windows, window, seed)
    found: list[Float32Array] = []
    for done, cuts in enumerate(_mapped(make, patients), start=1):
        found.append(cuts)
        on_progress(done, patients)
    counts = [cuts.shape[0] for cuts in found]
    return SyntheticWindows(
        np.concatenate(found),
        np.repeat([_class_of(number) for number in range(patients)], counts),
        np.repeat(np.arange(patients), counts),
    )


def _mapped(make: Callable[[int], Float32Array], patients: int) -> Iterator[Float32Array]:
    workers = min(os.cpu_count() or 1, patients)
    if workers <= 1:
        yield from map(make, range(patients))
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(make, range(patients), chunksize=4)


def _class_of(number: int) -> int:
    """Even patients are healthy, odd ones have the disorders in turn."""
    return 0 if number % 2 == 0 else 1 + number // 2 % (len(DISORDERS) - 1)


def _patient_windows(window: Input, seed: int, number: int) -> Float32Array:
    random = np.random.default_rng([seed, number])
    patient = draw_patient(f"S{number}", DISORDERS[_class_of(number)], int(random.integers(2**31)))
    walk = Walk(patient, max(LEAST_S, 2 * window.window_s) + 2 * EDGE_S)
    time_s = np.arange(EDGE_S, walk.duration_s - EDGE_S, 1.0 / RATE_HZ)
    points = sagittal_plane(walk.positions(time_s), (1.0, 0.0))
    signals = feature_signals(time_s - time_s[0], _disturbed(points, random))
    return cut_windows(_seen_elsewhere(signals, random), window)


def _disturbed(points: FloatArray, random: np.random.Generator) -> FloatArray:
    """The (T, J, 2) points with jitter and drift."""
    leg = leg_length(points)
    slow = gaussian_filter1d(random.normal(size=points.shape), 0.25 * RATE_HZ, axis=0, mode="reflect")
    slow /= max(float(slow.std()), 1e-9)
    moved: FloatArray = points + leg * (JITTER * random.normal(size=points.shape) + DRIFT * slow)
    return moved


def _seen_elsewhere(signals: Signals, random: np.random.Generator) -> Signals:
    """The signals with offsets of another source, and with channels that nobody saw."""
    spreads = np.array([CHANNEL_BY_NAME[name].spread for name in signals.names])
    values = signals.values + OFFSET * spreads * random.normal(size=len(signals.names))
    values[:, random.random(len(signals.names)) < HIDDEN] = np.nan
    return Signals(signals.time_s, signals.names, values.astype(np.float32))
