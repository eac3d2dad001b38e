"""Whether memory stays as it is over a video of ten minutes. Takes longer than these: only where it is named."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

from tests.bench import video
from tests.bench.result import Result

MINUTES = 10
SIZE = (640, 360)
"""Small: what counts is how much is kept of each frame that was looked at, not how large a frame is."""
LONGEST_S = 3600.0
MINUTE = round(60.0 * video.RATE_HZ)


def measure() -> tuple[Result, ...]:
    """``memory_ten_minutes``."""
    with tempfile.TemporaryDirectory() as name:
        path, folder = Path(name, "walk.mp4"), Path(name, "gait")
        passes = math.ceil(MINUTES * MINUTE / video.render(path, 1, SIZE))
        frames = video.render(path, passes, SIZE)
        peak = video.analyse(path, folder, "tests.bench.long_process", LONGEST_S).peak_mib
        rows = json.loads((folder / "memory.json").read_text("utf-8"))
    first, minute, last = rows[0], next(row for row in rows if row[0] > MINUTE), rows[-1]
    what = (
        f"peak resident memory of 'gaitkeeper analyze' on a video of {MINUTES} minutes ({frames} frames, "
        f"{SIZE[0]} x {SIZE[1]}, a walker who goes to and fro) over that at the end of its first minute"
    )
    detail = (
        f"resident at the first frame {first[1]:.0f} MiB, after 1 minute {minute[1]:.0f}, after {MINUTES} minutes "
        f"{last[1]:.0f}; highest with the numbers and the report {peak:.0f} MiB, by the first minute {minute[2]:.0f}"
    )
    return (Result("memory_ten_minutes", peak / minute[2], "ratio", what, "about 1", detail),)
