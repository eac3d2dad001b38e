"""Stride features: four numbers of minutes of walking, from the load under each foot.

How long strides are, how much they vary, how long the foot is in the air, and how much that varies: what tells
Parkinson's and Huntington's disease and amyotrophic lateral sclerosis from health, and partly from each other
(Hausdorff et al. 2000, doi:10.1152/jappl.2000.88.6.2045). A head over so few numbers learns from some ten patients a
clinic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gaitkeeper_shared.arrays import BoolArray, Float32Array, FloatArray, IntArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.channels import FORCE_CENTER, FORCE_CHANNELS, FORCE_SPREAD
from gaitkeeper_shared.models.measures import Measure
from gaitkeeper_shared.models.registry import TemporalEncoder, register
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.skeleton import SIDES

CONTACT_LOAD = 0.15
"""A foot stands where its load exceeds this share of its usual greatest load."""
SHORTEST_PHASE_S = 0.1
LONGEST_FILLED_S = 0.1
"""A load that stays exactly at the channel's centre for longer is an unknown one, which a window holds as 0."""
STRIDE_S = (0.5, 3.0)
OUTLIER_SD = 3.0
"""Strides farther from the median than this are turns and missteps (Hausdorff et al. 2000)."""
FEWEST_STRIDES = 8
"""Of one foot; with fewer, its variability says nothing."""
LIMIT = 3.0
BLOCK_STRIDES = 10
"""Strides that stay together when strides are drawn anew: neighbours resemble each other, and drawn one by one they
would look steadier than they are (moving blocks: Künsch 1989, doi:10.1214/aos/1176347265)."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One stride feature with its fixed scale: ``(value - center) / spread``, of the logarithm where ``log``."""

    name: str
    unit: str
    log: bool
    center: float
    spread: float

    def scaled(self, value: float) -> float:
        """The value in spreads, limited; 0 for an unknown one."""
        number = math.log(max(value, 1e-6)) if self.log and math.isfinite(value) else value
        if not math.isfinite(number):
            return 0.0
        return min(max((number - self.center) / self.spread, -LIMIT), LIMIT)


# Middle and half of the range between healthy and ill groups in the public recordings of gaitndd
# (doi:10.13026/C27G6C), rounded: constants of the protocol, the same at every site.
FEATURES: tuple[Feature, ...] = (
    Feature("stride_time", "s", True, math.log(1.1), 0.12),
    Feature("stride_time_variability", "share", True, math.log(0.035), 0.6),
    Feature("swing_share_variability", "share", True, math.log(0.0135), 0.6),
    Feature("swing_share", "share", False, 0.37, 0.03),
)


@register("strides")
class StrideEncoder(TemporalEncoder):
    """The stride features of a window, which wants to be minutes long. No parameter is trained.

    ``hidden`` and ``layers`` of the study do not matter. Raises ``model-channels`` where a study gives other channels
    than the load under both feet.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        needed = tuple(channel.name for channel in FORCE_CHANNELS)
        if missing := [name for name in needed if name not in spec.input.channels]:
            raise GaitkeeperError("model-channels", kind="strides", missing=", ".join(missing))
        self.columns = [spec.input.channels.index(name) for name in needed]
        self.rate_hz = spec.input.rate_hz
        self.width = len(FEATURES)
        self.differentiable = False
        self.measures = tuple(
            Measure(feature.name, feature.unit, needed, feature.center, feature.spread, LIMIT, feature.log)
            for feature in FEATURES
        )

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(N, T, C) to (N, features); no gradient flows to the windows."""
        values = windows.detach().cpu().numpy()[:, :, self.columns]
        rows = [scaled_features(window, self.rate_hz) for window in values]
        return torch.tensor(rows, dtype=torch.float32, device=windows.device).reshape(-1, self.width)

    def resampled(self, windows: torch.Tensor, draws: int, seed: int) -> torch.Tensor | None:
        """(draws, N, features) from the strides of each window drawn anew; see :func:`resampled_features`."""
        values = windows.detach().cpu().numpy()[:, :, self.columns]
        rows = np.stack([resampled_features(window, self.rate_hz, draws, seed) for window in values], axis=1)
        return torch.from_numpy(rows.astype(np.float32))


def scaled_features(window: Float32Array, rate_hz: float) -> list[float]:
    """:data:`FEATURES` of one (T, 2) scaled window, left then right, in their spreads."""
    values = stride_features(_loads(window, rate_hz), rate_hz)
    return [feature.scaled(values[feature.name]) for feature in FEATURES]


def stride_features(loads: FloatArray, rate_hz: float) -> dict[str, float]:
    """:data:`FEATURES` by name from the (T, 2) loads of both feet, NaN where unknown; means over the feet.

    NaN for a feature that neither foot has strides enough for.
    """
    return _features_of(_usable_feet(loads, rate_hz))


def resampled_features(window: Float32Array, rate_hz: float, draws: int, seed: int) -> FloatArray:
    """(draws, features) as :func:`scaled_features` of one (T, 2) scaled window, each from strides drawn with
    replacement, in blocks of :data:`BLOCK_STRIDES` that are those of both feet. All 0 for a window without strides
    enough."""
    feet = _usable_feet(_loads(window, rate_hz), rate_hz)
    random = np.random.default_rng(seed)
    rows = np.zeros((draws, len(FEATURES)))
    blocks = max((foot.shape[0] for foot in feet), default=0) // BLOCK_STRIDES + 1
    for row in rows:
        places = random.random(blocks)
        values = _features_of([foot[_drawn(places, foot.shape[0])] for foot in feet])
        row[:] = [feature.scaled(values[feature.name]) for feature in FEATURES]
    return rows


def _drawn(places: FloatArray, size: int) -> IntArray:
    """``size`` indices below it, in blocks that begin at these shares of the whole."""
    block = min(BLOCK_STRIDES, size)
    begins = np.floor(places[: -(-size // block)] * (size - block + 1)).astype(np.int64)
    indices: IntArray = (begins[:, None] + np.arange(block)).ravel()[:size]
    return indices


def _features_of(feet: Sequence[FloatArray]) -> dict[str, float]:
    """The means over the feet from the (S, 3) times of their strides; NaN without a foot."""
    if not feet:
        return {feature.name: math.nan for feature in FEATURES}
    known = np.array([_foot(foot) for foot in feet])
    stride, variability, swing_variability, swing = (float(value) for value in known.mean(axis=0))
    return {
        "stride_time": stride,
        "stride_time_variability": variability / stride,
        "swing_share_variability": swing_variability,
        "swing_share": swing,
    }


def strides_of(load: FloatArray, rate_hz: float) -> FloatArray:
    """(S, 3) times of foot strike, foot off and next foot strike of one foot's (T,) load, in seconds."""
    with np.errstate(invalid="ignore"):
        up = load > CONTACT_LOAD
    known = np.isfinite(load)
    places = np.flatnonzero(up[1:] != up[:-1])
    places = places[known[places] & known[places + 1]]
    if places.size == 0:
        return np.empty((0, 3))
    part = (CONTACT_LOAD - load[places]) / (load[places + 1] - load[places])
    times, strike = _long_phases((places + part) / rate_hz, up[places + 1])
    gap_before = np.concatenate([[0], np.cumsum(~known)])[np.minimum((times * rate_hz).astype(int) + 1, load.size)]
    first = np.flatnonzero(strike[:-2] & ~strike[1:-1] & strike[2:] & (gap_before[:-2] == gap_before[2:]))
    found = np.stack([times[first], times[first + 1], times[first + 2]], axis=1)
    lengths = found[:, 2] - found[:, 0]
    usable: FloatArray = found[(lengths > STRIDE_S[0]) & (lengths < STRIDE_S[1])]
    return usable


def _usable_feet(loads: FloatArray, rate_hz: float) -> list[FloatArray]:
    """The (S, 3) times of the strides of each foot that has enough of them."""
    feet = [strides_of(loads[:, column], rate_hz) for column in range(len(SIDES))]
    return [foot for foot in feet if foot.shape[0] >= FEWEST_STRIDES]


def _foot(found: FloatArray) -> tuple[float, float, float, float]:
    """Median and deviation of stride time, deviation and median of the swing's share, of (S, 3) strides."""
    stride = found[:, 2] - found[:, 0]
    swing = (found[:, 2] - found[:, 1]) / stride
    return float(np.median(stride)), _deviation(stride), _deviation(swing), float(np.median(swing))


def _deviation(values: FloatArray) -> float:
    """Standard deviation without outliers, which are looked for twice: the worst hide the others."""
    for _ in range(2):
        values = values[np.abs(values - np.median(values)) <= OUTLIER_SD * values.std()]
    return float(values.std())


def _long_phases(times: FloatArray, strike: BoolArray) -> tuple[FloatArray, BoolArray]:
    """The crossings without contacts and swings too short to be real: both ends of one are dropped."""
    kept: list[int] = []
    for index in range(times.size):
        if kept and times[index] - times[kept[-1]] < SHORTEST_PHASE_S and strike[index] != strike[kept[-1]]:
            kept.pop()
        else:
            kept.append(index)
    return times[kept], strike[kept]


def _loads(window: Float32Array, rate_hz: float) -> FloatArray:
    """(T, 2) loads of a scaled window, NaN where its channel was unknown."""
    loads = window.astype(np.float64) * FORCE_SPREAD + FORCE_CENTER
    for column in range(loads.shape[1]):
        unknown = np.concatenate([[False], window[:, column] == 0.0, [False]]).astype(np.int8)
        for start, stop in np.flatnonzero(np.diff(unknown)).reshape(-1, 2):
            if stop - start > LONGEST_FILLED_S * rate_hz:
                loads[start:stop, column] = np.nan
    return loads
