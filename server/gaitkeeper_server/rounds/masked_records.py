"""What the journal keeps of masked rounds: which attempts were made, and the masked sum that is to be opened.

From the moment that a site may have given shares, only that sum can be opened, ever: a coordinator that is killed then
has to go on with it, so that all that this takes is on the disk before the first share is asked for. So are the proofs
against members whose shares were false, before the sum without them is begun.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.unmask import Cast
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.secure.arithmetic import Vector, from_bytes, to_bytes
from gaitkeeper_shared.secure.codec import pack, unpack
from gaitkeeper_shared.secure.proofs import FalseDeal

_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS masked_attempts (
    run TEXT NOT NULL REFERENCES runs, number INTEGER NOT NULL, attempt INTEGER NOT NULL,
    sum BLOB, total BLOB, sha256 TEXT, PRIMARY KEY (run, number, attempt)
) STRICT
""",
    """
CREATE TABLE IF NOT EXISTS masked_proofs (
    run TEXT NOT NULL REFERENCES runs, number INTEGER NOT NULL, position INTEGER NOT NULL, proof BLOB NOT NULL,
    PRIMARY KEY (run, number, position)
) STRICT
""",
)


@dataclass(frozen=True, slots=True)
class _Sum:
    cast: Cast
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MaskedSum:
    """The sum of the members' masked vectors, and the cast of the attempt that it belongs to."""

    cast: Cast
    members: tuple[str, ...]
    total: Vector


class MaskedRecords:
    """The masked attempts of one run."""

    def __init__(self, journal: Journal, run: str) -> None:
        self._journal, self._run = journal, run
        with journal.writing() as database:
            for statement in _SCHEMA:
                database.execute(statement)

    def new_attempt(self, number: int) -> int:
        """A number that no attempt at this round had, also in an earlier life of the coordinator."""
        with self._journal.writing() as database:
            row = database.execute(
                "SELECT COALESCE(MAX(attempt), 0) + 1 FROM masked_attempts WHERE run = ? AND number = ?",
                (self._run, number),
            ).fetchone()
            database.execute(
                "INSERT INTO masked_attempts (run, number, attempt) VALUES (?, ?, ?)", (self._run, number, row[0])
            )
        return int(row[0])

    def keep(self, number: int, masked: MaskedSum) -> None:
        """Store what is to be opened."""
        data, total = pack(_Sum(masked.cast, masked.members)), to_bytes(masked.total)
        place = (self._run, number, masked.cast.place.attempt)
        with self._journal.writing() as database:
            database.execute(
                "UPDATE masked_attempts SET sum = ?, total = ?, sha256 = ?"
                " WHERE run = ? AND number = ? AND attempt = ?",
                (data, total, hashlib.sha256(data + total).hexdigest(), *place),
            )

    def kept(self, number: int) -> MaskedSum | None:
        """The newest sum that was to be opened. Raises ``journal-damaged``."""
        with self._journal.reading() as database:
            row = database.execute(
                "SELECT sum, total, sha256 FROM masked_attempts WHERE run = ? AND number = ? AND sum IS NOT NULL"
                " ORDER BY attempt DESC LIMIT 1",
                (self._run, number),
            ).fetchone()
        if row is None:
            return None
        try:
            if hashlib.sha256(row["sum"] + row["total"]).hexdigest() != row["sha256"]:
                raise ValueError("its hash does not hold")
            known = unpack(_Sum, row["sum"])
            return MaskedSum(known.cast, known.members, from_bytes(row["total"], len(row["total"]) // 8))
        except (ValueError, GaitkeeperError) as error:
            detail = f"the masked sum of round {number} is damaged"
            raise GaitkeeperError("journal-damaged", path="of the run", detail=detail) from error

    def accuse(self, number: int, proofs: Sequence[FalseDeal]) -> None:
        """Store proofs against members of a sum, after those that there are."""
        with self._journal.writing() as database:
            for proof in proofs:
                database.execute(
                    "INSERT INTO masked_proofs SELECT ?1, ?2, COUNT(*), ?3 FROM masked_proofs"
                    " WHERE run = ?1 AND number = ?2",
                    (self._run, number, pack(proof)),
                )

    def proofs(self, number: int) -> tuple[FalseDeal, ...]:
        """The proofs of a round in the order in which they were found. Raises ``journal-damaged``."""
        with self._journal.reading() as database:
            rows = database.execute(
                "SELECT proof FROM masked_proofs WHERE run = ? AND number = ? ORDER BY position", (self._run, number)
            ).fetchall()
        try:
            return tuple(unpack(FalseDeal, row["proof"]) for row in rows)
        except GaitkeeperError as error:
            detail = f"a proof of round {number} is damaged"
            raise GaitkeeperError("journal-damaged", path="of the run", detail=detail) from error

    def forget(self, number: int) -> None:
        """Drop the vectors of a round that is committed."""
        with self._journal.writing() as database:
            database.execute(
                "UPDATE masked_attempts SET sum = NULL, total = NULL WHERE run = ? AND number = ?", (self._run, number)
            )
