"""Which reports have still to reach the clinic's FHIR server. SQLite, ``synchronous=FULL``: queued is not forgotten.

A row names a report and holds nothing of it: what is sent is made from the vault at that moment. So a report that was
signed while it waited goes out signed, an erased one goes out never, and there is no patient to read in this file. What
a server may hold of an erased patient waits as a retraction: then the row is all that is left of the report.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gaitkeeper_shared.durable import make_private_folder, prepare_file
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome

State = Literal["waiting", "delivered", "refused", "gone", "retracted"]
Kind = Literal["report", "retraction"]
BUSY_S = 30.0
FORMAT = 2
_TABLE = """
CREATE TABLE outbox (
    report TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    queued_at REAL NOT NULL,
    attempts INTEGER NOT NULL,
    next_at REAL NOT NULL,
    ended_at REAL,
    message TEXT NOT NULL
) WITHOUT ROWID
"""
_SECOND = (
    "ALTER TABLE outbox ADD COLUMN kind TEXT NOT NULL DEFAULT 'report'",
    "ALTER TABLE outbox ADD COLUMN sent INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE outbox ADD COLUMN parts TEXT NOT NULL DEFAULT ''",
    "UPDATE outbox SET sent = 1 WHERE attempts > 0 OR generation > 1",
)
"""What format 2 has beyond format 1."""
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC}


@dataclass(frozen=True, slots=True)
class Post:
    """One report on its way. Times are seconds since the epoch.

    ``waiting``: due at ``next_at``; ``delivered``: the server has it; ``refused``: the server will not have it as it
    is; ``gone``: the vault has it no more; ``retracted``: the server was told that it was entered in error.
    ``generation`` counts how often it was queued; ``message``: what went wrong last. ``kind``: what is to be sent;
    ``sent``: whether a server may hold it, 0 or 1; ``parts``: of a retraction, which parts the report had, by commas.
    """

    report: str
    generation: int
    state: State
    queued_at: float
    attempts: int
    next_at: float
    ended_at: float | None
    message: str
    kind: Kind = "report"
    sent: int = 0
    parts: str = ""


class Outbox:
    """The outbox of a site. Methods raise ``outbox-busy``, ``outbox-damaged`` or ``disk-full``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, home: SiteHome) -> Outbox:
        """Where a site keeps it."""
        return cls(home.path / "exchange" / "outbox.sqlite")

    def queue(self, report: str, now: float) -> Post:
        """Put a report in, on the disk before this returns; one that is there is sent anew."""
        with self._open() as database, _transaction(database):
            database.execute(
                "INSERT INTO outbox VALUES (?, 1, 'waiting', ?, 0, ?, NULL, '', 'report', 0, '')"
                " ON CONFLICT (report) DO UPDATE SET generation = generation + 1, state = 'waiting',"
                " queued_at = excluded.queued_at, attempts = 0, next_at = excluded.next_at, ended_at = NULL,"
                " message = ''",
                (report, now, now),
            )
            row = database.execute("SELECT * FROM outbox WHERE report = ?", (report,)).fetchone()
        return Post(*row)

    def leaves(self, post: Post) -> None:
        """Note, on the disk, that a post is about to leave: from now on a server may hold it, whatever it answers."""
        if not post.sent:
            with self._open() as database, _transaction(database):
                database.execute("UPDATE outbox SET sent = 1 WHERE report = ?", (post.report,))

    def retract(self, parts: Mapping[str, str], now: float) -> tuple[str, ...]:
        """Queue the retraction of reports, given with their parts, that a server may hold; gives which those are. One
        that never left is ``gone``. What is a retraction already stays one."""
        queued = []
        with self._open() as database, _transaction(database):
            for report, named in parts.items():
                row = database.execute("SELECT kind, sent FROM outbox WHERE report = ?", (report,)).fetchone()
                if row is None or row[0] == "retraction":
                    continue
                if not row[1]:
                    database.execute("UPDATE outbox SET state = 'gone', ended_at = ? WHERE report = ?", (now, report))
                    continue
                database.execute(
                    "UPDATE outbox SET kind = 'retraction', parts = ?, state = 'waiting', attempts = 0, queued_at = ?,"
                    " next_at = ?, ended_at = NULL, message = '', generation = generation + 1 WHERE report = ?",
                    (named, now, now, report),
                )
                queued.append(report)
        return tuple(queued)

    def due(self, now: float) -> tuple[Post, ...]:
        """What waits and may be tried now, oldest first."""
        with self._open() as database:
            rows = database.execute(
                "SELECT * FROM outbox WHERE state = 'waiting' AND next_at <= ? ORDER BY queued_at, report",
                (now,),
            ).fetchall()
        return tuple(Post(*row) for row in rows)

    def posts(self) -> tuple[Post, ...]:
        """Everything that was ever queued, newest first."""
        with self._open() as database:
            rows = database.execute("SELECT * FROM outbox ORDER BY queued_at DESC, report").fetchall()
        return tuple(Post(*row) for row in rows)

    def find(self, report: str) -> Post | None:
        """The post of one report; None where it was never queued."""
        with self._open() as database:
            row = database.execute("SELECT * FROM outbox WHERE report = ?", (report,)).fetchone()
        return None if row is None else Post(*row)

    def end(self, post: Post, state: State, now: float, message: str = "") -> None:
        """The post is over. One that was queued again meanwhile goes on waiting."""
        self._change(post, state, post.attempts + 1, post.next_at, now, message)

    def later(self, post: Post, at: float, message: str) -> None:
        """Try again at ``at``, and remember why."""
        self._change(post, "waiting", post.attempts + 1, at, None, message)

    def _change(
        self, post: Post, state: State, attempts: int, next_at: float, ended_at: float | None, message: str
    ) -> None:
        with self._open() as database, _transaction(database):
            database.execute(
                "UPDATE outbox SET state = ?, attempts = ?, next_at = ?, ended_at = ?, message = ?"
                " WHERE report = ? AND generation = ?",
                (state, attempts, next_at, ended_at, message, post.report, post.generation),
            )

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        make_private_folder(self.path.parent)
        prepare_file(self.path)
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)) as database:
                database.execute("PRAGMA synchronous = FULL")
                self._settle(database)
                yield database
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0)
            if code in _FULL:
                raise GaitkeeperError("disk-full", path=self.path, detail=error) from error
            if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise GaitkeeperError("outbox-busy", path=self.path, seconds=BUSY_S) from error
            raise GaitkeeperError("outbox-damaged", path=self.path, detail=error) from error

    def _settle(self, database: sqlite3.Connection) -> None:
        found = database.execute("PRAGMA user_version").fetchone()[0]
        if found == FORMAT:
            return
        with _transaction(database):
            found = database.execute("PRAGMA user_version").fetchone()[0]
            if found == 0:
                self.path.chmod(0o600)
                database.execute(_TABLE)
            if found in (0, 1):
                for statement in _SECOND:
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {FORMAT}")
        if found not in (0, 1, FORMAT):
            detail = f"it has format {found}, and this version knows format {FORMAT}"
            raise GaitkeeperError("outbox-damaged", path=self.path, detail=detail)


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
