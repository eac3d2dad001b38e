"""Whether memory stays as it is however long a video is."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bench import video
from tests.bench.result import Result

LONGER = 4


def measure() -> tuple[Result, ...]:
    """``memory_over_video_length``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peaks, frames = [], []
        for passes in (1, LONGER):
            path = folder / f"walk-{passes}.mp4"
            frames.append(video.render(path, passes))
            peaks.append(video.analyse(path, folder / f"gait-{passes}").peak_mib)
    what = (
        f"peak resident memory of 'gaitkeeper analyze' on a video of {frames[1]} frames "
        f"over that on one of {frames[0]} frames of the same walk"
    )
    detail = f"{peaks[1]:.0f} MiB over {peaks[0]:.0f} MiB"
    return (Result("memory_over_video_length", peaks[1] / peaks[0], "ratio", what, "about 1", detail),)
