"""The privacy ledger: what every patient of this site has spent, ever, charged before anything is trained.

A round's charge and the intent to train are one entry in one transaction; the reply is stored before it is sent. So a
kill at any moment can only over-count: a charge without a reply that left. Whom a round was charged to is decided
once, in that transaction; a round that is asked for again is for those people and nobody else.

What a refusal says is computed from the site's rounds alone, never from who was in them, because it leaves the site.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gaitkeeper_client.vault.ledger_chain import Entry, LedgerChain, RoundKey
from gaitkeeper_client.vault.ledger_seal import LedgerKeys
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.privacy.accounting import Budget, Spend, epsilon, within

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import SiteKey

__all__ = [
    "Charge",
    "ChargeKind",
    "Entry",
    "Ledger",
    "LedgerKeys",
    "RoundKey",
    "StoredReply",
    "ledger_at_hand",
    "open_ledger",
]

_LOG = logging.getLogger(__name__)

ChargeKind = Literal["train", "evaluate"]
_CHARGES = ("train", "evaluate")
_LOCAL = "-local"
"""Ends the kind of an entry that records a charge's local price; such an entry charges nobody."""
KEPT_REPLIES = 1
"""Replies kept per run: the newest. An older round is never asked for again, because the coordinator commits a round
before it asks for the next; and of what is kept, sealed but without its mask, nothing more than that is needed."""
WITNESS = "ledger.witness"


@dataclass(frozen=True, slots=True)
class Charge:
    """``spend`` by each of ``patients`` (pseudonyms); ``budget``: what the study allows for this kind altogether.

    ``local``: what this site's update alone would cost somebody who got it without its mask, where that differs from
    the promise. It is recorded beside the charge and counts towards no limit.
    """

    kind: ChargeKind
    patients: tuple[str, ...]
    spend: Spend
    budget: Budget
    local: Spend | None = None


@dataclass(frozen=True, slots=True)
class StoredReply:
    """What was answered in a round (``body``), and what the site keeps for the next one (``state``, never sent)."""

    body: bytes
    state: bytes


class Ledger:
    """A site's ledger. Opening verifies all of it; see :class:`~gaitkeeper_client.vault.ledger_chain.LedgerChain`.

    ``keys``: without them nothing can be charged in a sealed ledger, and none of its replies be read. Raises
    ``ledger-lost``, ``ledger-damaged``, ``ledger-rolled-back``, ``ledger-unsealed`` or ``ledger-unwritable``.
    """

    def __init__(
        self,
        path: Path,
        *,
        witness: Path | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        keys: LedgerKeys | None = None,
        adopt: bool = False,
    ) -> None:
        self.path = path
        self._chain = LedgerChain(path, witness, clock, keys, adopt=adopt)

    # -- charging

    def charge(
        self, key: RoundKey, charges: Sequence[Charge], cap: Budget | None = None
    ) -> Mapping[str, frozenset[str]]:
        """Charge a round, durably, before it trains; for each kind, who it is charged to and may take part.

        A kind of this round that was charged before stays as it is, with the people of that time, whoever is asked for
        now. Of a new charge, people whom it would take past the study's budget or the site's ``cap`` (over all studies
        together) are left out silently. Raises ``budget-spent`` or ``budget-cap``, on the site's rounds and without
        regard to who was in them, before anything is written; ``round-refused`` where the price differs from what was
        charged. All charges are written in one transaction.
        """
        with self._chain.writing() as database:
            charged = {e.kind: e for e in self._chain.entries if e.key == key and e.kind in _CHARGES}
            for charge in charges:
                if charge.kind in charged and charged[charge.kind].spend != charge.spend:
                    raise GaitkeeperError("round-refused", why="it was charged before, at another price")
            new = [charge for charge in charges if charge.kind not in charged]
            for charge in new:
                self._check_site(key, charge, cap)
            allowed = {charge.kind: self._affording(key, charge, cap) for charge in new}
            for charge in new:
                self._chain.append(database, key, charge.kind, charge.spend, allowed[charge.kind], "")
                if charge.local not in (None, charge.spend):
                    self._chain.append(database, key, charge.kind + _LOCAL, charge.local, (), "")
        if new:
            self._chain.anchor()
        return {kind: entry.patients for kind, entry in charged.items()} | allowed

    def _check_site(self, key: RoundKey, charge: Charge, cap: Budget | None) -> None:
        """Refuse on the cost of somebody who was in every round of this kind: nobody's absence makes a round free."""
        of_study = [*self._rounds(charge.kind, key.study_hash), charge.spend]
        if not within(of_study, charge.budget):
            raise GaitkeeperError(
                "budget-spent",
                round=key.round,
                run=key.run,
                study=key.study_hash[:12],
                epsilon=epsilon(of_study, charge.budget.delta),
                delta=charge.budget.delta,
                limit=charge.budget.epsilon,
            )
        of_site = [*self._rounds(charge.kind), charge.spend]
        if cap is not None and not within(of_site, cap):
            spent = epsilon(of_site, cap.delta)
            raise GaitkeeperError("budget-cap", epsilon=spent, limit=cap.epsilon, delta=cap.delta)

    def _affording(self, key: RoundKey, charge: Charge, cap: Budget | None) -> frozenset[str]:
        """Those of ``charge.patients`` who stay within the study's budget and the site's cap."""
        affordable: dict[tuple[tuple[str, str, Spend], ...], bool] = {}
        left_out = set()
        for patient in charge.patients:
            history = self._history(patient)
            if history not in affordable:
                of_study = [s for study, kind, s in history if (study, kind) == (key.study_hash, charge.kind)]
                everything = [spend for _, _, spend in history]
                affordable[history] = within([*of_study, charge.spend], charge.budget) and (
                    cap is None or within([*everything, charge.spend], cap)
                )
            if not affordable[history]:
                left_out.add(patient)
        if left_out:
            names = ", ".join(sorted(left_out))
            _LOG.warning("round %d of %s leaves out whose budget is spent: %s", key.round, key.run, names)
        return frozenset(charge.patients) - left_out

    # -- replies

    def reply(self, key: RoundKey) -> StoredReply | None:
        """The reply that was stored for a round, or None where none ever was and the round is open.

        Raises ``reply-gone`` where it is no longer kept, or the round was closed (:meth:`close_unanswered`).
        """
        digest = next((e.digest for e in self._chain.entries if e.key == key and e.kind == "reply"), None)
        if digest is None:
            if any(entry.key == key and entry.kind == "closed" for entry in self._chain.entries):
                raise GaitkeeperError("reply-gone", round=key.round, run=key.run)
            return None
        with self._chain.reading() as database:
            row = database.execute(
                "SELECT body, state FROM replies WHERE study = ? AND run = ? AND round = ?",
                (key.study_hash, key.run, key.round),
            ).fetchone()
        if row is None or (kept := self._opened(key, StoredReply(row[0], row[1]))) is None:
            raise GaitkeeperError("reply-gone", round=key.round, run=key.run)
        if _reply_digest(kept.body, kept.state) != digest:
            raise self._reply_changed(key)
        return kept

    def store_reply(self, key: RoundKey, reply: StoredReply) -> StoredReply:
        """Keep a reply, durably, before it is sent. Returns what is to be sent: the first reply that was ever kept."""
        with self._chain.writing() as database:
            answered = any(entry.key == key and entry.kind == "reply" for entry in self._chain.entries)
            if not answered:
                self._keep(database, key, reply)
        if answered and (kept := self.reply(key)) is not None:
            return kept
        self._chain.anchor()
        return reply

    def _keep(self, database: sqlite3.Connection, key: RoundKey, reply: StoredReply) -> None:
        self._chain.append(database, key, "reply", None, (), _reply_digest(reply.body, reply.state))
        sealed = _sealed(self._chain.keys, key, reply)
        row = (key.study_hash, key.run, key.round, sealed.body, sealed.state)
        database.execute("INSERT INTO replies VALUES (?, ?, ?, ?, ?)", row)
        database.execute(
            "DELETE FROM replies WHERE study = ? AND run = ? AND round <= ?",
            (key.study_hash, key.run, key.round - KEPT_REPLIES),
        )

    def _opened(self, key: RoundKey, kept: StoredReply) -> StoredReply | None:
        """A kept reply as it was; None where a key of before a rotation sealed it."""
        keys, place = self._chain.keys, (key.study_hash, key.run, key.round)
        if keys is None:
            if self._chain.sealed:
                raise GaitkeeperError("ledger-key-missing", path=self.path)
            return kept
        try:
            body, state = (keys.opened_reply(getattr(kept, part), part, place) for part in ("body", "state"))
        except GaitkeeperError as error:
            raise self._reply_changed(key) from error
        return None if body is None or state is None else StoredReply(body, state)

    def _reply_changed(self, key: RoundKey) -> GaitkeeperError:
        detail = f"the reply of round {key.round} was changed"
        return GaitkeeperError("ledger-damaged", path=self.path, detail=detail)

    def reseal_replies(self, fresh: LedgerKeys) -> None:
        """Seal what is kept of replies by other keys, those of after a rotation."""
        with self._chain.writing() as database:
            for study, run, number, body, state in database.execute("SELECT * FROM replies").fetchall():
                key = RoundKey(study, run, number)
                if (kept := self._opened(key, StoredReply(body, state))) is not None:
                    anew = _sealed(fresh, key, kept)
                    database.execute(
                        "UPDATE replies SET body = ?, state = ? WHERE study = ? AND run = ? AND round = ?",
                        (anew.body, anew.state, study, run, number),
                    )

    def close_unanswered(self) -> tuple[RoundKey, ...]:
        """Close, durably, every round that was charged and not answered here: it is never trained under that charge.

        For a ledger that may not be the newest: the answer may have left after it was copied.
        """
        with self._chain.writing() as database:
            done = {entry.key for entry in self._chain.entries if entry.kind in ("reply", "closed")}
            charged = dict.fromkeys(entry.key for entry in self._chain.entries if entry.kind in _CHARGES)
            unanswered = tuple(key for key in charged if key not in done)
            for key in unanswered:
                self._chain.append(database, key, "closed", None, (), "")
        if unanswered:
            self._chain.anchor()
        return unanswered

    def forget_replies(self, study_hash: str) -> None:
        """Drop what is kept of a study's replies, unmasked updates of this site; that there were replies stays.

        A reply that had not arrived yet cannot be asked for again: the site is out of that round.
        """
        with self._chain.writing() as database:
            database.execute("DELETE FROM replies WHERE study = ?", (study_hash,))

    def forget_older(self, moment: datetime) -> int:
        """Drop what is kept of replies from before ``moment``, as :meth:`forget_replies`; how many there were."""
        with self._chain.writing() as database:
            answered = {e.key: e.at for e in self._chain.entries if e.kind == "reply"}
            kept = [RoundKey(*row) for row in database.execute("SELECT study, run, round FROM replies").fetchall()]
            old = [key for key in kept if key in answered and datetime.fromisoformat(answered[key]) < moment]
            for key in old:
                place = (key.study_hash, key.run, key.round)
                database.execute("DELETE FROM replies WHERE study = ? AND run = ? AND round = ?", place)
        return len(old)

    def allow_sum(self, key: RoundKey, digest: str, in_place_of: Collection[str] = ()) -> None:
        """Note, durably, which sum of a round this site helps to open (``digest`` of its members), before it does.

        One sum a round, ever: two sums with and without a site would tell that site's update. ``in_place_of``: digests
        of the sums which this one differs from by proven liars alone (``secure.proofs``): it may follow one of them,
        and then counts in its stead. Raises ``secure-refused`` for another one.
        """
        with self._chain.writing() as database:
            sums = [entry.digest for entry in self._chain.entries if entry.key == key and entry.kind.startswith("sum")]
            opened = sums[-1] if sums else None
            if opened not in (None, digest) and opened not in in_place_of:
                raise GaitkeeperError("secure-refused", why="another sum of this round was opened before")
            if opened != digest:
                kind = f"sum-{len(sums) + 1}" if sums else "sum"
                self._chain.append(database, key, kind, None, (), digest)
        if opened != digest:
            self._chain.anchor()

    def state_before(self, key: RoundKey) -> bytes:
        """What the site kept after its last answered round before ``key`` in this run; empty at the beginning."""
        rounds = [
            entry.key.round
            for entry in self._chain.entries
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
        return tuple(self._chain.entries)

    @property
    def adopted(self) -> int:
        """How many entries had no seal and were sealed when this was opened."""
        return self._chain.adopted

    @property
    def seals_checked(self) -> bool:
        """Whether every entry is known to be this site's own; hashes alone do not say that."""
        return self._chain.keys is not None

    def charged(self, key: RoundKey) -> frozenset[str]:
        """Everybody whom a round was charged to."""
        return frozenset(patient for entry in self._chain.entries if entry.key == key for patient in entry.patients)

    def patients(self) -> tuple[str, ...]:
        """Every pseudonym that was ever charged, also of patients who were erased since."""
        return tuple(sorted({patient for entry in self._chain.entries for patient in entry.patients}))

    def spent(self, pseudonym: str, study_hash: str | None = None) -> tuple[Spend, ...]:
        """What a patient spent, in one study or in all."""
        return tuple(s for study, _, s in self._history(pseudonym) if study_hash is None or study == study_hash)

    def study_rounds(self, kind: ChargeKind, study_hash: str) -> tuple[Entry, ...]:
        """The charges of a kind in a study, oldest first."""
        return tuple(self._rounds_of(kind, study_hash))

    def study_epsilon(self, study_hash: str, delta: float, *, kind: ChargeKind = "train", local: bool = False) -> float:
        """Epsilon of all rounds of a kind of a study here: the cost of a patient who was there in each of them.

        ``local``: not of what was promised, but against somebody who got this site's updates without their masks.
        """
        rounds = {entry.key: entry.spend for entry in self._rounds_of(kind, study_hash)}
        if local:
            rounds |= {entry.key: entry.spend for entry in self._rounds_of(kind + _LOCAL, study_hash)}
        return epsilon([spend for spend in rounds.values() if spend is not None], delta)

    def site_spent(self, kind: ChargeKind) -> tuple[Spend, ...]:
        """All charges of a kind, over all studies: what somebody who was in each of them spent. The cap is on this."""
        return tuple(self._rounds(kind))

    def _history(self, pseudonym: str) -> tuple[tuple[str, str, Spend], ...]:
        return tuple(
            (entry.key.study_hash, entry.kind, entry.spend)
            for entry in self._chain.entries
            if entry.spend is not None and entry.kind in _CHARGES and pseudonym in entry.patients
        )

    def _rounds(self, kind: str, study_hash: str | None = None) -> Iterable[Spend]:
        return [entry.spend for entry in self._rounds_of(kind, study_hash) if entry.spend is not None]

    def _rounds_of(self, kind: str, study_hash: str | None = None) -> Iterable[Entry]:
        return [e for e in self._chain.entries if e.kind == kind and study_hash in (None, e.key.study_hash)]


def open_ledger(home: SiteHome, key: SiteKey | None = None, *, adopt: bool = False) -> Ledger:
    """The ledger of a site's home, with its witness among the keys: away from ``ledger.sqlite`` and its anchor.

    ``key``: None where only hashes are to be checked, and nothing is charged. ``adopt``: seal the entries of a version
    that knew no seals.
    """
    keys = None if key is None else LedgerKeys.of(key)
    return Ledger(home.ledger, witness=home.keys / WITNESS, keys=keys, adopt=adopt)


def ledger_at_hand(home: SiteHome) -> Ledger:
    """The ledger for somebody who only reads and is not asked for a passphrase: seals are checked where the site's key
    lies in a file, which every command of the site can read."""
    from gaitkeeper_client.vault.keys import unlock

    key = unlock(home) if home.config().key_mode == "file" and home.key_file.exists() else None
    return open_ledger(home, key)


def _sealed(keys: LedgerKeys | None, key: RoundKey, reply: StoredReply) -> StoredReply:
    """A reply as the ledger keeps it."""
    if keys is None:
        return reply
    place = (key.study_hash, key.run, key.round)
    return StoredReply(keys.sealed_reply(reply.body, "body", place), keys.sealed_reply(reply.state, "state", place))


def _reply_digest(body: bytes, state: bytes) -> str:
    return hashlib.sha256(hashlib.sha256(body).digest() + hashlib.sha256(state).digest()).hexdigest()
