"""The freezing index: how much of the legs' shaking is faster than walking.

Moore, MacDougall & Ondo 2008 (doi:10.1016/j.jneumeth.2007.08.023): spectrum of the vertical acceleration of the shank
in windows of 6 s, the band of freezing (3 to 8 Hz) against that of walking (0.5 to 3 Hz). They square both powers; here
the plain ratio is given. The shank is the middle of knee and ankle. It is taken over the whole recording: standing
and turning are where walking freezes, and must not be cut out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaitkeeper_client.gait.analysis import Parameter
from gaitkeeper_client.gait.clean import lost_by_smoothing, stretches
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.measure import finished, withheld
from gaitkeeper_client.gait.refusals import refused
from gaitkeeper_client.gait.statistics import mean_with_ci95
from gaitkeeper_client.gait.walk import Walk
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import SIDES

WINDOW_S = 6.0
WALKING_HZ = (0.5, 3.0)
FREEZING_HZ = (3.0, 8.0)
LARGEST_NOISE_SHARE = 0.2
"""Of the faster band. The leg behind is noisier than the median point that the noise is judged by."""
SHOWN_BY_LENGTHS = 0.25
"""Share of a network's error, as power at 3 to 8 Hz, that the shank's length shows, at least. Of 20 rendered recordings
of walkers without freezing (healthy and parkinsonian, side and oblique, 30 and 60 frames a second) it showed 0.3 to all
of it: what knee and ankle are misplaced by alike does not show. The error was three quarters and more of that band in
all of them, the index 4 to 26 times the truth's, and noise taken as white explained 0.15 to 0.7 of the band, the less
the more there was. Of markers it would be wrong: skin that shakes changes lengths, and the shank's middle little."""


@dataclass(frozen=True, slots=True)
class BandPower:
    """Power of one window in the two bands, and what the points' error makes of the upper one."""

    walking: float
    freezing: float
    noise: float


def freezing_parameter(walks: Sequence[Walk], tracks: JointTrajectories | None) -> Parameter:
    """The index, mean over windows; withheld from a recording without 6 s in which both legs are seen."""
    row = DEFINITIONS["freezing_index"]
    if why := withheld(row, walks):
        return why
    if tracks is None or not tracks.time_s.size:
        return refused(row.unit, "positions-needed")
    noise = max((walk.noise for walk in walks if math.isfinite(walk.noise)), default=0.0)
    windows = band_powers(tracks, noise)
    if not windows:
        return refused(row.unit, "recording-too-short", what=row.title, needed=WINDOW_S)
    share = float(np.median([window.noise / window.freezing for window in windows if window.freezing > 0.0] or [1.0]))
    if share > LARGEST_NOISE_SHARE:
        detail = say("why.noise_of_freezing", share=100.0 * min(share, 1.0))
        return refused(row.unit, "too-noisy", what=row.title, detail=detail)
    value, interval = mean_with_ci95([window.freezing / window.walking for window in windows if window.walking > 0.0])
    return finished(row, walks, value, interval, len(windows))


def band_powers(tracks: JointTrajectories, noise: float) -> list[BandPower]:
    """Both bands of every window of 6 s, each leg's stretches cut into as many as fit; legs summed.

    The error is that of white ``noise`` (standard deviation, in the tracks' unit), or what the lengths of shanks seen
    in a picture tell, if that is more: a bone keeps its length, and what that does at 3 to 8 Hz is error.
    """
    knees, ankles = ([joint(tracks.positions, f"{side}_{part}") for side in SIDES] for part in ("knee", "ankle"))
    shanks = [0.5 * (knee + ankle)[:, -1] for knee, ankle in zip(knees, ankles, strict=True)]
    lengths = [np.linalg.norm(knee - ankle, axis=1) for knee, ankle in zip(knees, ankles, strict=True)]
    rate = tracks.sample_rate_hz
    length = round(WINDOW_S * rate)
    found = []
    for start, stop in stretches(np.asarray(np.isfinite(shanks[0]) & np.isfinite(shanks[1]))):
        for first in range(start, stop - length + 1, length):
            window = slice(first, first + length)
            parts = [_powers(shank[window], rate) for shank in shanks]
            error = len(parts) * _noise_power(noise / math.sqrt(2.0), rate)
            if tracks.dimensions == 2:
                error = max(error, _shown([one[window] for one in lengths], rate) / SHOWN_BY_LENGTHS)
            found.append(BandPower(sum(part[0] for part in parts), sum(part[1] for part in parts), error))
    return found


def _shown(lengths: Sequence[FloatArray], rate_hz: float) -> float:
    """Power in the freezing band that errors of knee and ankle give their middle, by those of their distance.

    Where the errors have nothing to do with each other their sum has the power of their difference, and half of it a
    quarter.
    """
    return sum(_powers(length, rate_hz)[1] for length in lengths) / 4.0


def _powers(height: FloatArray, rate_hz: float) -> tuple[float, float]:
    """Power of the acceleration in the walking and in the freezing band; the smoothing's loss is put back."""
    window = np.hanning(height.size)
    trend = np.polyval(np.polyfit(np.arange(height.size), height, 1), np.arange(height.size))
    spectrum = np.abs(np.fft.rfft((height - trend) * window)) ** 2 / (rate_hz * float((window**2).sum()))
    frequency = np.asarray(np.fft.rfftfreq(height.size, 1.0 / rate_hz), dtype=np.float64)
    density = 2.0 * spectrum * (2.0 * np.pi * frequency) ** 4 * lost_by_smoothing(frequency, rate_hz) ** 2
    step = float(frequency[1])
    walking, freezing = (
        float(density[(frequency >= low) & (frequency < high)].sum()) * step for low, high in (WALKING_HZ, FREEZING_HZ)
    )
    return walking, freezing


def _noise_power(noise: float, rate_hz: float) -> float:
    """Power that white position noise of this standard deviation has in the freezing band as acceleration."""
    low, high = FREEZING_HZ
    density = 2.0 * noise**2 / rate_hz
    return density * (2.0 * math.pi) ** 4 * (high**5 - low**5) / 5.0
