"""The door for recordings: a file of any kind that Gaitkeeper reads becomes an analysis."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.capture.video import FrameSource, VideoInfo
    from gaitkeeper_client.gait.analysis import Analysis
    from gaitkeeper_client.gait.perspective import Picture
    from gaitkeeper_client.lab.options import ReadOptions
    from gaitkeeper_client.lab.readers import ForceReader, Reader
    from gaitkeeper_client.lab.walk import LabWalk
    from gaitkeeper_client.pose.base import EstimatorIdentity, PoseEstimator
    from gaitkeeper_client.pose.estimators import EstimatorChoice
    from gaitkeeper_client.pose.watch import Sighting
    from gaitkeeper_shared.recording import JointTrajectories

Progress = Callable[[int, int], None]
"""Called with frames done and frames in all (0 where the file does not say)."""

MOST_OUTSIDE = 0.1
"""Share of points outside the picture: networks place what its edge cuts off."""

SHORTEST_M, TALLEST_M = 0.4, 2.6


def analyse_file(
    path: Path,
    *,
    height_m: float | None = None,
    on_progress: Progress | None = None,
    options: ReadOptions | None = None,
    estimator: EstimatorChoice | None = None,
) -> Analysis:
    """Analyse the walk in a video, or in any file of points that ``lab.readers`` knows.

    ``height_m``: the walker's height. ``options``: what the file does not say of itself. ``estimator``: the network
    that looks at a video, by default BlazePose. Raises a catalogue error (exit 2) for a file that cannot be read; a
    file that can be read and holds no usable walk gives an analysis with status ``refused``.
    """
    from gaitkeeper_client.lab.options import NOTHING_SAID
    from gaitkeeper_client.lab.readers import Reader

    path = Path(path)
    options = replace(options or NOTHING_SAID, height_m=height_m)
    known = check_source(path, options, estimator)
    if isinstance(known, Reader):
        analysis = _analyse_points(path, known, options)
    elif known is not None:
        analysis = _analyse_forces(path, known)
    else:
        analysis = _analyse_video(path, height_m, on_progress, estimator)
    if options.aid:
        analysis = _with_aid(analysis, options.aid)
    return analysis if options.belt_m_s is None else _with_belt(analysis, options.belt_m_s)


def check_source(path: Path, options: ReadOptions, estimator: EstimatorChoice | None) -> Reader | ForceReader | None:
    """What reads a recording, None for a video; before anything is read of it.

    Raises ``height-unusable``, ``video-not-found``, ``video-unreadable``, ``video-empty``, ``lab-file-empty``,
    ``source-unknown``, ``source-folder``, ``source-frame``, ``source-packed``, ``source-plates-alone``,
    ``option-does-not-apply`` or ``pose-network-no-video``.
    """
    from gaitkeeper_client.capture.container import check_exists, check_there
    from gaitkeeper_client.lab.options import TAKEN_BY_VIDEO, check_apply
    from gaitkeeper_client.lab.readers import check_kind, check_packed, force_reader_of, is_table, reader_of

    height_m = options.height_m
    if height_m is not None and not (math.isfinite(height_m) and SHORTEST_M <= height_m <= TALLEST_M):
        raise GaitkeeperError("height-unusable", height=height_m, low=SHORTEST_M, high=TALLEST_M)
    size = check_there(path).st_size
    known = reader_of(path) or force_reader_of(path)
    if size == 0 and path.is_file() and (known is not None or is_table(path)):
        raise GaitkeeperError("lab-file-empty", path=path)
    if not path.is_dir():
        check_exists(path)
    if known is None:
        check_kind(path)
    else:
        check_packed(path)
    check_apply(path, known.title if known else "a video", options, known.takes if known else TAKEN_BY_VIDEO)
    if estimator is not None and estimator.network is not None and known:
        raise GaitkeeperError("pose-network-no-video", path=path)
    return known


def _with_aid(analysis: Analysis, aid: str) -> Analysis:
    """The analysis of somebody who walked with an aid: its provenance says so, and that of its recording."""
    source = {**analysis.source, "aid": aid}
    recording = None if analysis.recording is None else replace(analysis.recording, source=source)
    return replace(analysis, source=source, recording=recording)


def _with_belt(analysis: Analysis, belt_m_s: float) -> Analysis:
    from gaitkeeper_client.gait.belt import with_belt

    return with_belt(analysis, belt_m_s)


def _analyse_points(path: Path, reader: Reader, options: ReadOptions) -> Analysis:
    from gaitkeeper_client.capture.container import sha256_of, sha256_of_folder
    from gaitkeeper_client.gait.pipeline import analyse, nobody

    walk = _walk_of(path, reader, options)
    source: dict[str, Any] = {
        "kind": walk.kind if walk else reader.kind,
        "height_m": options.height_m,
        "notes": list(walk.notes) if walk else [],
    }
    if path.is_dir():
        source["sha256"] = sha256_of_folder(path)
    else:
        source |= {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    if walk is None:
        return nobody(source)
    picture = _picture_of(walk.trajectories, options)
    if picture is not None:
        source |= {"width_px": picture.width, "height_px": picture.height}
    analysis = analyse(
        walk.trajectories, height_m=options.height_m, source=source, picture=picture, segments=walk.segments
    )
    return _in_its_plane(analysis) if walk.sagittal else analysis


def _in_its_plane(analysis: Analysis) -> Analysis:
    """The analysis without what is measured across the walk: its points were made, and stand there by construction."""
    from gaitkeeper_client.gait.definitions import DEFINITIONS
    from gaitkeeper_client.gait.refusals import refused

    if analysis.status != "analysed":
        return analysis
    across = {
        name: refused(row.unit, "space-needed", what=row.title)
        for name, row in DEFINITIONS.items()
        if row.needs == "space"
    }
    return replace(analysis, parameters={**analysis.parameters, **across})


def _picture_of(tracks: JointTrajectories, options: ReadOptions) -> Picture | None:
    """The picture that image points were found in; None where nobody said its size.

    Raises ``option-unusable`` for a size that the points do not fit: its middle would not be the camera's.
    """
    import numpy as np

    from gaitkeeper_client.gait.perspective import Picture

    if options.size_px is None:
        return None
    width, height = options.size_px
    column, row = tracks.positions[..., 0], height - tracks.positions[..., 1]
    outside = (column < 0.0) | (column > width) | (row < 0.0) | (row > height)
    seen = np.isfinite(column) & np.isfinite(row)
    if seen.any() and float(np.mean(outside[seen])) > MOST_OUTSIDE:
        far = f"column {np.max(column[seen]):.0f} and row {np.max(row[seen]):.0f}"
        detail = f"the points do not lie in a picture of {width:.0f}x{height:.0f}: they reach to {far}"
        raise GaitkeeperError("option-unusable", option="--size", detail=detail, example="--size 1920x1080")
    return Picture(int(width), int(height))


def _walk_of(path: Path, reader: Reader, options: ReadOptions) -> LabWalk | None:
    """None where the keypoints are those of nobody: a refused analysis, as of a video in which nobody is seen."""
    try:
        return reader.read(path, options)
    except GaitkeeperError as error:
        if error.code != "pose-nobody":
            raise
        return None


def _analyse_forces(path: Path, reader: ForceReader) -> Analysis:
    from gaitkeeper_client.capture.container import sha256_of
    from gaitkeeper_client.gait.forces import analyse_forces, analyse_times
    from gaitkeeper_client.lab.footforce import FootForces

    series = reader.read(path)  # refuses what is far too large, before it is all hashed
    source = {"kind": reader.kind, "sha256": sha256_of(path), "bytes": path.stat().st_size}
    if isinstance(series, FootForces):
        return analyse_forces(series, source=source)
    return analyse_times(series, source=source)


def _analyse_video(
    path: Path, height_m: float | None, on_progress: Progress | None, choice: EstimatorChoice | None
) -> Analysis:
    from gaitkeeper_client.capture.ahead import import_ahead
    from gaitkeeper_client.capture.container import sha256_of
    from gaitkeeper_client.capture.video import VideoFile
    from gaitkeeper_client.pose.estimators import BLAZEPOSE, open_estimator
    from gaitkeeper_client.pose.watch import follow_walker

    with VideoFile(path) as video, open_estimator(choice or BLAZEPOSE) as estimator:
        import_ahead("gaitkeeper_client.gait.pipeline", "jinja2")
        seen = follow_walker(video, estimator, on_progress)
        source = {"kind": "video", "sha256": sha256_of(path), "bytes": path.stat().st_size}
        return _analyse_seen(seen, video.info, estimator.identity, source, height_m)


def analyse_camera(frames: FrameSource, height_m: float | None, estimator: PoseEstimator) -> Analysis:
    """Analyse the walk in a camera's frames, of which nothing is kept but the points. ``estimator``: entered.

    The source's hash is that of the points: the same walk is the same source.
    """
    import hashlib

    from gaitkeeper_client.pose.watch import follow_walker

    seen = follow_walker(frames, estimator)
    points = b"" if seen.trajectories is None else seen.trajectories.positions.tobytes()
    source = {"kind": "camera", "sha256": hashlib.sha256(points).hexdigest()}
    return _analyse_seen(seen, frames.info, estimator.identity, source, height_m)


def _analyse_seen(
    seen: Sighting, info: VideoInfo, identity: EstimatorIdentity, source: dict[str, Any], height_m: float | None
) -> Analysis:
    source |= {
        "width_px": info.width,
        "height_px": info.height,
        "frames": seen.frames,
        "rotation_deg": info.rotation_deg,
        "estimator": identity.name,
        "estimator_sha256": identity.sha256,
        "skeleton": identity.skeleton,
        "people_seen": seen.people,
        "encounters_s": list(seen.encounters_s),
        "identity_switches_s": list(seen.switches_s),
        "returns_s": list(seen.returns_s),
        "height_m": height_m,
    }
    from gaitkeeper_client.gait.perspective import Picture
    from gaitkeeper_client.gait.pipeline import analyse, nobody

    if seen.trajectories is None:
        return nobody(source)
    picture = Picture(info.width, info.height)
    return analyse(
        seen.trajectories,
        height_m=height_m,
        source=source,
        camera=seen.camera,
        picture=picture,
        body_share=identity.body_share,
        takes_turns=identity.takes_turns,
    )
