"""Stride features against series whose strides are known, with gaps, missteps and noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.channels import FORCE_CHANNELS
from gaitkeeper_shared.models.registry import build
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.models.strides import FEATURES, LIMIT, scaled_features, stride_features, strides_of
from gaitkeeper_shared.models.windows import cut_windows
from gaitkeeper_shared.recording import Signals
from gaitkeeper_shared.study import Input

RATE = 100.0
NAMES = tuple(channel.name for channel in FORCE_CHANNELS)


def load(strides: FloatArray, swing: FloatArray, start: float = 0.4) -> FloatArray:
    """(T,) load of a foot that takes these strides, each ending in a swing of that share of it."""
    strikes = start + np.concatenate([[0.0], np.cumsum(strides)])
    offs = strikes[1:] - strides * swing
    corners = np.stack([strikes[:-1], strikes[:-1] + 0.04, offs - 0.04, offs], axis=1).ravel()
    levels = np.tile([0.0, 1.0, 1.0, 0.0], strides.size)
    time_s = np.arange(int((strikes[-1] - 0.1) * RATE)) / RATE
    return np.interp(time_s, corners, levels)


def both(left: FloatArray, right: FloatArray) -> FloatArray:
    size = min(left.size, right.size)
    return np.stack([left[:size], right[:size]], axis=1)


@given(st.floats(0.8, 1.7), st.floats(0.25, 0.45), st.floats(0.01, 0.08), st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_known_strides_give_their_numbers(mean: float, swing: float, variability: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    strides = mean * (1 + variability * np.clip(random.normal(size=120), -2, 2))
    shares = np.clip(swing + 0.01 * random.normal(size=120), 0.2, 0.5)
    series = load(strides, shares)
    found = stride_features(both(series, series), RATE)
    assert found["stride_time"] == pytest.approx(np.median(strides), rel=0.01)
    assert found["stride_time_variability"] == pytest.approx(strides.std() / mean, rel=0.15, abs=0.003)
    assert found["swing_share"] == pytest.approx(swing, abs=0.02)
    assert found["swing_share_variability"] == pytest.approx(shares.std(), rel=0.35, abs=0.002)


def test_turns_and_a_gap_do_not_count_as_variability() -> None:
    random = np.random.default_rng(3)
    strides = 1.1 + 0.02 * np.clip(random.normal(size=200), -2, 2)
    quiet = stride_features(both(*[load(strides, np.full(200, 0.37))] * 2), RATE)
    strides[[40, 90, 140]] = 1.9
    series = load(strides, np.full(200, 0.37))
    series[5_000:5_430] = math.nan
    disturbed = stride_features(both(series, series), RATE)
    assert disturbed["stride_time_variability"] == pytest.approx(quiet["stride_time_variability"], rel=0.15)
    across = strides_of(series, RATE)
    assert not np.any((across[:, 0] < 50.0) & (across[:, 2] > 54.3))


def test_a_flicker_of_the_sensor_makes_no_stride() -> None:
    series = load(np.full(30, 1.1), np.full(30, 0.37))
    clean = strides_of(series, RATE)
    swing = int((clean[10, 1] + 0.2) * RATE)
    series[swing : swing + 4] = 0.3
    np.testing.assert_allclose(strides_of(series, RATE), clean)


def test_nobody_walking_is_unknown_and_unknown_is_neutral() -> None:
    empty = np.zeros((3_000, 2))
    assert all(math.isnan(value) for value in stride_features(empty, RATE).values())
    assert scaled_features(np.full((3_000, 2), -1.0, dtype=np.float32), RATE) == [0.0] * len(FEATURES)
    assert scaled_features(np.zeros((3_000, 2), dtype=np.float32), RATE) == [0.0] * len(FEATURES)


def test_one_foot_is_enough_where_the_other_sensor_failed() -> None:
    series = load(np.full(60, 1.2), np.full(60, 0.4))
    alone = stride_features(both(series, np.full(series.size, math.nan)), RATE)
    assert alone["stride_time"] == pytest.approx(1.2, rel=0.01)
    assert alone["swing_share"] == pytest.approx(0.4, abs=0.02)


def test_the_encoder_sees_the_same_through_windows() -> None:
    random = np.random.default_rng(5)
    series = load(1.2 + 0.05 * random.normal(size=200), np.full(200, 0.35))
    series[9_000:9_100] = math.nan
    loads = both(series, np.roll(series, 60))
    signals = Signals(np.arange(loads.shape[0]) / RATE, NAMES, loads.astype(np.float32))
    window = Input(channels=(NAMES[1], NAMES[0]), rate_hz=RATE, window_s=200.0, hop_s=100.0, max_windows=1)
    windows = cut_windows(signals, window)
    model = build(ModelSpec("strides", 1, 1, 0, "all", window, ("healthy", "patient"), "0" * 64))
    assert model.frozen
    assert sum(parameter.numel() for parameter in model.private_parameters()) == 2 * (len(FEATURES) + 1)
    values = stride_features(loads[:20_000], RATE)
    expected = [feature.scaled(values[feature.name]) for feature in FEATURES]
    np.testing.assert_allclose(model.encoder(torch.from_numpy(windows))[0].numpy(), expected, atol=0.05)
    assert np.all(np.abs(expected) <= LIMIT)


def test_other_channels_are_refused() -> None:
    window = Input(channels=("knee_flexion_left",))
    with pytest.raises(GaitkeeperError) as error:
        build(ModelSpec("strides", 1, 1, 0, "all", window, ("healthy", "patient"), "0" * 64))
    assert (error.value.code, error.value.exit_status) == ("model-channels", 2)


def test_symmetry_of_channels_without_published_constants_is_refused() -> None:
    window = Input(channels=NAMES)
    with pytest.raises(GaitkeeperError, match="foot_force_left") as error:
        build(ModelSpec("lstm", 4, 1, 0, "all", window, ("healthy", "patient"), "0" * 64, branch="symmetry"))
    assert (error.value.code, error.value.exit_status) == ("model-channels-unfit", 2)
