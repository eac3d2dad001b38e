"""Model versions in a real MLflow: what was registered comes back, once per run, without a pickle anywhere."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from gaitkeeper_server.backup import relocate_registry
from gaitkeeper_server.cli.rehearse import _register
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.registry import Registry
from gaitkeeper_server.releases.promotion import validation_of
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.publish import pooled_accuracy, publish_run
from gaitkeeper_server.rounds.rehearsal import RehearsalReport
from gaitkeeper_server.rounds.states import Outcome, RunState, SiteOutcome
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.ports import free_port
from gaitkeeper_shared.study import parse_study, study_hash
from gaitkeeper_shared.trust.release import Validation

STUDY = b"""
name = "registered"
[task]
labels = ["healthy", "patient"]
[input]
channels = ["hip_flexion_left", "knee_flexion_left"]
[training]
rounds = 2
[privacy]
epsilon = 5.0
delta = 1e-5
clip_norm = 1.0
sample_rate = 0.5
patients_per_site = 10
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield Registry(CoordinatorHome(tmp_path_factory.mktemp("coordinator")))


@pytest.fixture(scope="module")
def bundle() -> ModelBundle:
    return ModelBundle.initial(ModelSpec.of(parse_study(STUDY), study_hash(STUDY)))


def test_a_version_comes_back_as_it_was_registered(registry: Registry, bundle: ModelBundle) -> None:
    first = registry.register(bundle, STUDY, (), {"noised_accuracy": 0.75}, run="run-1")
    second = registry.register(bundle, STUDY, (first,), {}, run="run-2")
    assert second == first + 1
    assert registry.bundle_bytes(first) == bundle.to_bytes()
    assert registry.study_bytes(second) == STUDY
    found = registry.version(second)
    assert (found.study_name, found.parents, found.run) == ("registered", (first,), "run-2")
    assert registry.version(first).metrics == {"noised_accuracy": 0.75}


def test_a_run_registers_one_version_however_often_it_is_asked(registry: Registry, bundle: ModelBundle) -> None:
    version = registry.register(bundle, STUDY, run="run-again")
    assert registry.register(bundle, STUDY, run="run-again") == version


def test_changed_weights_on_disk_are_refused(registry: Registry, bundle: ModelBundle) -> None:
    version = registry.register(bundle, STUDY, run="run-changed")
    source = registry.version(version).source.removeprefix("file://")
    path = Path(source) / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(GaitkeeperError) as error:
        registry.bundle_bytes(version)
    assert error.value.code == "model-version-damaged"


def test_an_unknown_version_is_said_to_be_unknown(registry: Registry) -> None:
    with pytest.raises(GaitkeeperError) as error:
        registry.bundle_bytes(4711)
    assert error.value.code == "model-version-unknown"


def test_a_run_of_the_journal_becomes_metrics_and_a_version(
    registry: Registry, bundle: ModelBundle, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.request_run("run-journal", STUDY, ["a", "b"], bundle.weights)
    for number in (1, 2):
        journal.open_round("run-journal", number, ["a", "b"])
        for site in ("a", "b"):
            # The last two are what an older journal may hold from a hostile site; MLflow refuses such a name for ever.
            counts = {"evaluated": 20.0, "correct": 15.0, "noise_std": 1.0, "a\nb?": 1.0, "odd": float("nan")}
            metrics = counts if number == 2 else {}
            outcome = SiteOutcome(site, Outcome.INCLUDED, epsilon_spent=number / 2, delta=1e-5, metrics=metrics)
            journal.record_outcome("run-journal", number, outcome, bundle.weights)
        journal.commit_round("run-journal", number, bundle.weights)
    journal.set_run_state("run-journal", RunState.SUCCEEDED)
    version = publish_run(journal, registry, "run-journal")
    assert version is not None
    assert publish_run(journal, registry, "run-journal") == version
    assert registry.bundle_bytes(version) == bundle.to_bytes()
    assert registry.version(version).metrics == {
        "rounds": 2.0, "sites": 2.0, "epsilon_spent": 1.0, "delta": 1e-5, "noised_accuracy": 0.75,
        "evaluating_sites": 2.0,
    }  # fmt: skip
    assert validation_of(registry.version(version).metrics) == Validation(sites=2, rounds=2, accuracy=0.75)
    made = registry.open_run("run-journal", STUDY)
    assert made.data.metrics["epsilon_spent.a"] == 1.0
    assert made.data.metrics["delta"] == 1e-5
    assert made.data.metrics["noised_accuracy"] == 0.75
    assert not [name for name in made.data.metrics if name.startswith(("a\n", "odd"))]
    assert made.data.tags["gaitkeeper.state"] == "succeeded"


@pytest.mark.parametrize("epsilon", [4.5, math.inf])
def test_a_rehearsed_model_has_its_epsilon_with_its_delta(
    registry: Registry, bundle: ModelBundle, epsilon: float
) -> None:
    report = RehearsalReport(epsilon, 1e-5, 1.1, 3, {"site-1": 5}, 5, {"healthy": 3}, None, None, 1.0, bundle)
    version = _register(registry, report, STUDY, ())
    price = {"epsilon_spent": 4.5, "delta": 1e-5} if epsilon == 4.5 else {}
    assert registry.version(version).metrics == {"rounds": 3.0, "sites": 1.0, **price}


def test_no_accuracy_is_told_where_noise_would_drown_it() -> None:
    few = SiteOutcome("a", Outcome.INCLUDED, metrics={"evaluated": 5.0, "correct": 9.0, "noise_std": 4.0})
    assert pooled_accuracy([few]) is None
    assert pooled_accuracy([]) is None


def test_versions_lie_on_an_mlflow_server_that_exists(
    tmp_path: Path, bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real MLflow server on a free port: versions go there and come back; when it is gone, an error says so."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.sqlite",
        "--artifacts-destination",
        f"{tmp_path}/files",
    ]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    remote = Registry(CoordinatorHome(tmp_path / "coordinator"))
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", server, deadline_s=300)
        version = remote.register(bundle, STUDY, (), {"noised_accuracy": 0.5}, run="run-remote")
        assert remote.bundle_bytes(version) == bundle.to_bytes()
        assert not (tmp_path / "coordinator" / "mlflow").exists()
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(timeout=30)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://anna:s3cr@t@127.0.0.1:{port}")
    with pytest.raises(GaitkeeperError) as error:
        remote.versions()
    assert error.value.code == "registry-failed"
    assert f"127.0.0.1:{port}" in error.value.message
    assert "s3cr" not in str(error.value)


def _wait_for(url: str, server: subprocess.Popen[bytes], *, deadline_s: float) -> None:
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        assert server.poll() is None, "the MLflow server ended"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the MLflow server did not answer")


def test_versions_follow_the_coordinator_to_another_folder(
    registry: Registry, bundle: ModelBundle, tmp_path: Path
) -> None:
    version = registry.register(bundle, STUDY, run="run-that-moves")
    old, new = Path(registry.tracking_uri.removeprefix("sqlite:///")).parent, CoordinatorHome(tmp_path / "a new place")
    shutil.copytree(old, new.path / old.name)
    relocate_registry(new.path / old.name, old.parent, new.path)
    moved = Registry(new)
    assert moved.bundle_bytes(version) == bundle.to_bytes()
    assert moved.version(version).source.startswith((new.path / old.name).as_uri())
    assert moved.open_run("run-that-moves", STUDY).info.artifact_uri.startswith((new.path / old.name).as_uri())
    following = moved.register(bundle, STUDY, run="run-after")
    assert moved.version(following).source.startswith((new.path / old.name).as_uri())
    assert following not in {item.version for item in registry.versions()}
