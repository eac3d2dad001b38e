"""First weights from synthetic patients: made alike everywhere, registered once, and only the encoder's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gaitkeeper_server.cli import app
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.pretraining.start import first_weights, registered_start
from gaitkeeper_server.pretraining.synthetic import synthetic_windows
from gaitkeeper_server.pretraining.train import PretrainOptions, pretrain
from gaitkeeper_server.registry.registry import Registry
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.study import parse_study, study_hash

STUDY = b"""
name = "start-test"
[task]
labels = ["healthy", "patient"]
[input]
channels = ["hip_flexion_left", "hip_flexion_right", "pelvis_speed"]
rate_hz = 15.0
window_s = 2.0
hop_s = 2.0
[model]
kind = "gru"
hidden = 5
features = 2
branch = "symmetry"
start = "synthetic"
trained = "head"
[training]
rounds = 2
[privacy]
epsilon = 8.0
delta = 1e-2
clip_norm = 0.5
sample_rate = 0.5
patients_per_site = 8
"""
STUDY_VALUE = parse_study(STUDY)
SPEC = ModelSpec.of(STUDY_VALUE, study_hash(STUDY))
FEW = PretrainOptions(patients=6, steps=8, seed=3)


def test_synthetic_windows_are_half_healthy_and_have_gaps_of_their_own() -> None:
    data = synthetic_windows(STUDY_VALUE.input, 6, seed=5)
    assert data.windows.shape[1:] == (30, 3)
    assert np.isfinite(data.windows).all()
    by_patient = [data.classes[data.patients == number][0] for number in range(6)]
    assert by_patient == [0, 1, 0, 2, 0, 3]
    again = synthetic_windows(STUDY_VALUE.input, 1, seed=5).windows
    assert np.array_equal(data.windows[: len(again)], again)
    assert not np.array_equal(
        data.windows, synthetic_windows(STUDY_VALUE.input, 6, seed=6).windows[: len(data.windows)]
    )


def test_the_encoder_is_trained_and_the_head_is_as_it_was_drawn() -> None:
    made = pretrain(SPEC, FEW)
    drawn = ModelBundle.initial(SPEC).weights
    assert 0.0 <= made.accuracy <= 1.0
    for name, array in made.bundle.weights.items():
        assert np.array_equal(array, drawn[name]) == name.startswith("head."), name
    assert made.bundle.to_bytes() == pretrain(SPEC, FEW).bundle.to_bytes()


def test_a_run_starts_from_the_encoder_with_its_own_head() -> None:
    start = ModelBundle(SPEC, {name: array + 1.0 for name, array in ModelBundle.initial(SPEC).weights.items()})
    drawn, first = ModelBundle.initial(SPEC).weights, first_weights(SPEC, start)
    assert list(first) == list(drawn)
    for name, array in first.items():
        assert np.array_equal(array, drawn[name] if name.startswith("head.") else start.weights[name])
    assert all(np.array_equal(array, drawn[name]) for name, array in first_weights(SPEC, None).items())
    smaller = ModelSpec.of(parse_study(STUDY.replace(b"hidden = 5", b"hidden = 4")), "0" * 64)
    with pytest.raises(GaitkeeperError) as error:
        first_weights(smaller, start)
    assert error.value.code == "model-damaged"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b'kind = "gru"', b'kind = "symmetry"', "pretrain-nothing"),
        # Its branch of symmetries has nothing to read in foot forces: that is said when the study is read.
        (b'"pelvis_speed"', b'"foot_force_left"', "study-bad-value"),
    ],
)
def test_nothing_to_pretrain_is_said_before_anything_is_simulated(old: bytes, new: bytes, code: str) -> None:
    data = STUDY.replace(old, new).replace(b"features = 2\nbranch", b"branch")
    with pytest.raises(GaitkeeperError) as error:
        pretrain(ModelSpec.of(parse_study(data), study_hash(data)), PretrainOptions(patients=10**6))
    assert (error.value.code, error.value.exit_status) == (code, 2)


def test_it_is_registered_once_and_a_run_that_needs_it_waits_for_it(tmp_path: Path) -> None:
    study, registry = tmp_path / "study.toml", Registry(CoordinatorHome(tmp_path / "home"))
    study.write_bytes(STUDY)
    with pytest.raises(GaitkeeperError) as error:
        registered_start(registry, STUDY_VALUE, study_hash(STUDY))
    assert (error.value.code, error.value.exit_status) == ("model-start-missing", 2)
    arguments = ["pretrain", str(study), "--patients", "10", "--steps", "4", "--home", str(tmp_path / "home"), "--json"]
    first, second = (json.loads(CliRunner().invoke(app, arguments).stdout) for _ in range(2))
    assert (first["made"], second["made"]) == (True, False)
    assert first["model_version"] == second["model_version"]
    found = registered_start(registry, STUDY_VALUE, study_hash(STUDY))
    assert found is not None
    assert found[0] == first["model_version"]
    assert found[1].spec == SPEC
    at_random = parse_study(STUDY.replace(b'start = "synthetic"\n', b""))
    assert registered_start(registry, at_random, "0" * 64) is None
