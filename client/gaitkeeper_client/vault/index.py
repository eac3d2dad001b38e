"""The vault's index: SQLite, with random ids, wrapped keys, keyed hashes and sealed records. Nothing in it can be read.

Keyed hashes (HMAC-SHA256 under keys derived from the site's key) find a patient or a source again without saying which
it is: an identifier has too little entropy for a plain hash. Write-ahead logging lets training read while an ingest
writes; ``synchronous=FULL`` makes a commit durable before anyone is told.
"""

from __future__ import annotations

import contextlib
import hmac
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.vault.keys import SiteKey

BUSY_TIMEOUT_S = 30.0
INDEX_FORMAT = 3
"""Format 2 remembers the pseudonyms of erased patients; format 3 keeps documents about patients, such as reports."""
_ERASED = """
CREATE TABLE erased (
    lookup BLOB PRIMARY KEY,
    pseudonym TEXT NOT NULL
) WITHOUT ROWID;
"""
_DOCUMENTS = """
CREATE TABLE documents (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    pseudonym TEXT NOT NULL REFERENCES patients (pseudonym),
    lookup BLOB NOT NULL UNIQUE,
    record BLOB NOT NULL
);
CREATE INDEX documents_of_patient ON documents (pseudonym);
"""
_SINCE = {1: (_ERASED,), 2: (_DOCUMENTS,)}
"""What came after each format."""
_TABLES = (
    """
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
    + _ERASED
    + _DOCUMENTS
)
_PATIENT = (str, bytes, bytes, bytes)
_RECORDING = (str, str, bytes, bytes)
_DOCUMENT = (str, str, bytes, bytes)
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


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document as the index keeps it; ``lookup`` is the keyed hash of its name, ``record`` is sealed."""

    id: str
    pseudonym: str
    lookup: bytes
    record: bytes


def key_check(key: SiteKey, vault_id: str) -> bytes:
    """What an index keeps to recognise the key that opens it."""
    return hmac.digest(key.derive("vault/check"), vault_id.encode("utf-8"), "sha256")


def fits(folder: Path, key: SiteKey) -> bool:
    """Whether ``key`` opens the vault in ``folder``; True where there is no index that could say."""
    path = folder / "index.sqlite"
    if not path.exists():
        return True
    index = VaultIndex(path)
    try:
        meta = index.meta()
    finally:
        index.close()
    if not {"vault", "key_check"} <= set(meta):
        return True
    return hmac.compare_digest(meta["key_check"], key_check(key, meta["vault"].decode(errors="replace")))


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

    def migrate(self) -> None:
        """Bring an index of an older format to this format, in the caller's transaction."""
        found = int(self.meta()["format"])
        for statement in ";".join(table for old in range(found, INDEX_FORMAT) for table in _SINCE[old]).split(";"):
            if statement.strip():
                self._database.execute(statement)
        self._database.execute("UPDATE meta SET value = ? WHERE name = 'format'", (str(INDEX_FORMAT).encode(),))

    def put_meta(self, name: str, value: bytes) -> None:
        """Replace one of the values given to :meth:`settle`, in the caller's transaction."""
        self._database.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))

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

    def file_ids(self, pseudonym: str | None = None) -> list[str]:
        """The ids of everything that has a sealed file: recordings and documents of one patient, or of all."""
        recordings, documents = self.recordings(pseudonym), self.documents(pseudonym)
        return [row.id for row in recordings] + [row.id for row in documents]

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
            " ON CONFLICT (pseudonym) DO UPDATE SET wrapped_key = excluded.wrapped_key, record = excluded.record",
            (row.pseudonym, row.lookup, row.wrapped_key, row.record),
        )

    def put_recording(self, row: RecordingRow) -> None:
        """Insert a recording, in the caller's transaction."""
        self._database.execute(
            "INSERT INTO recordings (id, pseudonym, source, record) VALUES (?, ?, ?, ?)",
            (row.id, row.pseudonym, row.source, row.record),
        )

    def replace_recording(self, recording_id: str, row: RecordingRow) -> None:
        """Put another row in the place of a recording's, which stays where it is in the order of arrival, in the
        caller's transaction."""
        self._database.execute(
            "UPDATE recordings SET id = ?, source = ?, record = ? WHERE id = ?",
            (row.id, row.source, row.record, recording_id),
        )

    def remove_recording(self, recording_id: str) -> None:
        """Remove a recording's row, in the caller's transaction."""
        self._database.execute("DELETE FROM recordings WHERE id = ?", (recording_id,))

    def documents(self, pseudonym: str | None = None) -> list[DocumentRow]:
        """The documents about one patient, or about all, in order of arrival."""
        query = "SELECT id, pseudonym, lookup, record FROM documents WHERE ?1 IS NULL OR pseudonym = ?1 ORDER BY number"
        with index_errors(self.path):
            return [
                DocumentRow(*_typed(row, _DOCUMENT)) for row in self._database.execute(query, (pseudonym,)).fetchall()
            ]

    def document_by_lookup(self, lookup: bytes) -> DocumentRow | None:
        """One document by the keyed hash of its name."""
        query = "SELECT id, pseudonym, lookup, record FROM documents WHERE lookup = ?"
        with index_errors(self.path):
            row = self._database.execute(query, (lookup,)).fetchone()
            return DocumentRow(*_typed(row, _DOCUMENT)) if row else None

    def put_document(self, row: DocumentRow) -> None:
        """Insert a document, in the caller's transaction."""
        self._database.execute(
            "INSERT INTO documents (id, pseudonym, lookup, record) VALUES (?, ?, ?, ?)",
            (row.id, row.pseudonym, row.lookup, row.record),
        )

    def replace_document(self, document_id: str, row: DocumentRow) -> None:
        """Put another row in the place of a document's, in the caller's transaction."""
        self._database.execute(
            "UPDATE documents SET id = ?, record = ? WHERE id = ?", (row.id, row.record, document_id)
        )

    def remove_document(self, document_id: str) -> None:
        """Remove a document's row, in the caller's transaction."""
        self._database.execute("DELETE FROM documents WHERE id = ?", (document_id,))

    def remove_patient(self, row: PatientRow) -> None:
        """Remove a patient with key, recordings and documents, in the caller's transaction; what stays is that this
        keyed hash had this pseudonym."""
        self._database.execute("DELETE FROM documents WHERE pseudonym = ?", (row.pseudonym,))
        self._database.execute("DELETE FROM recordings WHERE pseudonym = ?", (row.pseudonym,))
        self._database.execute("DELETE FROM patients WHERE pseudonym = ?", (row.pseudonym,))
        self._database.execute("INSERT OR REPLACE INTO erased VALUES (?, ?)", (row.lookup, row.pseudonym))

    def erased(self) -> dict[bytes, str]:
        """Pseudonyms of erased patients by the keyed hash of their identifier."""
        with index_errors(self.path):
            rows = self._database.execute("SELECT lookup, pseudonym FROM erased ORDER BY pseudonym").fetchall()
            return dict(_typed(row, (bytes, str)) for row in rows)

    def image(self) -> bytes:
        """The whole index as this connection sees it, whatever part of it is in the write-ahead log."""
        with index_errors(self.path):
            return self._database.serialize()

    def forget_log(self) -> bool:
        """Fold the write-ahead log into the index and cut it to nothing; False where a reader prevents that."""
        with index_errors(self.path):
            self._database.execute("PRAGMA busy_timeout = 100")  # the caller waits, with a deadline of its own
            try:
                busy, _, _ = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self._database.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT_S * 1000)}")
            return not busy

    def integrity(self) -> str:
        """``ok``, or what SQLite's own check finds wrong with the file."""
        try:
            return "; ".join(str(row[0]) for row in self._database.execute("PRAGMA integrity_check(10)").fetchall())
        except (sqlite3.Error, UnicodeError) as error:
            return str(error)
