"""What ``gaitkeeper analyze`` adds to the pose network: its frame rate over that of MediaPipe alone."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from tests.bench import video
from tests.bench.result import Result, paired_ratio

REPEATS = 3
PASSES = 2


def measure() -> tuple[Result, ...]:
    """``analyze_over_mediapipe``, and the same against MediaPipe's loop without its start-up."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "walk.mp4"
        frames = video.render(path, PASSES)
        alone, ours = [], []
        for number in range(REPEATS):
            alone.append(video.run("tests.bench.mediapipe_process", path))
            ours.append(video.analyse(path, folder / f"gait-{number}"))
    if any(run.output["frames"] != frames for run in alone):
        raise RuntimeError("MediaPipe did not see every frame")
    seconds = [run.seconds for run in ours]
    processes, loops = [run.seconds for run in alone], [run.output["loop_s"] for run in alone]
    started = (
        f"frames a second of 'gaitkeeper analyze', start-up and report included, over MediaPipe's PoseLandmarker alone "
        f"on the same rendered walk of {frames} frames, "
    )
    rate = frames / statistics.median(seconds)
    return (
        Result(
            "analyze_over_mediapipe",
            paired_ratio(processes, seconds),
            "ratio",
            started + "each in a fresh process from start to end",
            ">= 0.9",
            f"{rate:.1f} over {frames / statistics.median(processes):.1f} frames/s",
        ),
        Result(
            "analyze_over_mediapipe_loop",
            paired_ratio(loops, seconds),
            "ratio",
            started + "of which the start-up is not counted",
            "",
            f"{rate:.1f} over {frames / statistics.median(loops):.1f} frames/s",
        ),
    )
