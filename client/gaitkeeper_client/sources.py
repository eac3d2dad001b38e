"""The door for recordings: a file of any kind that Gaitkeeper reads becomes an analysis."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.gait.analysis import Analysis
    from gaitkeeper_client.lab.readers import ForceReader, Reader, ReadOptions

Progress = Callable[[int, int], None]
"""Called with frames done and frames in all (0 where the file does not say)."""

SHORTEST_M, TALLEST_M = 0.4, 2.6


def analyse_file(
    path: Path,
    *,
    height_m: float | None = None,
    on_progress: Progress | None = None,
    options: ReadOptions | None = None,
) -> Analysis:
    """Analyse the walk in a video, or in any file of points that ``lab.readers`` knows.

    ``height_m``: the walker's height. ``options``: what a file of points does not say of itself. Raises a catalogue
    error (exit 2) for a file that cannot be read; a file that can be read and holds no usable walk gives an analysis
    with status ``refused``.
    """
    from gaitkeeper_client.capture.container import check_exists
    from gaitkeeper_client.lab.readers import ReadOptions, force_reader_of, reader_of

    path = Path(path)
    if height_m is not None and not (math.isfinite(height_m) and SHORTEST_M <= height_m <= TALLEST_M):
        raise GaitkeeperError("height-unusable", height=height_m, low=SHORTEST_M, high=TALLEST_M)
    if not path.is_dir():
        check_exists(path)
    if reader := reader_of(path):
        return _analyse_points(path, reader, height_m, options or ReadOptions())
    if force_reader := force_reader_of(path):
        return _analyse_forces(path, force_reader)
    return _analyse_video(path, height_m, on_progress)


def _analyse_points(path: Path, reader: Reader, height_m: float | None, options: ReadOptions) -> Analysis:
    from gaitkeeper_client.capture.container import sha256_of
    from gaitkeeper_client.gait.pipeline import analyse

    walk = reader.read(path, options)
    source: dict[str, Any] = {"kind": walk.kind, "height_m": height_m, "notes": list(walk.notes)}
    if path.is_file():
        source |= {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    return analyse(walk.trajectories, height_m=height_m, source=source)


def _analyse_forces(path: Path, reader: ForceReader) -> Analysis:
    from gaitkeeper_client.capture.container import sha256_of
    from gaitkeeper_client.gait.forces import analyse_forces

    source = {"kind": reader.kind, "sha256": sha256_of(path), "bytes": path.stat().st_size}
    return analyse_forces(reader.read(path), source=source)


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
