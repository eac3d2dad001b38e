"""Model versions in MLflow: weights as safetensors, the study, the parents, the hash of it all. No pickle anywhere.

By default MLflow's own SQLite database and artefact folder in the coordinator's home; ``MLFLOW_TRACKING_URI`` names a
server that exists. All versions of one coordinator are numbered through, whatever their study, so that "version 7" is
one model in every command, order and report.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaitkeeper_shared.cli import quiet_environment
from gaitkeeper_shared.durable import leave_tree_to_owner
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.printable import without_credentials
from gaitkeeper_shared.study import parse_study, study_hash

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion
    from mlflow.tracking import MlflowClient

    from gaitkeeper_server.home import CoordinatorHome
    from gaitkeeper_shared.models.bundle import ModelBundle

MODEL_NAME = "gaitkeeper"
"""Name of the registered model in MLflow."""

MODEL_FILE, STUDY_FILE, CARD_FILE = "model.safetensors", "study.toml", "card.json"
_FOLDER = "model"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered version. ``parents``: the versions it was trained on from; ``metrics``: as registered with it."""

    version: int
    study_name: str
    study_hash: str
    run: str
    sha256: str
    parents: tuple[int, ...]
    metrics: Mapping[str, float]
    created_at: str
    source: str


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One value of a run's metric, at a step (the round) and a time in seconds since the epoch."""

    name: str
    value: float
    step: int
    time_s: float


class Registry:
    """The registry of a coordinator. Importing MLflow and making its database takes seconds, once."""

    def __init__(self, home: CoordinatorHome) -> None:
        self._folder = home.path / "mlflow"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow keeps its records: ``MLFLOW_TRACKING_URI``, or the coordinator's own database."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self._folder / 'mlflow.sqlite'}"

    @property
    def embedded(self) -> bool:
        """Whether records lie in the coordinator's home."""
        return not os.environ.get("MLFLOW_TRACKING_URI")

    def prepare(self) -> None:
        """Make the database now rather than at the first use."""
        with _trouble():
            self._client.search_registered_models(max_results=1)

    def register(
        self,
        bundle: ModelBundle,
        study: bytes,
        parents: Iterable[int] = (),
        metrics: Mapping[str, float] | None = None,
        *,
        run: str,
    ) -> int:
        """Register ``bundle``, which came out of ``run``, with its study file. Returns the version's number.

        The same run registers one version only: asked again, after a crash say, it is given back.
        """
        data = bundle.to_bytes()
        parsed = parse_study(study)
        values = {name: float(value) for name, value in (metrics or {}).items()}
        with _trouble():
            known = self._find(f"tags.`gaitkeeper.run` = '{run}'")
            if known:
                return int(known[0].version)
            made = self.open_run(run, study)
            card = {
                "schema": "gaitkeeper.model-card/1",
                "study": parsed.name,
                "study_hash": study_hash(study),
                "run": run,
                "sha256": hashlib.sha256(data).hexdigest(),
                "parents": sorted(int(parent) for parent in parents),
                "metrics": values,
            }
            self._store(made, {MODEL_FILE: data, STUDY_FILE: study, CARD_FILE: json.dumps(card, indent=1).encode()})
            self._ensure_model()
            tags = {f"gaitkeeper.{key}": _tag(value) for key, value in card.items()}
            version = self._client.create_model_version(
                MODEL_NAME, source=f"{made.info.artifact_uri}/{_FOLDER}", run_id=made.info.run_id, tags=tags
            )
            return int(version.version)

    def versions(self) -> tuple[ModelVersion, ...]:
        """Every registered version, the oldest first."""
        with _trouble():
            return tuple(sorted((_version(item) for item in self._find("")), key=lambda item: item.version))

    def version(self, number: int) -> ModelVersion:
        """One version. Raises ``model-version-unknown``."""
        for item in self.versions():
            if item.version == number:
                return item
        raise GaitkeeperError("model-version-unknown", version=number)

    def bundle_bytes(self, version: int) -> bytes:
        """The model of a version as ``ModelBundle`` bytes, their hash checked."""
        found = self.version(version)
        data = self._read(version, MODEL_FILE)
        if hashlib.sha256(data).hexdigest() != found.sha256:
            raise GaitkeeperError("model-version-damaged", version=version)
        return data

    def study_bytes(self, version: int) -> bytes:
        """The study file of a version, its hash checked."""
        found = self.version(version)
        data = self._read(version, STUDY_FILE)
        if study_hash(data) != found.study_hash:
            raise GaitkeeperError("model-version-damaged", version=version)
        return data

    def open_run(self, run: str, study: bytes) -> Run:
        """The MLflow run of a study run; made at the first call. One experiment per study."""
        parsed = parse_study(study)
        experiment = self._experiment(parsed.name)
        found = self._client.search_runs([experiment], f"tags.`gaitkeeper.run` = '{run}'", max_results=1)
        if found:
            return found[0]
        tags = {"gaitkeeper.run": run, "gaitkeeper.study_hash": study_hash(study)}
        made = self._client.create_run(experiment, run_name=run, tags=tags)
        for name, value in _parameters(parsed).items():
            self._client.log_param(made.info.run_id, name, value)
        return made

    def log(self, run: str, study: bytes, points: Iterable[MetricPoint], state: str | None = None) -> None:
        """Add metric values to a run's MLflow run; with a terminal ``state`` close it."""
        from mlflow.entities import Metric

        with _trouble():
            made = self.open_run(run, study)
            metrics = [Metric(p.name, p.value, int(p.time_s * 1000), p.step) for p in points]
            for start in range(0, len(metrics), 500):
                self._client.log_batch(made.info.run_id, metrics=metrics[start : start + 500])
            if state is not None:
                self._client.set_tag(made.info.run_id, "gaitkeeper.state", state)
                finished = "FINISHED" if state in ("succeeded", "degraded") else "FAILED"
                self._client.set_terminated(made.info.run_id, finished)

    @cached_property
    def _client(self) -> MlflowClient:
        quiet_environment()
        if self.embedded:
            self._folder.mkdir(parents=True, exist_ok=True)
            atexit.register(leave_tree_to_owner, self._folder)  # MLflow makes files of its own for whoever calls it
        # Read when MLflow is imported: a command's output is its own.
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        # MLflow's own patience with a server that does not answer is five minutes; who knows better says so.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    def _experiment(self, study_name: str) -> str:
        name = f"{MODEL_NAME}/{study_name}"
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = (self._folder / "artifacts" / study_name).as_uri() if self.embedded else None
        return str(self._client.create_experiment(name, artifact_location=location))

    def _ensure_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(MODEL_NAME)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _find(self, condition: str) -> list[MlflowVersion]:
        query = f"name = '{MODEL_NAME}'" + (f" and {condition}" if condition else "")
        found: list[MlflowVersion] = []
        token = None
        while True:
            page = self._client.search_model_versions(query, page_token=token)
            found.extend(page)
            token = page.token
            if not token:
                return found

    def _store(self, run: Run, files: Mapping[str, bytes]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                path = Path(folder) / name
                path.write_bytes(data)
                self._client.log_artifact(run.info.run_id, str(path), _FOLDER)

    def _read(self, version: int, name: str) -> bytes:
        with _trouble(), tempfile.TemporaryDirectory() as folder:
            found = self._client.get_model_version(MODEL_NAME, str(version))
            path = self._client.download_artifacts(str(found.run_id), f"{_FOLDER}/{name}", folder)
            return Path(path).read_bytes()


def _version(item: MlflowVersion) -> ModelVersion:
    tags = item.tags
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(item.creation_timestamp or 0) / 1000))
    return ModelVersion(
        version=int(item.version),
        study_name=tags.get("gaitkeeper.study", ""),
        study_hash=tags.get("gaitkeeper.study_hash", ""),
        run=tags.get("gaitkeeper.run", ""),
        sha256=tags.get("gaitkeeper.sha256", ""),
        parents=tuple(json.loads(tags.get("gaitkeeper.parents", "[]"))),
        metrics=json.loads(tags.get("gaitkeeper.metrics", "{}")),
        created_at=created,
        source=str(item.source),
    )


def _tag(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _parameters(study: Any) -> dict[str, str | int | float]:
    return {
        "rounds": study.training.rounds,
        "local_steps": study.training.local_steps,
        "learning_rate": study.training.learning_rate,
        "model": f"{study.model.kind} {study.model.layers}x{study.model.hidden}",
        "labels": ", ".join(study.task.labels),
        "privacy_unit": "patient",
        "trust": study.privacy.trust,
        "epsilon": study.privacy.epsilon,
        "delta": study.privacy.delta,
        "clip_norm": study.privacy.clip_norm,
        "sample_rate": study.privacy.sample_rate,
        "quorum": study.federation.quorum,
    }


@contextmanager
def _trouble() -> Iterator[None]:
    """Turn MLflow's errors into the catalogue's."""
    try:
        yield
    except GaitkeeperError:
        raise
    except Exception as error:
        # MLflow passes on what its database driver or its HTTP client raises, beside its own MlflowException.
        lines = str(error).splitlines() or [type(error).__name__]
        # What it says often holds the address it was given, password and all.
        said = without_credentials(lines[0])[:300]
        raise GaitkeeperError("registry-failed", detail=f"{type(error).__name__}: {said}") from error
