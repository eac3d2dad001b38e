"""Faults of the registry: MLflow's server dies, or the process that registers a run, at a moment of its work."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.faults.stage import MOMENT_S, Stage
from tests.faults.trapped_publisher import WHO
from tests.faults.words import summary

from gaitkeeper_shared.ports import free_port

_WITHIN_S = 300.0
"""For MLflow to start, or a run to be registered: on a busy machine each has taken more than two minutes."""


def registry_killed(stage: Stage, victim: str, moment: str) -> str:
    """Kill while a run is being registered, then register it again: it is registered in the end, and once."""
    run = stage.begin(rounds=1)
    ended = summary(stage.end_of(run))
    folder = stage.folder / f"mlflow-{victim}-{moment}"
    folder.mkdir()
    port = free_port()
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
    trap = stage.trap(WHO, moment)
    with contextlib.ExitStack() as running:
        server = running.enter_context(_mlflow(folder, port))
        with _publisher(stage, run, environment) as first:
            try:
                stage.wait(trap.hit, MOMENT_S)
                _kill(server if victim == "server" else first)
            finally:
                trap.release()
            first.wait(_WITHIN_S)
        told = _told(stage, run)
        if victim == "server":
            running.enter_context(_mlflow(folder, port))
        with _publisher(stage, run, environment) as second:
            second.wait(_WITHIN_S)
        versions = _versions(environment)
    return f"{ended}; {told}, then {_told(stage, run)}, {versions} version"


def _told(stage: Stage, run: str) -> str:
    """What the journal knows of it."""
    record = stage.journal.run(run)
    return "registered" if record.published and record.model_version else "not registered"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With its children: MLflow's command is the parent of what serves."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


@contextlib.contextmanager
def _mlflow(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's own server, which answers."""
    database = f"sqlite:///{folder / 'mlflow.sqlite'}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--port", str(port)]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--workers", "1"]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        _await_mlflow(port)
        yield process
    finally:
        _kill(process)


def _await_mlflow(port: int) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


@contextlib.contextmanager
def _publisher(stage: Stage, run: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The registry's process, as the coordinator's service starts it: settings on standard input, which stays open."""
    settings = {"home": str(stage.home.path), "journal": str(stage.home.path / "journal.sqlite"), "run": run}
    with (stage.home.logs / "registry.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.trapped_publisher"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        process.stdin.flush()
        yield process
    finally:
        _kill(process)


def _versions(environment: dict[str, str]) -> int:
    from mlflow import MlflowClient

    client = MlflowClient(environment["MLFLOW_TRACKING_URI"])
    return len(client.search_model_versions("name='gaitkeeper'"))
