"""Processes that play many sites as threads: told what to do by a line of JSON, they tell by lines of JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

from tests.faults.outcomes import ROOT


def begin_worker(module: str, asked: Mapping[str, object]) -> subprocess.Popen[str]:
    """Start ``module`` and tell it what is ``asked``. Whoever began it ends it."""
    worker = subprocess.Popen(
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(asked) + "\n")
    worker.stdin.flush()
    return worker
