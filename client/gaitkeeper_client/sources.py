"""The door for recordings: a file of any kind that Gaitkeeper reads becomes an analysis."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.gait.analysis import Analysis

Progress = Callable[[int, int], None]
"""Called with frames done and frames in all (0 where the file does not say)."""

SHORTEST_M, TALLEST_M = 0.4, 2.6


def analyse_file(path: Path, *, height_m: float | None = None, on_progress: Progress | None = None) -> Analysis:
    """Analyse the walk in a video or a BVH file.

    ``height_m``: the walker's height. Raises a catalogue error (exit 2) for a file that cannot be read; a file that can
    be read and holds no usable walk gives an analysis with status ``refused``.
    """
    path = Path(path)
    if height_m is not None and not (math.isfinite(height_m) and SHORTEST_M <= height_m <= TALLEST_M):
        raise GaitkeeperError("height-unusable", height=height_m, low=SHORTEST_M, high=TALLEST_M)
    if path.suffix.lower() == ".bvh":
        return _analyse_bvh(path, height_m)
    return _analyse_video(path, height_m, on_progress)


def _analyse_bvh(path: Path, height_m: float | None) -> Analysis:
    from gaitkeeper_client.capture.container import check_exists, sha256_of
    from gaitkeeper_client.gait.pipeline import analyse
    from gaitkeeper_client.lab.bvh import read_bvh

    check_exists(path)
    trajectories = read_bvh(path)
    source = {"kind": "bvh", "sha256": sha256_of(path), "bytes": path.stat().st_size, "height_m": height_m}
    return analyse(trajectories, height_m=height_m, source=source)


def _analyse_video(path: Path, height_m: float | None, on_progress: Progress | None) -> Analysis:
    from gaitkeeper_client.capture.container import sha256_of
    from gaitkeeper_client.capture.video import VideoFile
    from gaitkeeper_client.gait.pipeline import analyse, nobody
    from gaitkeeper_client.pose.mediapipe_pose import MediaPipePose
    from gaitkeeper_client.pose.watch import follow_walker

    with VideoFile(path) as video, MediaPipePose() as estimator:
        seen = follow_walker(video, estimator, on_progress)
        source: dict[str, Any] = {
            "kind": "video",
            "sha256": sha256_of(path),
            "bytes": path.stat().st_size,
            "width_px": video.info.width,
            "height_px": video.info.height,
            "frames": seen.frames,
            "rotation_deg": video.info.rotation_deg,
            "estimator": estimator.name,
            "people_seen": seen.people,
            "height_m": height_m,
        }
    if seen.trajectories is None:
        return nobody(source)
    return analyse(seen.trajectories, height_m=height_m, source=source)
