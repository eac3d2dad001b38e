"""How long the journal keeps what sites sent: a run that is over and registered needs its single updates no more.

They prove what a round's sum was made of, and they are the bulk of the journal: a model's size for each site and round.
What each site did in each round, what it spent and the hash of every committed round stay for good.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from gaitkeeper_server.rounds.journal_file import JournalFile

_OPEN = "SELECT run FROM runs WHERE state IN ('requested', 'running', 'paused')"
_OVER = "run IN (SELECT run FROM runs WHERE published = 1 AND updated_at < ?)"
_EARLIER = "number < (SELECT max(number) FROM weights AS last WHERE last.run = weights.run) AND " + _OVER  # noqa: S608


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed: updates of sites, weights of rounds before a run's last, their bytes. ``shrunk``: whether the
    file gave the room back to the disk; where a run is open it keeps it for the next rounds."""

    replies: int
    weights: int
    size: int
    shrunk: bool


def prune(journal: JournalFile, before: datetime) -> Pruned:
    """Remove the single updates and intermediate weights of runs that ended, were registered, and rest since
    ``before``. All of it or nothing. Raises ``journal-unavailable`` or ``journal-damaged``."""
    moment = before.isoformat(timespec="milliseconds")
    with journal.writing() as database:
        replies, size = _remove(database, "replies", _OVER, moment)
        weights, more = _remove(database, "weights", _EARLIER, moment)
        _, optimiser = _remove(database, "optimiser", _OVER, moment)
        idle = database.execute(_OPEN).fetchone() is None
    if idle and replies + weights:
        with journal.reading() as database:
            database.execute("VACUUM")
    return Pruned(replies, weights, size + more + optimiser, idle)


def _remove(database: sqlite3.Connection, table: str, where: str, moment: str) -> tuple[int, int]:
    """Rows and bytes removed. ``table`` and ``where`` are of our own."""
    found = database.execute(
        f"SELECT count(*), ifnull(sum(length(weights)), 0) FROM {table} WHERE {where}",  # noqa: S608
        (moment,),
    ).fetchone()
    database.execute(f"DELETE FROM {table} WHERE {where}", (moment,))  # noqa: S608
    return found[0], found[1]
