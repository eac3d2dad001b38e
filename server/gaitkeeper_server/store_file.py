"""The store's file: connections, transactions, writers that take turns, and the words for what goes wrong with it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gaitkeeper_shared.errors import GaitkeeperError

BUSY_S = 10.0
"""So long a writer waits for others."""
_turns: dict[Path, threading.Lock] = {}
_turns_lock = threading.Lock()


class StoreFile:
    """One SQLite file, ``synchronous=FULL``. A connection per call, so that any thread or process may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def kept_open(self) -> Iterator[None]:
        """For a service with many callers: hold a connection, since SQLite tidies up whenever the last one closes, in
        which time nobody gets in."""
        with self._opened() as database:
            database.execute("SELECT count(*) FROM sites").fetchone()
            yield

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._transaction(write=False) as database:
            return database.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self, *, write: bool = True) -> Iterator[sqlite3.Connection]:
        with self._turn() if write else contextlib.nullcontext(), self._opened() as database:
            database.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            yield database
            database.execute("COMMIT")

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One writer of this process after the other: SQLite lets them try again and again, and some never get in."""
        with _turns_lock:
            turn = _turns.setdefault(self.path, threading.Lock())
        if not turn.acquire(timeout=BUSY_S):
            raise GaitkeeperError("store-failed", path=self.path, detail=f"others wrote into it for {BUSY_S:.0f} s")
        try:
            yield
        finally:
            turn.release()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            database = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._trouble(error) from error
        try:
            for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                database.execute(f"PRAGMA {setting}")
            yield database
        except sqlite3.Error as error:
            raise self._trouble(error) from error
        finally:
            database.close()  # rolls back what was not committed

    def _trouble(self, error: sqlite3.Error) -> GaitkeeperError:
        full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
        return GaitkeeperError("store-failed", path=self.path, detail="the disk is full" if full else error)
