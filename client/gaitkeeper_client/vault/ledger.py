"""The privacy ledger: what every patient of this site has spent, ever, charged before anything is trained.

SQLite with ``synchronous=FULL``. Entries are only ever added and each carries the hash of the one before; the newest
hash also lies in ``ledger.anchor``, so that a ledger which is damaged, cut short or put back to an older state is
noticed, and no training happens on it. A round's charge and the intent to train are one entry in one transaction; the
reply is stored before it is sent. So a kill at any moment can only over-count: a charge without a reply that left.
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
from typing import Literal

from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.privacy.accounting import Budget, Spend, epsilon, within

ChargeKind = Literal["train", "evaluate"]
KEPT_REPLIES = 3
"""Replies kept per run; an older round is never asked for again, because the coordinator has committed past it."""
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
"""


@dataclass(frozen=True, slots=True)
class RoundKey:
    """Which round of which run of which study."""

    study_hash: str
    run: str
    round: int


@dataclass(frozen=True, slots=True)
class Charge:
    """``spend`` by each of ``patients`` (pseudonyms); ``budget``: what the study allows for this kind altogether."""

    kind: ChargeKind
    patients: tuple[str, ...]
    spend: Spend
    budget: Budget


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger. ``kind`` is a charge's, or ``reply``, whose ``digest`` is the reply's SHA-256."""

    seq: int
    at: str
    key: RoundKey
    kind: str
    spend: Spend | None
    patients: frozenset[str]
    digest: str


@dataclass(frozen=True, slots=True)
class StoredReply:
    """What was answered in a round (``body``), and what the site keeps for the next one (``state``, never sent)."""

    body: bytes
    state: bytes


class Ledger:
    """A site's ledger. Opening verifies all of it.

    Raises ``ledger-damaged``, ``ledger-rolled-back`` or ``ledger-unwritable``.
    """

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self._anchor = path.with_name("ledger.anchor")
        self._clock = clock
        with self._writing() as database:
            self._entries, self._head = self._verified(database)
            anchored, _ = self._read_anchor()
        if anchored < len(self._entries) or not self._anchor.exists():
            self._write_anchor()  # a kill came between the commit and the anchor

    # -- charging

    def charge(self, key: RoundKey, charges: Sequence[Charge], cap: Budget | None = None) -> bool:
        """Charge a round, durably, before it trains. False where this round was charged before: then nothing is added.

        ``cap``: what a patient may spend at this site over all studies together. Raises ``budget-spent`` or
        ``budget-cap`` before anything is written; all charges are written in one transaction.
        """
        with self._writing() as database:
            self._refresh(database)
            if any(entry.key == key and entry.kind != "reply" for entry in self._entries):
                return False
            for charge in charges:
                self._check(key, charge, cap)
            for charge in charges:
                self._append(database, key, charge.kind, charge.spend, charge.patients, "")
        self._write_anchor()
        return True

    def exhausted(self, key: RoundKey, charge: Charge, cap: Budget | None) -> tuple[str, ...]:
        """Those of ``charge.patients`` whom the charge would take past the study's budget or the site's cap."""
        return tuple(
            patient
            for patient in charge.patients
            if self._refusal(key, charge, self._history(patient), cap) is not None
        )

    def _check(self, key: RoundKey, charge: Charge, cap: Budget | None) -> None:
        seen = set()
        for patient in charge.patients:
            history = self._history(patient)
            if history not in seen:
                seen.add(history)
                if (refusal := self._refusal(key, charge, history, cap)) is not None:
                    raise refusal
        # The study's price is counted for the site too: nobody's absence makes a round free.
        if (refusal := self._refusal(key, charge, self._rounds_of(key.study_hash, charge.kind), None)) is not None:
            raise refusal

    def _refusal(
        self, key: RoundKey, charge: Charge, history: tuple[tuple[str, str, Spend], ...], cap: Budget | None
    ) -> GaitkeeperError | None:
        of_study = [s for study, kind, s in history if study == key.study_hash and kind == charge.kind]
        of_study.append(charge.spend)
        budget = charge.budget
        if not within(of_study, budget):
            return GaitkeeperError(
                "budget-spent",
                round=key.round,
                run=key.run,
                study=key.study_hash[:12],
                epsilon=epsilon(of_study, budget.delta),
                delta=budget.delta,
                limit=budget.epsilon,
            )
        if cap is not None:
            everything = [spend for _, _, spend in history]
            everything.append(charge.spend)
            if not within(everything, cap):
                spent = epsilon(everything, cap.delta)
                return GaitkeeperError("budget-cap", epsilon=spent, limit=cap.epsilon, delta=cap.delta)
        return None

    # -- replies

    def reply(self, key: RoundKey) -> StoredReply | None:
        """The reply that was stored for a round, or None where none ever was. Raises ``reply-gone``."""
        digest = next((e.digest for e in self._entries if e.key == key and e.kind == "reply"), None)
        if digest is None:
            return None
        with self._reading() as database:
            row = database.execute(
                "SELECT body, state FROM replies WHERE study = ? AND run = ? AND round = ?",
                (key.study_hash, key.run, key.round),
            ).fetchone()
        if row is None:
            raise GaitkeeperError("reply-gone", round=key.round, run=key.run)
        if _reply_digest(row[0], row[1]) != digest:
            raise GaitkeeperError(
                "ledger-damaged", path=self.path, detail=f"the reply of round {key.round} was changed"
            )
        return StoredReply(row[0], row[1])

    def store_reply(self, key: RoundKey, reply: StoredReply) -> StoredReply:
        """Keep a reply, durably, before it is sent. Returns what is to be sent: the first reply that was ever kept."""
        with self._writing() as database:
            self._refresh(database)
            answered = any(entry.key == key and entry.kind == "reply" for entry in self._entries)
            if not answered:
                self._keep(database, key, reply)
        if answered and (kept := self.reply(key)) is not None:
            return kept
        self._write_anchor()
        return reply

    def _keep(self, database: sqlite3.Connection, key: RoundKey, reply: StoredReply) -> None:
        self._append(database, key, "reply", None, (), _reply_digest(reply.body, reply.state))
        row = (key.study_hash, key.run, key.round, reply.body, reply.state)
        database.execute("INSERT INTO replies VALUES (?, ?, ?, ?, ?)", row)
        database.execute(
            "DELETE FROM replies WHERE study = ? AND run = ? AND round <= ?",
            (key.study_hash, key.run, key.round - KEPT_REPLIES),
        )

    def state_before(self, key: RoundKey) -> bytes:
        """What the site kept after its last answered round before ``key`` in this run; empty at the beginning."""
        rounds = [
            entry.key.round
            for entry in self._entries
            if entry.kind == "reply"
            and (entry.key.study_hash, entry.key.run) == (key.study_hash, key.run)
            and entry.key.round < key.round
        ]
        if not rounds:
            return b""
        try:
            stored = self.reply(RoundKey(key.study_hash, key.run, max(rounds)))
        except GaitkeeperError as error:
            if error.code != "reply-gone":
                raise
            return b""
        return stored.state if stored is not None else b""

    # -- reading

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every entry, oldest first."""
        return tuple(self._entries)

    def patients(self) -> tuple[str, ...]:
        """Every pseudonym that was ever charged, also of patients who were erased since."""
        return tuple(sorted({patient for entry in self._entries for patient in entry.patients}))

    def spent(self, pseudonym: str, study_hash: str | None = None) -> tuple[Spend, ...]:
        """What a patient spent, in one study or in all."""
        return tuple(s for study, _, s in self._history(pseudonym) if study_hash is None or study == study_hash)

    def study_epsilon(self, study_hash: str, delta: float) -> float:
        """Epsilon of all training rounds of a study here: the cost of a patient who was there in each of them."""
        return epsilon((spend for _, _, spend in self._rounds_of(study_hash, "train")), delta)

    def _history(self, pseudonym: str) -> tuple[tuple[str, str, Spend], ...]:
        return tuple(
            (entry.key.study_hash, entry.kind, entry.spend)
            for entry in self._entries
            if entry.spend is not None and pseudonym in entry.patients
        )

    def _rounds_of(self, study_hash: str, kind: str) -> tuple[tuple[str, str, Spend], ...]:
        return tuple(
            (study_hash, kind, entry.spend)
            for entry in self._entries
            if entry.spend is not None and entry.key.study_hash == study_hash and entry.kind == kind
        )

    # -- the chain

    def _append(
        self,
        database: sqlite3.Connection,
        key: RoundKey,
        kind: str,
        spend: Spend | None,
        patients: Iterable[str],
        digest: str,
    ) -> None:
        noise, rate, steps = (0.0, 0.0, 0)
        if spend is not None:
            noise, rate, steps = float(spend.noise_multiplier), float(spend.sample_rate), spend.steps
        at = self._clock().astimezone(UTC).isoformat()
        content = (
            len(self._entries) + 1,
            at,
            key.study_hash,
            key.run,
            key.round,
            kind,
            noise,
            rate,
            steps,
            json.dumps(sorted(patients)),
            digest,
            self._head,
        )
        row = (*content, _hash(content))
        database.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        self._entries.append(_entry(row))
        self._head = row[-1]

    def _refresh(self, database: sqlite3.Connection) -> None:
        # Another process may have written since (two nodes of one site, by mistake): what the disk says, counts.
        self._entries, self._head = self._verified(database, trusted=len(self._entries))

    def _verified(self, database: sqlite3.Connection, trusted: int = 0) -> tuple[list[Entry], str]:
        entries = list(self._entries[:trusted]) if trusted else []
        head = self._head if trusted else _ORIGIN
        anchored, anchor = self._read_anchor()
        at_anchor = _ORIGIN if anchored == 0 else (head if anchored == trusted else "")
        for row in database.execute("SELECT * FROM entries WHERE seq > ? ORDER BY seq", (trusted,)):
            if row[0] != len(entries) + 1 or row[-2] != head or _hash(row[:-1]) != row[-1]:
                raise GaitkeeperError("ledger-damaged", path=self.path, detail=f"entry {len(entries) + 1} was changed")
            entries.append(_entry(row))
            head = row[-1]
            if len(entries) == anchored:
                at_anchor = head
        count = database.execute("SELECT count(*) FROM entries").fetchone()[0]
        if max(anchored, trusted) > count:
            raise GaitkeeperError("ledger-rolled-back", path=self.path, found=count, expected=max(anchored, trusted))
        if at_anchor and at_anchor != anchor:
            raise GaitkeeperError("ledger-damaged", path=self.path, detail="it does not go on from its anchor")
        if entries and not self._anchor.exists():
            raise GaitkeeperError("ledger-damaged", path=self.path, detail=f"{self._anchor.name} is missing")
        return entries, head

    def _read_anchor(self) -> tuple[int, str]:
        try:
            table = json.loads(self._anchor.read_text("utf-8"))
            return int(table["entries"]), str(table["hash"])
        except FileNotFoundError:
            return 0, _ORIGIN
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GaitkeeperError("ledger-damaged", path=self._anchor, detail=error) from error

    def _write_anchor(self) -> None:
        table = {"entries": len(self._entries), "hash": self._head}
        try:
            write_durably(self._anchor, json.dumps(table).encode("utf-8"))
        except OSError as error:
            raise GaitkeeperError("ledger-unwritable", path=self._anchor, detail=error) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: whole and on the disk when it ends, or not at all."""
        known = list(getattr(self, "_entries", [])), getattr(self, "_head", _ORIGIN)
        with self._errors(), closing(self._connect()) as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                self._entries, self._head = known
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._errors(), closing(self._connect()) as database:
            yield database

    def _connect(self) -> sqlite3.Connection:
        fresh = not self.path.exists()
        database = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
        try:
            if fresh:
                self.path.chmod(0o600)
            database.execute("PRAGMA journal_mode = DELETE")
            database.execute("PRAGMA synchronous = FULL")
            if fresh or database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                database.executescript(_SCHEMA)
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


def _entry(row: tuple[object, ...]) -> Entry:
    seq, at, study, run, number, kind, noise, rate, steps, patients, digest, _, _ = row
    spend = None if kind == "reply" else Spend(float(noise), float(rate), int(steps))  # type: ignore[arg-type, call-overload]
    key = RoundKey(str(study), str(run), int(number))  # type: ignore[call-overload]
    return Entry(int(seq), str(at), key, str(kind), spend, frozenset(json.loads(str(patients))), str(digest))  # type: ignore[call-overload]


def _hash(content: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(list(content), separators=(",", ":")).encode("utf-8")).hexdigest()


def _reply_digest(body: bytes, state: bytes) -> str:
    return hashlib.sha256(hashlib.sha256(body).digest() + hashlib.sha256(state).digest()).hexdigest()
