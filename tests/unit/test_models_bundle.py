"""Windows, models and their bytes: deterministic, checked, and safe against hostile bytes."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.channels import CHANNEL_BY_NAME
from gaitkeeper_shared.models.registry import kinds
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.models.windows import cut_windows, windows_of_person
from gaitkeeper_shared.recording import Signals
from gaitkeeper_shared.study import Input

CHANNELS = ("knee_flexion_left", "pelvis_speed", "trunk_lean")
WINDOW = Input(channels=CHANNELS, rate_hz=20.0, window_s=1.0, hop_s=0.5, max_windows=5)
FORCES = dataclasses.replace(WINDOW, channels=("foot_force_left", "foot_force_right"))
SPEC = ModelSpec("lstm", 6, 1, 4, "all", WINDOW, ("healthy", "patient"), "a" * 64)


def signals(seconds: float, rate: float = 60.0, names: tuple[str, ...] = CHANNELS) -> Signals:
    time_s = np.arange(int(seconds * rate) + 1) / rate
    values = np.stack([np.sin(time_s * (i + 1)) * 10 for i in range(len(names))], axis=1)
    return Signals(time_s, names, values.astype(np.float32))


def test_windows_are_scaled_resampled_and_half_a_second_apart() -> None:
    source = signals(3.0)
    windows = cut_windows(source, WINDOW)
    assert windows.shape == (5, 20, 3)
    channel = CHANNEL_BY_NAME["knee_flexion_left"]
    expected = (np.sin(0.5) * 10 - channel.center) / channel.spread
    assert windows[1, 0, 0] == pytest.approx(expected, abs=1e-4)
    assert cut_windows(signals(0.9), WINDOW).shape == (0, 20, 3)


def test_unknown_values_are_neutral_and_too_many_of_them_leave_the_window_out() -> None:
    source = signals(3.0)
    source.values[:, 2] = np.nan
    windows = cut_windows(source, WINDOW)
    assert windows.shape[0] == 5
    assert np.all(windows[:, :, 2] == 0.0)
    source.values[:, 1] = np.nan
    assert cut_windows(source, WINDOW).shape[0] == 0
    assert cut_windows(signals(3.0, names=CHANNELS[:2]), WINDOW).shape[0] == 5


@given(st.lists(st.floats(1.0, 9.0), max_size=5), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_a_person_gives_at_most_max_windows_from_first_to_last(lengths: list[float], most: int) -> None:
    window = dataclasses.replace(WINDOW, max_windows=most)
    recordings = [signals(length) for length in lengths]
    everything = [cut_windows(one, window) for one in recordings]
    picked = windows_of_person(recordings, window)
    total = sum(cut.shape[0] for cut in everything)
    assert picked.shape[0] == min(most, total)
    if most > 1 and picked.shape[0] > 1:
        assert np.array_equal(picked[0], everything[0][0])
        assert np.array_equal(picked[-1], everything[-1][-1])


@pytest.mark.parametrize("kind", kinds())
def test_models_are_the_same_everywhere_and_survive_their_bytes(kind: str) -> None:
    window = FORCES if kind == "strides" else WINDOW
    spec = dataclasses.replace(SPEC, kind=kind, layers=2, input=window)
    bundle = ModelBundle.initial(spec)
    data = bundle.to_bytes()
    assert data == ModelBundle.initial(spec).to_bytes()
    other = ModelBundle.initial(dataclasses.replace(spec, seed=5))
    assert other.to_bytes() != data
    again = ModelBundle.from_bytes(data)
    assert again.spec == spec
    windows = cut_windows(signals(3.0, names=window.channels), window)
    probabilities = again.predict(windows)
    assert np.array_equal(probabilities, bundle.predict(windows))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(again.predict_person(windows), probabilities.mean(axis=0), rtol=1e-5)


def test_building_a_model_leaves_the_global_generator_alone() -> None:
    import torch

    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    ModelBundle.initial(SPEC)
    assert torch.equal(torch.rand(3), expected)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_hostile_bytes_are_a_catalogue_error_or_a_checked_model(data: st.DataObject) -> None:
    good = bytearray(ModelBundle.initial(SPEC).to_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(good) - 1))
        good[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    for candidate in (bytes(good), bytes(good[:cut])):
        try:
            bundle = ModelBundle.from_bytes(candidate)
        except GaitkeeperError:
            continue
        assert all(np.isfinite(array).all() for array in bundle.weights.values())


def _with_header(**changes: object) -> bytes:
    bundle = ModelBundle.initial(SPEC)
    table = {**SPEC.to_json(), **changes}
    header = json.dumps({"schema": "gaitkeeper.model/1", "spec": table})
    return save(dict(bundle.weights), metadata={"header": header})


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": 10**9},
        {"hidden": 7},
        {"layers": 0},
        {"kind": "pickle"},
        {"labels": ["one"]},
        {"labels": "healthy"},
        {"trained": "none"},
        {"input": {**SPEC.to_json()["input"], "channels": ["nothing"]}},
        {"input": {**SPEC.to_json()["input"], "window_s": 1e9}},
        {"input": {**SPEC.to_json()["input"], "surprise": 1}},
        {"kind": "strides"},
        {"seed": "x"},
        {"surprise": 1},
    ],
)
def test_a_header_that_lies_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(GaitkeeperError) as error:
        ModelBundle.from_bytes(_with_header(**changes))
    assert error.value.code in ("model-damaged", "model-kind-unknown", "model-channels")


def test_weights_that_are_no_numbers_are_refused() -> None:
    bundle = ModelBundle.initial(SPEC)
    weights = {name: array.copy() for name, array in bundle.weights.items()}
    weights["head.bias"][0] = np.nan
    with pytest.raises(GaitkeeperError, match="finite"):
        ModelBundle.from_bytes(ModelBundle(SPEC, weights).to_bytes())
