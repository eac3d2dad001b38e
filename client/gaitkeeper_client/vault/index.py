"""The vault's index: SQLite, with random ids, wrapped keys, keyed hashes and sealed records. Nothing in it can be read.

Keyed hashes (HMAC-SHA256 under keys derived from the site's key) find a patient or a source again without saying which
it is: an identifier has too little entropy for a plain hash. Write-ahead logging lets training read while an ingest
writes; ``synchronous=FULL`` makes a commit durable before anyone is told.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaitkeeper_shared.errors import GaitkeeperError

BUSY_TIMEOUT_S = 30.0
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE patients (
    number INTEGER PRIMARY KEY,
    pseudonym TEXT NOT NULL UNIQUE,
    lookup BLOB NOT NULL UNIQUE,
    wrapped_key BLOB NOT NULL,
    record BLOB NOT NULL
);
CREATE TABLE recordings (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    pseudonym TEXT NOT NULL REFERENCES patients (pseudonym),
    source BLOB NOT NULL UNIQUE,
    record BLOB NOT NULL
);
CREATE INDEX recordings_of_patient ON recordings (pseudonym);
"""
_PATIENT = (str, bytes, bytes, bytes)
_RECORDING = (str, str, bytes, bytes)
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_SHMSIZE}


@dataclass(frozen=True, slots=True)
class PatientRow:
    """A patient as the index keeps them; ``record`` and ``wrapped_key`` are sealed."""

    pseudonym: str
    lookup: bytes
    wrapped_key: bytes
    record: bytes


@dataclass(frozen=True, slots=True)
class RecordingRow:
    """A recording as the index keeps it; ``source`` is the keyed hash of its file, ``record`` is sealed."""

    id: str
    pseudonym: str
    source: bytes
    record: bytes


@contextlib.contextmanager
def index_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors inside the block into those of the catalogue."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code in _FULL:
            raise GaitkeeperError("disk-full", path=path, detail=error) from error
        if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise GaitkeeperError("vault-busy", path=path, seconds=BUSY_TIMEOUT_S) from error
        raise GaitkeeperError("vault-damaged", path=path, detail=error) from error
    except UnicodeError as error:  # SQLite hands out damaged text as it is
        raise GaitkeeperError("vault-damaged", path=path, detail="it holds broken text") from error


def _typed(row: tuple[Any, ...], kinds: tuple[type, ...]) -> tuple[Any, ...]:
    """The row, if each cell has its column's type: SQLite stores any type anywhere, so damage may change it."""
    if tuple(type(cell) for cell in row) != kinds:
        raise sqlite3.DatabaseError("a cell has another type than its column")
    return row


class VaultIndex:
    """One open connection to the index. Use as long as the vault is open, from any one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with index_errors(path):
            self._database = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA foreign_keys = ON")
            self._database.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten

    def close(self) -> None:
        """End the connection; SQLite folds its write-ahead log into the index with the last one."""
        self._database.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside the block are committed together, durably, or not at all."""
        with index_errors(self.path):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def settle(self, meta: dict[str, bytes]) -> None:
        """Make the tables of a new index and its ``meta`` values, in the caller's transaction."""
        for statement in _TABLES.split(";"):
            if statement.strip():
                self._database.execute(statement)
        self._database.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())

    def meta(self) -> dict[str, bytes]:
        """The values given to :meth:`settle`; empty for an index without tables."""
        with index_errors(self.path):
            settled = self._database.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
            rows = self._database.execute("SELECT name, value FROM meta").fetchall() if settled else []
            return dict(_typed(row, (str, bytes)) for row in rows)

    def patients(self) -> list[tuple[PatientRow, int]]:
        """Every patient in order of arrival, with the number of their recordings."""
        count = "SELECT COUNT(*) FROM recordings r WHERE r.pseudonym = p.pseudonym"
        query = f"SELECT pseudonym, lookup, wrapped_key, record, ({count}) FROM patients p ORDER BY number"  # noqa: S608
        with index_errors(self.path):
            return [
                (PatientRow(*_typed(row[:4], _PATIENT)), row[4]) for row in self._database.execute(query).fetchall()
            ]

    def patient(self, pseudonym: str) -> PatientRow | None:
        """One patient by pseudonym."""
        return self._patient("pseudonym", pseudonym)

    def patient_by_lookup(self, lookup: bytes) -> PatientRow | None:
        """One patient by the keyed hash of their identifier."""
        return self._patient("lookup", lookup)

    def _patient(self, column: str, value: str | bytes) -> PatientRow | None:
        query = f"SELECT pseudonym, lookup, wrapped_key, record FROM patients WHERE {column} = ?"  # noqa: S608 - ours
        with index_errors(self.path):
            row = self._database.execute(query, (value,)).fetchone()
            return PatientRow(*_typed(row, _PATIENT)) if row else None

    def recordings(self, pseudonym: str | None = None) -> list[RecordingRow]:
        """The recordings of one patient, or of all, in order of arrival."""
        query = (
            "SELECT id, pseudonym, source, record FROM recordings WHERE ?1 IS NULL OR pseudonym = ?1 ORDER BY number"
        )
        with index_errors(self.path):
            return [
                RecordingRow(*_typed(row, _RECORDING)) for row in self._database.execute(query, (pseudonym,)).fetchall()
            ]

    def recording_by_source(self, source: bytes) -> RecordingRow | None:
        """One recording by the keyed hash of its file."""
        query = "SELECT id, pseudonym, source, record FROM recordings WHERE source = ?"
        with index_errors(self.path):
            row = self._database.execute(query, (source,)).fetchone()
            return RecordingRow(*_typed(row, _RECORDING)) if row else None

    def put_patient(self, row: PatientRow) -> None:
        """Insert a patient or replace their record, in the caller's transaction."""
        self._database.execute(
            "INSERT INTO patients (pseudonym, lookup, wrapped_key, record) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (pseudonym) DO UPDATE SET record = excluded.record",
            (row.pseudonym, row.lookup, row.wrapped_key, row.record),
        )

    def put_recording(self, row: RecordingRow) -> None:
        """Insert a recording, in the caller's transaction."""
        self._database.execute(
            "INSERT INTO recordings (id, pseudonym, source, record) VALUES (?, ?, ?, ?)",
            (row.id, row.pseudonym, row.source, row.record),
        )

    def integrity(self) -> str:
        """``ok``, or what SQLite's own check finds wrong with the file."""
        try:
            return "; ".join(str(row[0]) for row in self._database.execute("PRAGMA integrity_check(10)").fetchall())
        except (sqlite3.Error, UnicodeError) as error:
            return str(error)
