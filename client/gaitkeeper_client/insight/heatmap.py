"""From attributions per sample and channel to joint x gait phase, and to the stretches that stand out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student_t

from gaitkeeper_client.insight.findings import PHASE_BINS, HeatmapRow, Highlight, MeanCurve
from gaitkeeper_client.insight.phases import SidePhases
from gaitkeeper_shared.arrays import Float32Array, FloatArray, IntArray
from gaitkeeper_shared.models.channels import CHANNEL_BY_NAME

ROW_ORDER: tuple[tuple[str, str], ...] = (
    *((joint, side) for side in ("left", "right") for joint in ("hip", "knee", "ankle", "foot", "arm")),
    ("trunk", ""),
)
HIGHLIGHTS = 3
MIN_SHARE = 0.03
"""A stretch with less of all contributions is not worth a sentence."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Which heatmap cell every value of the (N, T, C) windows belongs to.

    ``rows``: the joint and side of each row. ``row_of_channel``: (C,). ``bins``, ``cycles``: (N, T, C), -1 where the
    sample lies in no complete cycle. ``samples_per_bin``: (R,) samples of one mean cycle in one column.
    """

    rows: tuple[tuple[str, str], ...]
    row_of_channel: IntArray
    bins: IntArray
    cycles: IntArray
    samples_per_bin: FloatArray

    @property
    def mapped(self) -> float:
        """Share of the values that lie in a complete gait cycle."""
        return float(np.mean(self.bins >= 0)) if self.bins.size else 0.0


def place(channels: Sequence[str], phases: dict[str, SidePhases], rate_hz: float) -> Placement:
    """Place channels: those of a side in that foot's cycle, those of the trunk in the left one (right if none)."""
    places = [(CHANNEL_BY_NAME[name].joint, CHANNEL_BY_NAME[name].side) for name in channels]
    rows = tuple(row for row in ROW_ORDER if row in places)
    midline = "left" if phases["left"].durations_s.size else "right"
    bins, cycles, per_bin = [], [], np.zeros(len(rows))
    for joint, side in places:
        at = phases[side or midline]
        known = at.cycle >= 0
        column = np.minimum(np.nan_to_num(at.phase) * PHASE_BINS, PHASE_BINS - 1).astype(np.int64)
        bins.append(np.where(known, column, -1))
        cycles.append(at.cycle)
        stride_s = float(at.durations_s.mean()) if at.durations_s.size else 0.0
        per_bin[rows.index((joint, side))] = stride_s * rate_hz / PHASE_BINS
    row_of_channel = np.array([rows.index(place) for place in places], dtype=np.int64)
    return Placement(rows, row_of_channel, np.stack(bins, axis=-1), np.stack(cycles, axis=-1), per_bin)


def heatmap(attributions: FloatArray, placement: Placement) -> tuple[HeatmapRow, ...]:
    """Rows of the heatmap from (N, T, C) attributions.

    In each cell: the mean attribution per sample within a cycle, times the samples that a cycle has there, averaged
    over cycles; so cells that more windows happen to cover do not weigh more.
    """
    result = []
    for index, (joint, side) in enumerate(placement.rows):
        columns = placement.row_of_channel == index
        # Channels of one joint add up: their bins and cycles are the same.
        total = attributions[..., columns].sum(axis=-1)
        bins, cycles = placement.bins[..., columns][..., 0], placement.cycles[..., columns][..., 0]
        mean, error = _mean_and_error(_over_cycles(total, bins, cycles))
        scale = placement.samples_per_bin[index]
        errors = tuple(None if np.isnan(value) else float(value * scale) for value in error)
        result.append(HeatmapRow(joint, side, tuple(float(value * scale) for value in mean), errors))
    return tuple(result)


def with_curves(
    rows: Sequence[HeatmapRow],
    placement: Placement,
    channels: Sequence[str],
    attributions: FloatArray,
    windows: Float32Array,
    reference: Float32Array,
) -> tuple[HeatmapRow, ...]:
    """The rows with the mean curves that they are laid over: of the channel that contributes most in each.

    ``windows``, ``reference``: (N, T, C) scaled values of the patient and of the reference walk.
    """
    result = []
    for index, row in enumerate(rows):
        own = np.flatnonzero(placement.row_of_channel == index)
        column = int(own[np.abs(attributions[..., own]).sum(axis=(0, 1)).argmax()])
        channel = CHANNEL_BY_NAME[channels[column]]
        # Zero is what an unknown value was filled with.
        bins = np.where(windows[..., column] != 0.0, placement.bins[..., column], -1)
        cycles = placement.cycles[..., column]
        walk, healthy = (
            _known(channel.center + channel.spread * _mean_of(values[..., column], bins, cycles))
            for values in (windows, reference)
        )
        result.append(replace(row, curve=MeanCurve(channel.name, channel.unit, walk, healthy)))
    return tuple(result)


def _mean_of(values: Float32Array, bins: IntArray, cycles: IntArray) -> FloatArray:
    """(bins,) mean over cycles in each column; NaN where none has a value."""
    table = _over_cycles(values.astype(np.float64), bins, cycles)
    mean, _ = _mean_and_error(table)
    known: FloatArray = np.where(np.isfinite(table).any(axis=0), mean, np.nan)
    return known


def _known(values: FloatArray) -> tuple[float | None, ...]:
    return tuple(float(value) if np.isfinite(value) else None for value in values)


def _over_cycles(values: FloatArray, bins: IntArray, cycles: IntArray) -> FloatArray:
    """(K, bins) mean of the values of each cycle in each column, NaN where it has none."""
    known = bins >= 0
    count = int(cycles.max(initial=-1)) + 1
    flat = cycles[known] * PHASE_BINS + bins[known]
    sums = np.bincount(flat, weights=values[known], minlength=max(count, 1) * PHASE_BINS)
    sizes = np.bincount(flat, minlength=max(count, 1) * PHASE_BINS)
    with np.errstate(invalid="ignore", divide="ignore"):
        table: FloatArray = (sums / sizes).reshape(-1, PHASE_BINS)
    return table


def _mean_and_error(table: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean over cycles in each column, and its standard error (NaN below two cycles)."""
    seen = np.isfinite(table)
    number = seen.sum(axis=0)
    filled = np.where(seen, table, 0.0)
    mean = filled.sum(axis=0) / np.maximum(number, 1)
    square = (np.where(seen, table - mean, 0.0) ** 2).sum(axis=0)
    error = np.where(number >= 2, np.sqrt(square / np.maximum(number - 1, 1) / np.maximum(number, 1)), np.nan)
    return mean, error


def highlights(
    rows: Sequence[HeatmapRow],
    placement: Placement,
    channels: Sequence[str],
    attributions: FloatArray,
    difference: FloatArray,
) -> tuple[Highlight, ...]:
    """The stretches that speak most for the label, strongest first.

    ``difference``: (N, T, C) patient less reference in scaled units.
    """
    everything = sum(float(np.abs(row.contribution).sum()) for row in rows)
    found = []
    for index, row in enumerate(rows):
        values = np.array(row.contribution)
        if everything == 0.0 or values.max() <= 0.0:
            continue
        start, end = _stretch(values)
        contribution = float(values[np.arange(start, end) % PHASE_BINS].sum())
        share = contribution / everything
        if share < MIN_SHARE:
            continue
        name, deviation = _driver(index, (start, end), placement, channels, attributions, difference)
        step = 100.0 / PHASE_BINS
        begin, stop = (start % PHASE_BINS) * step, ((end - 1) % PHASE_BINS + 1) * step
        unit = CHANNEL_BY_NAME[name].unit
        interval = _interval(index, (start, end), placement, attributions)
        found.append(Highlight(row.joint, row.side, begin, stop, contribution, share, name, deviation, unit, interval))
    return tuple(sorted(found, key=lambda item: -item.contribution)[:HIGHLIGHTS])


def _interval(
    row: int, stretch: tuple[int, int], placement: Placement, attributions: FloatArray
) -> tuple[float, float] | None:
    """95 % interval of a stretch's contribution over the cycles that cover all of it; None below three."""
    columns = placement.row_of_channel == row
    bins, cycles = placement.bins[..., columns][..., 0], placement.cycles[..., columns][..., 0]
    table = _over_cycles(attributions[..., columns].sum(axis=-1), bins, cycles)
    sums = table[:, np.arange(*stretch) % PHASE_BINS].sum(axis=1) * placement.samples_per_bin[row]
    known = sums[np.isfinite(sums)]
    if known.size < 3:
        return None
    reach = float(student_t.ppf(0.975, known.size - 1) * known.std(ddof=1) / np.sqrt(known.size))
    return float(known.mean()) - reach, float(known.mean()) + reach


def _stretch(values: FloatArray) -> tuple[int, int]:
    """Columns [start, end) around the peak with at least half of its height; closed, so start may be < 0."""
    peak = int(np.argmax(values))
    half = 0.5 * values[peak]
    start, end = peak, peak + 1
    while end - start < PHASE_BINS and values[(start - 1) % PHASE_BINS] >= half:
        start -= 1
    while end - start < PHASE_BINS and values[end % PHASE_BINS] >= half:
        end += 1
    return start, end


def _driver(
    row: int,
    stretch: tuple[int, int],
    placement: Placement,
    channels: Sequence[str],
    attributions: FloatArray,
    difference: FloatArray,
) -> tuple[str, float]:
    """The channel that contributes most in the stretch, and the patient's mean deviation there in its unit."""
    columns = np.arange(*stretch) % PHASE_BINS
    best, most, deviation = "", -np.inf, 0.0
    for index in np.flatnonzero(placement.row_of_channel == row):
        inside = np.isin(placement.bins[..., index], columns)
        if not inside.any():
            continue
        total = float(attributions[..., index][inside].sum())
        if total > most:
            channel = CHANNEL_BY_NAME[channels[int(index)]]
            best, most = channel.name, total
            deviation = float(difference[..., index][inside].mean()) * channel.spread
    return best, deviation
