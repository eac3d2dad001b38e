"""A few processes that each analyse one recording at a time; a crash or a hang costs that recording, not the ingest.

Written on pipes of ``multiprocessing`` because its pools neither give up a job that hangs nor survive a decoder that
takes its process down. Workers are spawned, use one thread each, and end with the process that made them.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path

from gaitkeeper_client.lab.options import NOTHING_SAID, ReadOptions
from gaitkeeper_client.pose.estimators import EstimatorChoice
from gaitkeeper_shared.errors import GaitkeeperError

JOB_DEADLINE_S = 3600.0
"""For one recording: an hour of video at a tenth of real time on a slow machine takes less."""
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Job:
    """One file to analyse. ``number`` is the caller's own; ``height_m`` in metres where known; ``options``: how it is
    read. ``estimator``: the site's own pose network for videos, else the usual one."""

    number: int
    path: Path
    height_m: float | None
    options: ReadOptions = NOTHING_SAID
    estimator: EstimatorChoice | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an analysis withheld its result."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class JobResult:
    """What came of a job: an encoded recording, or refusals, or an error."""

    number: int
    recording: bytes | None = None
    refusals: tuple[Refusal, ...] = ()
    error: GaitkeeperError | None = None


Analyse = Callable[[Job], JobResult]


def analyse_job(job: Job) -> JobResult:
    """Analyse one file; every exception becomes a result, so that the next file has its turn."""
    from gaitkeeper_client.sources import analyse_file
    from gaitkeeper_shared.recording import encode_recording

    try:
        analysis = analyse_file(job.path, height_m=job.height_m, options=job.options, estimator=job.estimator)
        refusals = tuple(Refusal(reason.code, reason.message) for reason in analysis.reasons)
        if analysis.status != "analysed" or analysis.recording is None:
            return JobResult(job.number, refusals=refusals)
        return JobResult(job.number, encode_recording(analysis.recording))
    except GaitkeeperError as error:
        return JobResult(job.number, error=error)
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        return JobResult(job.number, error=GaitkeeperError("ingest-unexpected", detail=detail))


class _Worker:
    def __init__(self, context: SpawnContext, analyse: Analyse) -> None:
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_work, args=(theirs, analyse), daemon=True)
        self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.since = self.deadline = 0.0

    def give(self, job: Job, deadline_s: float) -> None:
        self.job, self.since = job, time.monotonic()
        self.deadline = self.since + deadline_s
        self.connection.send(job)

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join(timeout=10)


def run_jobs(
    jobs: Iterator[Job], *, workers: int, analyse: Analyse = analyse_job, deadline_s: float = JOB_DEADLINE_S
) -> Iterator[JobResult]:
    """Results of all jobs, in order of completion. ``jobs`` is drawn from as workers become free.

    A job whose process dies gives ``ingest-crashed``, one that exceeds ``deadline_s`` gives ``ingest-stalled``.
    """
    context = multiprocessing.get_context("spawn")
    crew: list[_Worker] = []
    try:
        with _one_thread_each():
            for job in jobs:
                while (worker := _free(crew, context, workers, analyse)) is None:
                    yield from _collect(crew)
                worker.give(job, deadline_s)
            while any(worker.job for worker in crew):
                yield from _collect(crew)
    finally:
        for worker in crew:
            worker.end()


def _free(crew: list[_Worker], context: SpawnContext, most: int, analyse: Analyse) -> _Worker | None:
    for worker in [worker for worker in crew if worker.job is None and not worker.process.is_alive()]:
        crew.remove(worker)  # killed while it had nothing to do
        worker.end()
    idle = next((worker for worker in crew if worker.job is None), None)
    if idle is None and len(crew) < most:
        idle = _Worker(context, analyse)
        crew.append(idle)
    return idle


def _collect(crew: list[_Worker]) -> Iterator[JobResult]:
    """Wait until a worker is done, dead or late, and take what there is to take."""
    busy = [worker for worker in crew if worker.job is not None]
    patience = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
    ready = set(wait([worker.connection for worker in busy], timeout=patience))
    for worker in busy:
        job = worker.job
        assert job is not None
        if worker.connection in ready:
            try:
                result: JobResult = worker.connection.recv()
                worker.job = None
            except (EOFError, OSError):
                crew.remove(worker)
                worker.end()
                result = JobResult(job.number, error=GaitkeeperError("ingest-crashed"))
            yield result
        elif time.monotonic() >= worker.deadline:
            crew.remove(worker)
            worker.end()
            minutes = (time.monotonic() - worker.since) / 60.0
            yield JobResult(job.number, error=GaitkeeperError("ingest-stalled", minutes=minutes))


class _one_thread_each:  # noqa: N801 - reads as the context that it is
    """Children inherit the environment: two workers with two threads each would fight over two cores."""

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in _ONE_THREAD}
        os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _work(connection: Connection, analyse: Analyse) -> None:
    """Life of a worker: jobs in, results out, until the pipe closes."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        while True:
            connection.send(analyse(connection.recv()))
    except (EOFError, OSError, KeyboardInterrupt):
        return


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
