"""The queue: every recording that was handed in, from its first byte to its report. Nothing of it is in memory only.

States: ``receiving`` (bytes are coming), ``queued``, ``running``, and the ends ``done``, ``refused``, ``failed`` and
``abandoned`` (never wholly sent). A worker that takes a job holds a lock file for as long as its process lives; where
the lock is free, the process is dead, and the job is taken again. A job that took :data:`MOST_ATTEMPTS` processes with
it ends as ``failed``.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, get_args

from gaitkeeper_client.console.database import Database
from gaitkeeper_client.console.words import SealedWords
from gaitkeeper_client.language.errors import told
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.single import is_held
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now

State = Literal["receiving", "queued", "running", "done", "refused", "failed", "abandoned"]
STATES: tuple[State, ...] = get_args(State)
ENDS: frozenset[State] = frozenset({"done", "refused", "failed", "abandoned"})
MOST_ATTEMPTS = 3
MOST_OPEN = 50
"""Uploads that one user or key may have under way: a program that forgets its own must not fill the disk."""
UPLOAD_HOURS = 24
"""An upload of which nothing came for so long is given up."""
FAILED_DAYS = 7
"""So long a failed recording can be tried again; then its bytes go."""


@dataclass(frozen=True, slots=True)
class Job:
    """One recording on its way. ``size`` and ``received`` in bytes; ``done`` of ``total`` frames (0: not known).

    ``report``: the id of the report it became. ``code``, ``message``: why it was refused or failed. Times in UTC.
    """

    id: str
    pseudonym: str
    owner: str
    size: int
    received: int
    state: State
    attempts: int
    done: int
    total: int
    report: str | None
    code: str | None
    message: str | None
    created_at: str
    changed_at: str

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDS


@dataclass(frozen=True, slots=True)
class Room:
    """``free`` bytes that uploads may take; ``workers``: so many recordings lie readable at a time."""

    free: int
    workers: int

    def holds(self, sizes: Iterable[tuple[int, int]], size: int) -> bool:
        """Whether one more of ``size`` bytes fits beside what was promised: ``sizes``, size and received of each.

        What was promised has still to come, sealed; the largest ones lie readable as well while they are analysed.
        """
        known = list(sizes)
        coming = sum(whole - received for whole, received in known) + size
        largest = sorted([*(whole for whole, _ in known), size])[-self.workers :]
        return coming + sum(largest) <= self.free


class Queue:
    """The jobs of a console. ``locks``: folder of the workers' lock files; ``words``: seals why a recording was refused
    or failed, as such a reason may quote the recording."""

    def __init__(self, database: Database, locks: Path, words: SealedWords, clock: Clock = utc_now) -> None:
        self._database, self._locks, self._words, self._clock = database, locks, words, clock

    # -- handing in

    def open(self, pseudonym: str, owner: str, size: int, *, room: Callable[[], Room]) -> Job:
        """A new upload, if there is ``room`` for it and for all that was promised before; asked inside the transaction,
        so that two at once are not both promised the last of it.

        Raises ``console-too-many-uploads``, ``console-no-room``.
        """
        now, job_id = iso(self._clock()), secrets.token_hex(16)
        with self._database.write() as connection:
            query = "SELECT COUNT(*) FROM jobs WHERE owner = ? AND state = 'receiving'"
            if connection.execute(query, (owner,)).fetchone()[0] >= MOST_OPEN:
                raise GaitkeeperError("console-too-many-uploads", most=MOST_OPEN)
            query = "SELECT size, received FROM jobs WHERE state IN ('receiving', 'queued', 'running')"
            promised = [(row["size"], row["received"]) for row in connection.execute(query).fetchall()]
            if not room().holds(promised, size):
                raise GaitkeeperError("console-no-room", size=size)
            connection.execute(
                "INSERT INTO jobs (id, pseudonym, owner, size, received, state, attempts, done, total, created_at,"
                " changed_at) VALUES (?, ?, ?, ?, 0, 'receiving', 0, 0, 0, ?, ?)",
                (job_id, pseudonym, owner, size, now, now),
            )
        return self.get(job_id)

    def received(self, job: Job, upto: int) -> Job:
        """Note that all bytes before ``upto`` are on the disk; a whole upload is queued by this. Raises
        ``console-upload-offset`` where another request was faster."""
        state = "queued" if upto == job.size else "receiving"
        with self._database.write() as connection:
            done = connection.execute(
                "UPDATE jobs SET received = ?, state = ?, changed_at = ? WHERE id = ? AND received = ?"
                " AND state = 'receiving'",
                (upto, state, iso(self._clock()), job.id, job.received),
            )
            if done.rowcount == 0:
                raise GaitkeeperError("console-upload-offset", expected=self.get(job.id).received, offset=job.received)
        return self.get(job.id)

    # -- looking

    def get(self, job_id: str) -> Job:
        """One job. Raises ``console-not-found``."""
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise GaitkeeperError("console-not-found")
        return self._job(row)

    def recent(self, *, since: str = "", pseudonym: str | None = None, most: int = 200) -> tuple[Job, ...]:
        """Jobs that changed since a moment, and those that are not at their end; newest first."""
        query = (
            "SELECT * FROM jobs WHERE (changed_at >= ?1 OR state IN ('receiving', 'queued', 'running'))"
            " AND (?2 IS NULL OR pseudonym = ?2) ORDER BY number DESC LIMIT ?3"
        )
        with self._database.read() as connection:
            return tuple(self._job(row) for row in connection.execute(query, (since, pseudonym, most)).fetchall())

    def unfinished(self, pseudonym: str | None = None) -> int:
        """How many jobs, of one patient or of all, are not at their end."""
        query = (
            "SELECT COUNT(*) FROM jobs WHERE state IN ('receiving', 'queued', 'running')"
            " AND (?1 IS NULL OR pseudonym = ?1)"
        )
        with self._database.read() as connection:
            return int(connection.execute(query, (pseudonym,)).fetchone()[0])

    # -- working

    def take(self, worker: str) -> Job | None:
        """The oldest job that waits, now ``worker``'s; None where none waits."""
        with self._database.write() as connection:
            row = connection.execute("SELECT id FROM jobs WHERE state = 'queued' ORDER BY number LIMIT 1").fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE jobs SET state = 'running', worker = ?, attempts = attempts + 1, done = 0, total = 0,"
                " changed_at = ? WHERE id = ?",
                (worker, iso(self._clock()), row["id"]),
            )
        return self.get(row["id"])

    def progress(self, job_id: str, done: int, total: int) -> None:
        """How far the worker is."""
        with self._database.write() as connection:
            connection.execute("UPDATE jobs SET done = ?, total = ? WHERE id = ?", (done, total, job_id))

    def end(
        self, job_id: str, state: State, *, report: str | None = None, error: GaitkeeperError | None = None
    ) -> None:
        """The job's end, durable before this returns. An end is the end: a second one changes nothing."""
        code, message = (error.code, told(error)) if error is not None else (None, None)
        self.conclude(job_id, state, report, code, message)

    def conclude(self, job_id: str, state: State, report: str | None, code: str | None, message: str | None) -> None:
        """:meth:`end` with a reason in words, such as that of a refused analysis."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, report = ?, code = ?, message = ?, worker = NULL, changed_at = ?"
                " WHERE id = ? AND state NOT IN ('done', 'refused', 'failed', 'abandoned')",
                (state, report, code, self._words.sealed(job_id, message), iso(self._clock()), job_id),
            )

    def at_work(self) -> frozenset[str]:
        """The ids of the jobs that a living worker has in hand."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT id, worker FROM jobs WHERE state = 'running'").fetchall()
        return frozenset(row["id"] for row in rows if is_held(self._locks / f"{row['worker']}.lock"))

    def take_back(self) -> tuple[Job, ...]:
        """Queue the jobs of dead workers again; those that killed too many, and are failed now, are returned."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT id, worker, attempts FROM jobs WHERE state = 'running'").fetchall()
        poison = []
        for row in rows:
            if is_held(self._locks / f"{row['worker']}.lock"):
                continue
            if row["attempts"] >= MOST_ATTEMPTS:
                self.end(row["id"], "failed", error=GaitkeeperError("console-job-poison", attempts=row["attempts"]))
                poison.append(self.get(row["id"]))
                continue
            with self._database.write() as connection:
                connection.execute(
                    "UPDATE jobs SET state = 'queued', worker = NULL WHERE id = ? AND state = 'running' AND worker = ?",
                    (row["id"], row["worker"]),
                )
        return tuple(poison)

    def put_back(self, job: Job, error: GaitkeeperError) -> None:
        """Queue a job again after an error that may pass, such as a full disk; the last attempt's error is its end."""
        if job.attempts >= MOST_ATTEMPTS:
            self.end(job.id, "failed", error=error)
            return
        with self._database.write() as connection:
            query = "UPDATE jobs SET state = 'queued', worker = NULL, code = ? WHERE id = ? AND state = 'running'"
            connection.execute(query, (error.code, job.id))

    def again(self, job: Job) -> None:
        """Queue a failed job as if it had just come. Raises ``console-not-found`` where it did not fail."""
        with self._database.write() as connection:
            query = (
                "UPDATE jobs SET state = 'queued', attempts = 0, code = NULL, message = NULL, changed_at = ?"
                " WHERE id = ? AND state = 'failed'"
            )
            if connection.execute(query, (iso(self._clock()), job.id)).rowcount == 0:
                raise GaitkeeperError("console-not-found")

    def stale(self) -> tuple[Job, ...]:
        """Failed jobs that nobody tried again for :data:`FAILED_DAYS`: their bytes may go."""
        before = iso(self._clock() - timedelta(days=FAILED_DAYS))
        with self._database.read() as connection:
            query = "SELECT * FROM jobs WHERE state = 'failed' AND changed_at < ?"
            return tuple(self._job(row) for row in connection.execute(query, (before,)).fetchall())

    def give_up(self) -> tuple[Job, ...]:
        """End the uploads of which nothing came for :data:`UPLOAD_HOURS`; their bytes may go."""
        before = iso(self._clock() - timedelta(hours=UPLOAD_HOURS))
        with self._database.read() as connection:
            query = "SELECT * FROM jobs WHERE state = 'receiving' AND changed_at < ?"
            old = tuple(self._job(row) for row in connection.execute(query, (before,)).fetchall())
        for job in old:
            self.end(job.id, "abandoned", error=GaitkeeperError("console-upload-abandoned", hours=UPLOAD_HOURS))
        return old

    # -- files of a watched folder

    def was_seen(self, mark: bytes) -> bool:
        """Whether a file was decided on before. ``mark``: a keyed hash of what it is."""
        with self._database.read() as connection:
            return connection.execute("SELECT 1 FROM seen WHERE mark = ?", (mark,)).fetchone() is not None

    def remember(self, mark: bytes, outcome: str) -> None:
        """Decide on a file, once."""
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", (mark, outcome, iso(self._clock())))

    def forget(self, job: Job) -> None:
        """Remove what is known of an erased patient's job."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM jobs WHERE id = ?", (job.id,))

    def _job(self, row: sqlite3.Row) -> Job:
        values = {name: row[name] for name in Job.__dataclass_fields__}
        return Job(**{**values, "message": self._words.opened(row["id"], row["message"])})
