"""Ingest: from a list of files to sealed recordings. What is stored stays stored; what is not is tried again next time.

The list is checked as a whole before anything is analysed. Only what the gait engine extracts (trajectories, events,
feature signals) goes into the vault, never the video itself.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from gaitkeeper_client.capture.container import sha256_of, sha256_of_folder
from gaitkeeper_client.lab.options import NOTHING_SAID, ReadOptions
from gaitkeeper_client.lab.readers import force_reader_of, reader_of
from gaitkeeper_client.pose.estimators import EstimatorChoice
from gaitkeeper_client.vault.cohort import AID, COHORT_NAME, read_cohort
from gaitkeeper_client.vault.events import record
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.records import PatientFacts, RecordingFacts
from gaitkeeper_client.vault.retention import RetentionPolicy, apply_retention, drop_raw_video, retention_policy
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_client.vault.workers import Analyse, Job, JobResult, analyse_job, run_jobs
from gaitkeeper_shared.errors import EXIT_OK, EXIT_REFUSED, GaitkeeperError
from gaitkeeper_shared.recording import decode_recording

Status = Literal["stored", "already_stored", "refused", "failed"]
STATUSES: tuple[Status, ...] = ("stored", "already_stored", "refused", "failed")
_STOPS = ("disk-full", "vault-busy", "vault-damaged", "envelope-damaged")
"""Errors of the vault, not of a file: going on would fail again for every file."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file to ingest and what is known of it. ``recorded_at``: UTC, ISO 8601. ``options``: how it is read."""

    path: Path
    patient: PatientFacts
    recorded_at: str | None = None
    options: ReadOptions = NOTHING_SAID


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file. ``pseudonym`` where a patient is known; ``reasons`` are (code, message)."""

    path: Path
    status: Status
    pseudonym: str | None = None
    reasons: tuple[tuple[str, str], ...] = ()
    exit_status: int = EXIT_OK


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What became of all files."""

    outcomes: tuple[Outcome, ...]

    def count(self, status: Status) -> int:
        """Number of files with this outcome."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def exit_status(self) -> int:
        """The worst failure's status; 3 where everything was refused; else 0, refusals being part of the work."""
        failed = max((outcome.exit_status for outcome in self.outcomes if outcome.status == "failed"), default=EXIT_OK)
        nothing = self.count("stored") + self.count("already_stored") == 0
        return failed or (EXIT_REFUSED if nothing and self.count("refused") else EXIT_OK)


Progress = Callable[[int, int, Outcome], None]


def plan(
    paths: Sequence[Path],
    patient: PatientFacts | None,
    recorded_at: str | None = None,
    options: ReadOptions = NOTHING_SAID,
) -> tuple[Source, ...]:
    """The files behind ``paths``: single recordings of ``patient``, cohort files, or folders that hold a cohort.

    Raises what :func:`read_cohort` raises, ``ingest-nothing``, ``ingest-patient-needed``,
    ``ingest-options-with-cohort``.
    """
    sources: list[Source] = []
    for path in paths:
        cohort = path / COHORT_NAME if path.is_dir() else path
        if not path.exists():
            raise GaitkeeperError("ingest-nothing", path=path, why="there is no such file or folder")
        if not cohort.exists() and reader_of(path) is None:
            raise GaitkeeperError("ingest-nothing", path=path, why=f"the folder holds no {COHORT_NAME}")
        if (
            cohort.exists() and cohort.suffix.lower() == ".csv" and reader_of(cohort) is None
        ):  # keypoints come as CSV too
            if patient is not None or options.given():
                described = "--patient, and what describes them or their file,"
                raise GaitkeeperError("ingest-options-with-cohort", options=described)
            sources += [Source(row.path, row.facts, row.recorded_at, row.options) for row in read_cohort(cohort)]
        elif patient is None:
            raise GaitkeeperError("ingest-patient-needed", path=path)
        else:
            extra = {**patient.extra, AID: options.aid} if options.aid else patient.extra
            sources.append(Source(path.resolve(), replace(patient, extra=extra), recorded_at, options))
    return tuple(sources)


def ingest(
    home: SiteHome,
    vault: Vault,
    sources: Sequence[Source],
    *,
    workers: int | None = None,
    update_patients: bool = False,
    on_progress: Progress | None = None,
    analyse: Analyse = analyse_job,
    estimator: EstimatorChoice | None = None,
) -> IngestSummary:
    """Analyse and store all sources; those that the vault holds are skipped at the price of a hash.

    ``workers``: processes, by default one per core. ``estimator``: the site's own pose network for the videos. Where
    the site's policy says so, a video is removed once what was found in it is stored, and recordings past their time
    are removed at the end. Raises ``vault-patient-conflict``, ``consent-withdrawn`` or ``retention-bad`` before
    anything is stored, and ``disk-full``, ``vault-busy``, ``vault-damaged`` when going on makes no sense; what was
    stored by then stays.
    """
    policy = retention_policy(home)
    if not update_patients:
        for source in sources:
            vault.check(source.patient)
    run = _Run(home, vault, sources, update_patients, on_progress, policy, estimator)
    for result in run_jobs(run.jobs(), workers=workers or len(os.sched_getaffinity(0)), analyse=analyse):
        run.settle(result)
    apply_retention(home, vault, policy)
    return IngestSummary(tuple(run.outcomes))


class _Run:
    """One ingest under way."""

    def __init__(
        self,
        home: SiteHome,
        vault: Vault,
        sources: Sequence[Source],
        update_patients: bool,
        on_progress: Progress | None,
        policy: RetentionPolicy,
        estimator: EstimatorChoice | None,
    ) -> None:
        self._home, self._vault, self._sources, self._policy = home, vault, sources, policy
        self._update, self._on_progress, self._estimator = update_patients, on_progress, estimator
        self._hashes: dict[int, str] = {}
        self.outcomes: list[Outcome] = []

    def jobs(self) -> Iterator[Job]:
        """What has to be analysed; what need not be is settled on the way."""
        for number, source in enumerate(self._sources):
            try:
                digest = source_digest(source.path, source.options.person)
                held = self._vault.holds(source.patient.patient_id, digest)
            except GaitkeeperError as error:
                self._fail(source, error)
                continue
            if held:
                if self._update:
                    self._vault.update_patient(source.patient)
                self._done(Outcome(source.path, "already_stored", self._pseudonym(source)))
                self._drop_video(source)
                continue
            self._hashes[number] = digest
            yield Job(number, source.path, source.patient.height_m, source.options, self._estimator)

    def settle(self, result: JobResult) -> None:
        """Store what a worker found."""
        source = self._sources[result.number]
        if result.error is not None:
            self._fail(source, result.error)
        elif result.recording is None:
            reasons = tuple((refusal.code, refusal.message) for refusal in result.refusals)
            self._done(Outcome(source.path, "refused", self._pseudonym(source), reasons))
        else:
            try:
                self._store(source, self._hashes[result.number], result.recording)
            except GaitkeeperError as error:
                if error.code in _STOPS:
                    raise
                self._fail(source, error)

    def _store(self, source: Source, digest: str, recording: bytes) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        facts = RecordingFacts(digest, source.path.name, now, source.recorded_at, source.patient.extra)
        added = self._vault.add(source.patient, decode_recording(recording), facts, update=self._update)
        if added.new:
            record(self._home, "ingested", patient=added.pseudonym, recording=added.recording_id)
        self._done(Outcome(source.path, "stored" if added.new else "already_stored", added.pseudonym))
        self._drop_video(source)

    def _drop_video(self, source: Source) -> None:
        """Remove the file of a stored source, if it is a video and the policy says so. A kill before it is made good by
        the next ingest of the same list."""
        if self._policy.raw_video != "delete" or reader_of(source.path) or force_reader_of(source.path):
            return
        drop_raw_video(self._home, source.path, self._pseudonym(source) or "")

    def _pseudonym(self, source: Source) -> str | None:
        known = self._vault.find(source.patient.patient_id)
        return known.pseudonym if known else None

    def _fail(self, source: Source, error: GaitkeeperError) -> None:
        if error.code in _STOPS:
            raise error
        reasons = ((error.code, str(error)),)
        self._done(Outcome(source.path, "failed", self._pseudonym(source), reasons, error.exit_status))

    def _done(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if self._on_progress is not None:
            self._on_progress(len(self.outcomes), len(self._sources), outcome)


def source_digest(path: Path, person: str | None = None) -> str:
    """What tells one recording from another, in hex: the file's SHA-256, and whom of several people it is of.

    Raises ``ingest-nothing`` for a file that cannot be read.
    """
    digest = file_sha256(path)
    return digest if person is None else hashlib.sha256(f"{digest} {person}".encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file or of a folder's files, in hex. Raises ``ingest-nothing`` for one that cannot be read."""
    try:
        return sha256_of_folder(path) if path.is_dir() else sha256_of(path)
    except OSError as error:
        raise GaitkeeperError("ingest-nothing", path=path, why=str(error.strerror).lower()) from error
