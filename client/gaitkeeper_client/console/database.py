"""The console's own records: users, sessions, API keys, and the queue of recordings. SQLite, ``synchronous=FULL``.

One connection for each piece of work, so that request threads, worker processes and the command line share the file
without sharing anything else. What is a patient's is sealed before it comes here, but for pseudonyms.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.durable import make_private_folder, prepare_file
from gaitkeeper_shared.errors import GaitkeeperError

BUSY_S = 20.0
FORMAT = 2
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_SHMSIZE}
_TABLES = """
CREATE TABLE users (
    name TEXT PRIMARY KEY, password TEXT NOT NULL, roles TEXT NOT NULL, created_at TEXT NOT NULL, disabled_at TEXT
) WITHOUT ROWID;
CREATE TABLE sessions (
    token BLOB PRIMARY KEY, user TEXT NOT NULL, csrf TEXT NOT NULL, created_at REAL NOT NULL, seen_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE failures (at REAL NOT NULL, subject BLOB NOT NULL);
CREATE INDEX failures_of ON failures (subject, at);
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, secret BLOB NOT NULL, scopes TEXT NOT NULL, created_at TEXT NOT NULL,
    expires_at TEXT, revoked_at TEXT
) WITHOUT ROWID;
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, pseudonym TEXT NOT NULL, owner TEXT NOT NULL,
    size INTEGER NOT NULL, received INTEGER NOT NULL, state TEXT NOT NULL, worker TEXT, attempts INTEGER NOT NULL,
    done INTEGER NOT NULL, total INTEGER NOT NULL, report TEXT, code TEXT, message TEXT,
    created_at TEXT NOT NULL, changed_at TEXT NOT NULL
);
CREATE INDEX jobs_by_state ON jobs (state, number);
CREATE TABLE seen (mark BLOB PRIMARY KEY, outcome TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
"""
_SECOND = """
CREATE TABLE bindings (
    issuer TEXT NOT NULL, subject TEXT NOT NULL, user TEXT NOT NULL UNIQUE, at TEXT NOT NULL,
    PRIMARY KEY (issuer, subject)
) WITHOUT ROWID;
"""
"""What format 2 has beyond format 1: which person at the clinic's provider a user is."""


class Database:
    """The file of a home. Making one touches nothing until the first use."""

    def __init__(self, home: SiteHome) -> None:
        self.path: Path = home.path / "console" / "console.sqlite"
        self._ready = False

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the block is committed, durably, or nothing. Raises ``console-busy``, ``disk-full``,
        ``console-damaged``."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A look at what was committed. Raises as :meth:`write` does."""
        with self._connection() as connection:
            yield connection

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._errors():
            if not self._ready:
                make_private_folder(self.path.parent)
                prepare_file(self.path)
            with contextlib.closing(sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)) as connection:
                connection.row_factory = sqlite3.Row
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA secure_delete = ON")
                if not self._ready:
                    self._settle(connection)
                yield connection

    def _settle(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        missing = {0: _TABLES + _SECOND, 1: _SECOND}.get(found, "")
        if missing:
            for statement in filter(str.strip, missing.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")
        if found not in (0, 1, FORMAT):
            detail = f"it has format {found}, this version knows format {FORMAT}"
            raise GaitkeeperError("console-damaged", path=self.path, detail=detail)
        self.path.chmod(0o600)
        self._ready = True

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise  # the caller's own business: a name that is taken
        except (sqlite3.Error, UnicodeError) as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code in _FULL:
                raise GaitkeeperError("disk-full", path=self.path, detail=error) from error
            if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise GaitkeeperError("console-busy", path=self.path, seconds=BUSY_S) from error
            raise GaitkeeperError("console-damaged", path=self.path, detail=error) from error
