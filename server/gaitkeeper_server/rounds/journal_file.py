"""The journal's file: connections, transactions, and the words for what goes wrong with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gaitkeeper_shared.durable import prepare_file
from gaitkeeper_shared.errors import GaitkeeperError

_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
    }
)
"""SQLite's errors that say nothing about the file: a run that meets one is resumed, not failed."""


class JournalFile:
    """One SQLite file, ``synchronous=FULL``. A connection per call, so that any thread or process may use it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        prepare_file(path)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            database = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        except sqlite3.Error as error:
            raise self._trouble(error) from error
        try:
            database.row_factory = sqlite3.Row
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA foreign_keys = ON")
            yield database
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError):
                raise
            raise self._trouble(error) from error
        finally:
            database.close()

    def _trouble(self, error: sqlite3.Error) -> GaitkeeperError:
        primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        code = "journal-unavailable" if primary in _PASSING else "journal-damaged"
        return GaitkeeperError(code, path=self._path, detail=error)

    reading = _open
    """A connection for reading."""

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: whole and on the disk when it ends, or not at all."""
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                # SQLite rolls back by itself over a full disk; whatever goes wrong here, the first error tells why.
                with suppress(sqlite3.Error):
                    if database.in_transaction:
                        database.execute("ROLLBACK")
                raise
