"""``gaitkeeper coordinator start`` as a process, for as long as it is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gaitkeeper_server.home import CoordinatorHome

START_S = 180.0


def children(home: CoordinatorHome) -> dict[str, int]:
    """Process ids of the coordinator's children by name."""
    try:
        status = json.loads((home.run / "coordinator.json").read_text("ascii"))
    except (OSError, ValueError):
        return {}
    return {child["name"]: child["pid"] for child in status["children"] if child["pid"]}


@contextmanager
def coordinator(home: CoordinatorHome) -> Iterator[subprocess.Popen[bytes]]:
    """``gaitkeeper coordinator start``, until the block ends."""
    command = [sys.executable, "-m", "gaitkeeper_shared.cli", "coordinator", "start", "--home", str(home.path)]
    # A registry of its own would only start its server beside what is measured.
    registry = {"MLFLOW_TRACKING_URI": f"sqlite:///{home.path.parent / 'registry.sqlite'}"}
    with (home.path.parent / "service.log").open("wb") as log:
        service = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **registry})
    try:
        until(lambda: (home.run / "superlink.ready").exists() and "superlink" in children(home), START_S)
        yield service
    finally:
        service.terminate()
        service.wait(60)


def until(condition: Callable[[], bool], seconds: float, every_s: float = 0.1) -> None:
    """Wait for it, asking again and again. Raises RuntimeError after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"not within {seconds:.0f} s")
        time.sleep(every_s)
