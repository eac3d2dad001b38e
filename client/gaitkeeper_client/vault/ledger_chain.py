"""The ledger's file: entries that are only ever added, chained by hashes, with the newest hash kept outside as well.

SQLite with ``synchronous=FULL``. Each entry carries the hash of the one before. How many there are and the newest hash
also lie in ``ledger.anchor``, and in a *witness* in another folder: a ledger that is damaged, cut short, put back to an
older state or made anew is noticed, also when database and anchor were exchanged together. Where the site's key is at
hand, each entry carries a seal as well (:mod:`~gaitkeeper_client.vault.ledger_seal`): hashes anybody can make anew.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gaitkeeper_client.vault.ledger_seal import LedgerKeys
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.privacy.accounting import Spend

_BUSY_S = 30.0
_ORIGIN = "0" * 64
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY, at TEXT NOT NULL, study TEXT NOT NULL, run TEXT NOT NULL, round INTEGER NOT NULL,
    kind TEXT NOT NULL, noise_multiplier REAL NOT NULL, sample_rate REAL NOT NULL, steps INTEGER NOT NULL,
    patients TEXT NOT NULL, digest TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL,
    UNIQUE (study, run, round, kind)
) STRICT;
CREATE TABLE IF NOT EXISTS replies (
    study TEXT NOT NULL, run TEXT NOT NULL, round INTEGER NOT NULL, body BLOB NOT NULL, state BLOB NOT NULL,
    PRIMARY KEY (study, run, round)
) STRICT;
CREATE TABLE IF NOT EXISTS seals (seq INTEGER PRIMARY KEY, seal TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True)
class RoundKey:
    """Which round of which run of which study."""

    study_hash: str
    run: str
    round: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger.

    ``kind`` is a charge's, its local price's, ``closed``, ``reply``, whose ``digest`` is the reply's
    SHA-256, or ``sum`` (``sum-2`` for one that took its place), whose ``digest`` is that of the sites in it."""

    seq: int
    at: str
    key: RoundKey
    kind: str
    spend: Spend | None
    patients: frozenset[str]
    digest: str


class LedgerChain:
    """The entries of a ledger. Opening verifies all of them.

    ``witness``: a second place for the newest hash. It is first written after the ledger was made; once it is there, a
    ledger that is gone is never made anew. ``keys``: check every seal and make one for each new entry; without them
    hashes alone are checked, and a sealed ledger cannot be added to. ``adopt``: seal a ledger whose entries have no
    seals yet, which is refused otherwise. Raises ``ledger-lost``, ``ledger-damaged``, ``ledger-rolled-back``,
    ``ledger-unsealed``, ``ledger-unwritable``.
    """

    def __init__(
        self,
        path: Path,
        witness: Path | None,
        clock: Callable[[], datetime],
        keys: LedgerKeys | None = None,
        *,
        adopt: bool = False,
    ) -> None:
        self.path, self.keys = path, keys
        self.sealed = False
        self.adopted = 0
        self._anchors = (path.with_name("ledger.anchor"), *(() if witness is None else (witness,)))
        self._clock = clock
        self.entries: list[Entry] = []
        self._hashes: list[str] = []
        if witness is not None and witness.exists() and not (path.exists() and self._anchors[0].exists()):
            raise GaitkeeperError("ledger-lost", path=path, witness=witness)
        with self.writing(adopt=adopt):
            anchored = [self._read(anchor) for anchor in self._anchors]
        if any(count is None or count < len(self.entries) for count, _ in anchored):
            self.anchor()  # a kill came between the commit and the anchors, or the ledger is new

    @contextmanager
    def writing(self, *, adopt: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction over verified entries: whole and on the disk when it ends, or not at all.

        Another process may have written since the last one (two nodes of one site, by mistake): what the disk says,
        counts. Call :meth:`anchor` after it.
        """
        known = list(self.entries), list(self._hashes)
        with self._errors(), closing(self._connect()) as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                if adopt and self.keys is not None:
                    self._adopt(database, self.keys)
                self._verify(database)
                yield database
                database.execute("COMMIT")
            except BaseException:
                self.entries, self._hashes = known
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading."""
        with self._errors(), closing(self._connect()) as database:
            yield database

    def append(
        self,
        database: sqlite3.Connection,
        key: RoundKey,
        kind: str,
        spend: Spend | None,
        patients: Iterable[str],
        digest: str,
    ) -> None:
        """Add an entry within a transaction of :meth:`writing`. Raises ``ledger-key-missing``."""
        if self.sealed and self.keys is None:
            raise GaitkeeperError("ledger-key-missing", path=self.path)
        noise, rate, steps = (0.0, 0.0, 0)
        if spend is not None:
            noise, rate, steps = float(spend.noise_multiplier), float(spend.sample_rate), spend.steps
        at = self._clock().astimezone(UTC).isoformat()
        names = json.dumps(sorted(patients))
        place = (len(self.entries) + 1, at, key.study_hash, key.run, key.round)
        content = (*place, kind, noise, rate, steps, names, digest, self._head)
        row = (*content, _hash(content))
        database.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        if self.keys is not None:
            database.execute("INSERT INTO seals VALUES (?, ?)", (row[0], self.keys.seal_of(row[-1])))
            self.sealed = True
        self.entries.append(_entry(row))
        self._hashes.append(row[-1])

    def anchor(self) -> None:
        """Keep the number of entries and the newest hash outside the database, durably.

        Under the database's own lock, and never fewer than stand there: another process may have written and anchored
        between our commit and this, and its entry must not be forgotten.
        """
        table = json.dumps({"entries": len(self.entries), "hash": self._head}).encode("utf-8")
        with self._errors(), closing(self._connect()) as database:
            database.execute("BEGIN IMMEDIATE")
            for place in self._anchors:
                count, _ = self._read(place)
                if count is not None and count >= len(self.entries):
                    continue
                try:
                    write_durably(place, table)
                except OSError as error:
                    raise GaitkeeperError("ledger-unwritable", path=place, detail=error) from error
            database.execute("ROLLBACK")

    @property
    def _head(self) -> str:
        return self._hashes[-1] if self._hashes else _ORIGIN

    def _verify(self, database: sqlite3.Connection) -> None:
        """Read the entries that are new to us, and compare all with what was written outside."""
        known = len(self.entries)
        seals = dict(database.execute("SELECT seq, seal FROM seals WHERE seq > ?", (known,)).fetchall())
        self.sealed = self.sealed or bool(seals)
        for row in database.execute("SELECT * FROM entries WHERE seq > ? ORDER BY seq", (known,)):
            number = len(self.entries) + 1
            if row[0] != number or row[-2] != self._head or _hash(row[:-1]) != row[-1]:
                raise GaitkeeperError("ledger-damaged", path=self.path, detail=f"entry {number} was changed")
            self._check_seal(number, row[-1], seals.get(number))
            self.entries.append(_entry(row))
            self._hashes.append(row[-1])
        count = database.execute("SELECT count(*) FROM entries").fetchone()[0]
        anchored = [self._read(anchor) for anchor in self._anchors]
        expected = max(known, *(number or 0 for number, _ in anchored))
        if expected > count:
            raise GaitkeeperError("ledger-rolled-back", path=self.path, found=count, expected=expected)
        for anchor, (place, kept) in zip(self._anchors, anchored, strict=True):
            if place is not None and kept != (self._hashes[place - 1] if place else _ORIGIN):
                raise GaitkeeperError("ledger-damaged", path=self.path, detail=f"it does not go on from {anchor.name}")
        if self.entries and anchored[0][0] is None:
            detail = f"{self._anchors[0].name} is missing"
            raise GaitkeeperError("ledger-damaged", path=self.path, detail=detail)

    def _check_seal(self, number: int, entry_hash: str, found: str | None) -> None:
        if self.keys is None:
            return
        if not self.sealed:
            raise GaitkeeperError("ledger-unsealed", path=self.path)
        if found is None or not self.keys.holds(entry_hash, found):
            detail = f"entry {number} does not carry this site's seal"
            raise GaitkeeperError("ledger-damaged", path=self.path, detail=detail)

    def _adopt(self, database: sqlite3.Connection, keys: LedgerKeys) -> None:
        """Seal everything that is there, where nothing was sealed yet; what is broken is found out right after."""
        if database.execute("SELECT count(*) FROM seals").fetchone()[0]:
            return
        for seq, hash_ in database.execute("SELECT seq, hash FROM entries").fetchall():
            database.execute("INSERT INTO seals VALUES (?, ?)", (seq, keys.seal_of(hash_)))
            self.adopted += 1
        for *place, body, state in database.execute("SELECT study, run, round, body, state FROM replies").fetchall():
            where = (str(place[0]), str(place[1]), int(place[2]))
            sealed = (keys.sealed_reply(body, "body", where), keys.sealed_reply(state, "state", where))
            database.execute(
                "UPDATE replies SET body = ?, state = ? WHERE study = ? AND run = ? AND round = ?", (*sealed, *where)
            )

    @staticmethod
    def _read(anchor: Path) -> tuple[int | None, str]:
        """Number of entries and newest hash that were kept outside; None where nothing was yet."""
        try:
            table = json.loads(anchor.read_text("utf-8"))
            count, newest = int(table["entries"]), str(table["hash"])
            if count < 0:
                raise ValueError("it counts below zero")
        except FileNotFoundError:
            return None, _ORIGIN
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GaitkeeperError("ledger-damaged", path=anchor, detail=error) from error
        return count, newest

    def _connect(self) -> sqlite3.Connection:
        fresh = not self.path.exists()
        database = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
        try:
            if fresh:
                self.path.chmod(0o600)
            database.execute("PRAGMA journal_mode = DELETE")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA secure_delete = ON")  # a reply that is dropped is an update without its mask
            if fresh or not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'seals'").fetchone():
                database.executescript(_SCHEMA)  # new, or of a version that knew no seals
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise GaitkeeperError("ledger-unwritable", path=self.path, detail=error) from error
        except sqlite3.DatabaseError as error:
            raise GaitkeeperError("ledger-damaged", path=self.path, detail=error) from error
        except UnicodeError as error:  # SQLite hands out damaged text as it is
            raise GaitkeeperError("ledger-damaged", path=self.path, detail="it holds broken text") from error


def _entry(row: tuple[object, ...]) -> Entry:
    seq, at, study, run, number, kind, noise, rate, steps, patients, digest, _, _ = row
    free = kind in ("reply", "closed") or str(kind).startswith("sum")
    spend = None if free else Spend(float(noise), float(rate), int(steps))  # type: ignore[arg-type, call-overload]
    key = RoundKey(str(study), str(run), int(number))  # type: ignore[call-overload]
    return Entry(int(seq), str(at), key, str(kind), spend, frozenset(json.loads(str(patients))), str(digest))  # type: ignore[call-overload]


def _hash(content: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(list(content), separators=(",", ":")).encode("utf-8")).hexdigest()
