"""A folder of synthetic patients: videos or keypoints, the truth of each, and the ``cohort.csv`` for a site."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.simulation.camera import Direction, View, camera_for
from gaitkeeper_shared.simulation.patient import DISORDERS, Disorder, SyntheticPatient, draw_patient

COHORT_FILE = "cohort.csv"
MARKER_FILE = ".gaitkeeper-simulate.json"
COLUMNS = ("patient", "path", "label", "age", "sex", "height_m", "recorded_at")

Format = Literal["video", "keypoints"]


@dataclass(frozen=True, slots=True)
class CohortSettings:
    """What ``make_cohort`` makes. Lists (``disorders``, ``views``, ``directions``) are dealt out in turn.

    ``strides``: complete strides in view, per side. ``speed_m_s``: walking speed; None draws it per disorder.
    """

    patients: int = 8
    disorders: tuple[Disorder, ...] = DISORDERS
    frames_per_second: float = 30.0
    size: tuple[int, int] = (960, 540)
    views: tuple[View, ...] = ("side",)
    directions: tuple[Direction, ...] = ("left_to_right", "right_to_left")
    height_range_m: tuple[float, float] = (1.52, 1.92)
    speed_m_s: float | None = None
    strides: int = 4
    seed: int = 1
    prefix: str = "P"
    format: Format = "video"


@dataclass(frozen=True, slots=True)
class _Job:
    folder: Path
    settings: CohortSettings
    patient: SyntheticPatient
    view: View
    direction: Direction


def cohort_patients(settings: CohortSettings) -> tuple[SyntheticPatient, ...]:
    """The patients of a cohort, without making any file."""
    seeds = np.random.SeedSequence(settings.seed).generate_state(settings.patients)
    digits = max(2, len(str(settings.patients)))
    return tuple(
        draw_patient(
            f"{settings.prefix}{number + 1:0{digits}d}",
            settings.disorders[number % len(settings.disorders)],
            int(seed),
            height_range_m=settings.height_range_m,
            speed_m_s=settings.speed_m_s,
        )
        for number, seed in enumerate(seeds)
    )


def make_cohort(
    folder: Path,
    settings: CohortSettings,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the cohort and return the path of its ``cohort.csv``.

    The same settings always give the same patients and walks. ``folder`` must be new, empty, or an earlier cohort of
    this function, which is replaced. ``on_progress(done, total)`` is called after each patient. ``cohort.csv`` is
    written last: a folder without it is incomplete.
    """
    if settings.format == "video":
        from gaitkeeper_shared.simulation.render import require_renderer

        require_renderer()
    jobs = _jobs(folder, settings)
    try:
        _prepare(folder, settings)
        _run(jobs, workers or os.cpu_count() or 1, on_progress)
        _write(folder / COHORT_FILE, _table(jobs))
    except OSError as error:
        raise GaitkeeperError("simulate-write-failed", path=folder, detail=error.strerror or str(error)) from error
    return folder / COHORT_FILE


def _jobs(folder: Path, settings: CohortSettings) -> list[_Job]:
    kinds = len(settings.disorders)
    jobs = []
    for number, patient in enumerate(cohort_patients(settings)):
        # Change direction and view only after all disorders had their turn: neither may give the disorder away.
        turn = number + number // kinds
        view = settings.views[turn % len(settings.views)]
        direction = settings.directions[(number // kinds + number) % len(settings.directions)]
        jobs.append(_Job(folder, settings, patient, view, direction))
    return jobs


def _prepare(folder: Path, settings: CohortSettings) -> None:
    marker = folder / MARKER_FILE
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not marker.is_file())):
        raise GaitkeeperError("simulate-folder-in-use", path=folder)
    (folder / COHORT_FILE).unlink(missing_ok=True)
    for name in ("videos", "keypoints", "truth"):
        for file in (folder / name).glob("*"):
            file.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    _write(marker, json.dumps({"schema": "gaitkeeper.simulate/1", **dataclasses.asdict(settings)}, indent=1))
    for name in (_media_folder(settings), "truth"):
        (folder / name).mkdir(exist_ok=True)


def _media_folder(settings: CohortSettings) -> str:
    return "videos" if settings.format == "video" else "keypoints"


def _media_path(job: _Job) -> Path:
    suffix = ".mp4" if job.settings.format == "video" else ".csv"
    return Path(_media_folder(job.settings)) / f"{job.patient.name}{suffix}"


def _run(jobs: list[_Job], workers: int, on_progress: Callable[[int, int], None] | None) -> None:
    report = on_progress or (lambda done, total: None)
    report(0, len(jobs))
    if min(workers, len(jobs)) <= 1:
        for number, job in enumerate(jobs):
            _make_patient(job)
            report(number + 1, len(jobs))
        return
    # Fresh processes: a fork of one that runs threads may hang.
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(_make_patient, job) for job in jobs]
        try:
            for number, finished in enumerate(as_completed(waiting)):
                finished.result()
                report(number + 1, len(jobs))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _make_patient(job: _Job) -> None:
    from gaitkeeper_shared.simulation.disorders import pattern_of
    from gaitkeeper_shared.simulation.truth import walk_truth
    from gaitkeeper_shared.simulation.walker import Walk

    settings = job.settings
    # One stride more than asked for: recordings begin and end amid a stride.
    duration = (settings.strides + 1.1) * pattern_of(job.patient).stride_time
    walk = Walk(job.patient, duration)
    truth = walk_truth(walk)
    camera = camera_for(truth.trajectories.positions, settings.size, job.view, job.direction)
    path = job.folder / _media_path(job)
    if settings.format == "video":
        import cv2

        from gaitkeeper_shared.simulation.render import write_video

        cv2.setNumThreads(1)  # the processes already share the cores
        write_video(path, walk, camera, settings.frames_per_second)
    else:
        from gaitkeeper_shared.simulation.keypoints import noisy_keypoints

        points = noisy_keypoints(walk, camera, settings.frames_per_second)
        _write(path, _keypoint_table(points, camera.height))
    record = truth.to_json() | {"view": job.view, "direction": job.direction, "file": _media_path(job).as_posix()}
    _write(job.folder / "truth" / f"{job.patient.name}.json", json.dumps(record))


def _keypoint_table(trajectories: object, height: float) -> str:
    """Keypoints as pose networks write them: a picture's rows count downwards from its top."""
    from gaitkeeper_shared.recording import JointTrajectories
    from gaitkeeper_shared.skeleton import JOINTS

    assert isinstance(trajectories, JointTrajectories)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["time_s", *(f"{name}_{what}" for name in JOINTS for what in ("x", "y", "confidence"))])
    rows = np.array([0.0, height]) + np.array([1.0, -1.0]) * trajectories.positions
    both = np.concatenate([rows, trajectories.confidence[..., None]], axis=2)
    for time, row in zip(trajectories.time_s, both.reshape(both.shape[0], -1), strict=True):
        writer.writerow([f"{time:.5f}", *("" if np.isnan(value) else f"{value:.3f}" for value in row)])
    return text.getvalue()


def _table(jobs: list[_Job]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for job in jobs:
        patient = job.patient
        days = int(np.random.default_rng([patient.seed, 43]).integers(0, 300))
        recorded = datetime(2026, 1, 5, 9, 0, tzinfo=UTC) + timedelta(days=days)
        writer.writerow(
            [
                patient.name,
                _media_path(job).as_posix(),
                patient.disorder,
                patient.age,
                patient.sex,
                f"{patient.height_m:.3f}",
                recorded.isoformat(),
            ]
        )
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
