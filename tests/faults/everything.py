"""The matrix and every other measurement, one after the other, each as a command of its own."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.faults.outcomes import ROOT

NOT_HERE = 2
"""Exit status of a measurement that this machine cannot make; it says itself why."""
_END_S = 120.0
"""For a part that is asked to end: it ends its processes and removes its folders."""


def main(words: Sequence[str]) -> int:
    """Run all; 0 where every part was as it should be, or cannot be measured here, 130 where interrupted, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults all",
        description="Matrix, load, crowd, soak and watch, one after the other; each writes its section of "
        "docs/faults.md. The matrix takes an hour, the soak half an hour, load and crowd some minutes.",
        allow_abbrev=False,
    )
    parser.add_argument("--watch-minutes", type=float, default=120.0, help="for the camera (default: %(default).0f)")
    asked = parser.parse_args(words)
    watch = ("watch", "--minutes", f"{asked.watch_minutes:g}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the part that runs is ended
    ends: dict[str, tuple[int, float]] = {}
    for name, part in {"matrix": (), "load": ("load",), "crowd": ("crowd",), "soak": ("soak",), "watch": watch}.items():
        print(f"\n== {name}", flush=True)
        started = time.monotonic()
        try:
            ends[name] = _run(part), time.monotonic() - started
        except KeyboardInterrupt:
            print(f"interrupted in {name}: the page tells what was run", flush=True)
            return 130
    return _told(ends)


def _run(part: Sequence[str]) -> int:
    """One part, in a group of its own, so that Ctrl-C reaches it once; its exit status."""
    command = [sys.executable, "-m", "tests.faults", *part]
    with subprocess.Popen(command, cwd=ROOT, process_group=0) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            os.kill(process.pid, signal.SIGTERM)
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


def _told(ends: dict[str, tuple[int, float]]) -> int:
    words = {0: "as it should be", NOT_HERE: "not measured here: it says above why"}
    print("\n== all")
    for name, (status, seconds) in ends.items():
        print(f"{name:7} {seconds / 60:5.0f} min  {words.get(status, f'NOT as it should be (exit status {status})')}")
    return int(any(status not in words for status, _ in ends.values()))
