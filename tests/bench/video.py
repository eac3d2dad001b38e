"""Rendered videos of a walker who goes to and fro, and ``gaitkeeper analyze`` on them in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RATE_HZ = 30.0
SIZE = (960, 540)
STRIDES = 5
TIMEOUT_S = 600.0
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Measured:
    """A process: seconds from its start to its end, its highest resident memory in MiB, what it printed as JSON."""

    seconds: float
    peak_mib: float
    output: dict[str, Any]


def render(path: Path, passes: int, size: tuple[int, int] = SIZE) -> int:
    """Write a video of a walker who crosses the picture ``passes`` times; the number of its frames.

    Every second pass is the mirrored one, so that the walker is where they left it, on the way back.
    """
    import cv2

    from gaitkeeper_shared.simulation.camera import camera_for
    from gaitkeeper_shared.simulation.disorders import pattern_of
    from gaitkeeper_shared.simulation.patient import draw_patient
    from gaitkeeper_shared.simulation.render import frames
    from gaitkeeper_shared.simulation.walker import Walk

    patient = draw_patient("bench", "healthy", 5)
    walk = Walk(patient, (STRIDES + 1.1) * pattern_of(patient).stride_time)
    camera = camera_for(walk.trajectories(100.0).positions, size, "side", "left_to_right")
    images = list(frames(walk, camera, RATE_HZ))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE_HZ, size)
    try:
        for number in range(passes):
            for image in images:
                writer.write(cv2.flip(image, 1) if number % 2 else image)
    finally:
        writer.release()
    return passes * len(images)


def run(module: str, *arguments: object, timeout_s: float = TIMEOUT_S) -> Measured:
    """Run a module of this folder, which prints one line of JSON and its peak memory after it."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise RuntimeError(f"{module} ended with {done.returncode}: {done.stderr[-2000:]}")
    output, peak = done.stdout.rsplit("\n", 2)[:2]
    return Measured(seconds, float(peak), json.loads(output))


def analyse(
    path: Path, folder: Path, module: str = "tests.bench.analyze_process", timeout_s: float = TIMEOUT_S
) -> Measured:
    """``gaitkeeper analyze``: start-up, video, numbers, analysis.json and report.html."""
    measured = run(module, path, folder, timeout_s=timeout_s)
    if measured.output["status"] != "analysed" or not (folder / "report.html").is_file():
        raise RuntimeError(f"{path.name} was not analysed: {measured.output['reasons']}")
    return measured


def peak_mib() -> float:
    """The highest resident memory of this process in MiB. Not ``getrusage``: that includes the parent's before exec."""
    return _status_mib("VmHWM")


def resident_mib() -> float:
    """The resident memory of this process now, in MiB."""
    return _status_mib("VmRSS")


def _status_mib(key: str) -> float:
    status = Path("/proc/self/status").read_text("ascii")
    return int(next(line for line in status.splitlines() if line.startswith(key)).split()[1]) / 1024.0
