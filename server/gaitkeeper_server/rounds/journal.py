"""The coordinator's durable record of runs and rounds: SQLite, ``synchronous=FULL``.

A killed coordinator goes on from here: what is written is committed before anybody is told. Several processes use one
journal: the one that conducts a run writes its rounds; commands read, request runs and leave wishes. Weights are stored
as safetensors, with their hash.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from gaitkeeper_server.rounds.journal_file import JournalFile
from gaitkeeper_server.rounds.journal_schema import STATEMENTS
from gaitkeeper_server.rounds.states import (
    Outcome,
    RoundRecord,
    RoundState,
    RunRecord,
    RunState,
    SiteOutcome,
    Wish,
)
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.study import Study, parse_study, study_hash

_RUN_COLUMNS = (
    "run, study_name, study_hash, state, detail, wish, rounds, sites, created_at, updated_at, model_version, published"
)


def weights_to_bytes(weights: Weights) -> bytes:
    """Weights as safetensors bytes."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(value) for name, value in weights.items()})


def weights_from_bytes(data: bytes) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Weights from safetensors bytes."""
    from safetensors.numpy import load

    return dict(load(data))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The last committed weights of a run; ``number`` 0 are the untrained ones."""

    number: int
    weights: Weights


class Journal(JournalFile):
    """One journal file. Cheap to open; a connection per call, so that it may be used from any thread or process."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self.writing() as database:
            # Executed one by one: executescript would commit the transaction.
            for statement in STATEMENTS:
                database.execute(statement)

    def request_run(
        self, run: str, study_data: bytes, sites: Sequence[str], initial: Weights | None = None
    ) -> RunRecord:
        """Enter a run with its untrained weights, to be conducted by the coordinator's service."""
        study = parse_study(study_data)
        moment = _now()
        with self.writing() as database:
            database.execute(
                f"INSERT INTO runs ({_RUN_COLUMNS}, study) VALUES (?, ?, ?, ?, '', ?, ?, ?, ?, ?, NULL, 0, ?)",  # noqa: S608
                (
                    run,
                    study.name,
                    study_hash(study_data),
                    RunState.REQUESTED,
                    Wish.GO,
                    study.training.rounds,
                    json.dumps(sorted(sites)),
                    moment,
                    moment,
                    study_data,
                ),
            )
            if initial is not None:
                _insert_initial(database, run, initial)
        return self.run(run)

    def run(self, run: str) -> RunRecord:
        """One run, by its id or an unambiguous beginning of it. Raises ``run-unknown``."""
        with self.reading() as database:
            pattern = run.replace("\\", "").replace("%", "").replace("_", "") + "%"
            rows = database.execute(
                f"SELECT {_RUN_COLUMNS} FROM runs WHERE run = ? OR run LIKE ?",  # noqa: S608
                (run, pattern),
            ).fetchall()
            exact = [row for row in rows if row["run"] == run] or rows
            if len(exact) != 1 or not run:
                raise GaitkeeperError("run-unknown", run=run)
            return self._run_record(database, exact[0])

    def runs(self) -> tuple[RunRecord, ...]:
        """Every run, the oldest first."""
        with self.reading() as database:
            rows = database.execute(f"SELECT {_RUN_COLUMNS} FROM runs ORDER BY created_at, run").fetchall()  # noqa: S608
            return tuple(self._run_record(database, row) for row in rows)

    def study(self, run: str) -> tuple[Study, bytes]:
        """The study of a run and its bytes, as they were signed."""
        with self.reading() as database:
            row = database.execute("SELECT study FROM runs WHERE run = ?", (run,)).fetchone()
        if row is None:
            raise GaitkeeperError("run-unknown", run=run)
        return parse_study(row["study"]), bytes(row["study"])

    def set_run_state(self, run: str, state: RunState, detail: str = "") -> None:
        """Move a run to a state. A terminal state is final: a later call changes nothing."""
        with self.writing() as database:
            row = database.execute("SELECT state FROM runs WHERE run = ?", (run,)).fetchone()
            if row is None or RunState(row["state"]).terminal:
                return
            database.execute(
                "UPDATE runs SET state = ?, detail = ?, updated_at = ? WHERE run = ?", (state, detail, _now(), run)
            )

    def pause_run(self, run: str, detail: str, *, asked: bool) -> bool:
        """Pause a run, also one that nobody ``asked`` to pause; False where it is over, or not asked to any more."""
        with self.writing() as database:
            row = database.execute("SELECT state, wish FROM runs WHERE run = ?", (run,)).fetchone()
            if row is None or RunState(row["state"]).terminal or (asked and row["wish"] != Wish.PAUSE):
                return False
            database.execute(
                "UPDATE runs SET state = ?, detail = ?, updated_at = ? WHERE run = ?",
                (RunState.PAUSED, detail, _now(), run),
            )
        return True

    def set_wish(self, run: str, wish: Wish) -> None:
        """Leave what an operator wants; who conducts the run heeds it. A paused run that is to go on waits to be
        conducted."""
        with self.writing() as database:
            database.execute("UPDATE runs SET wish = ?, updated_at = ? WHERE run = ?", (wish, _now(), run))
            if wish is Wish.GO:
                database.execute(
                    "UPDATE runs SET state = ?, detail = '' WHERE run = ? AND state = ?",
                    (RunState.REQUESTED, run, RunState.PAUSED),
                )

    def wish(self, run: str) -> Wish:
        """What an operator wants of a run."""
        with self.reading() as database:
            row = database.execute("SELECT wish FROM runs WHERE run = ?", (run,)).fetchone()
        return Wish(row["wish"])

    def set_published(self, run: str, version: int | None) -> None:
        """Note that the registry has the run, and the version that came out of it."""
        with self.writing() as database:
            database.execute("UPDATE runs SET published = 1, model_version = ? WHERE run = ?", (version, run))

    def open_round(self, run: str, number: int, sites: Sequence[str]) -> None:
        """Invite the sites to a round. Opening it again, after a crash or a pause, keeps the replies that were
        recorded."""
        with self.writing() as database:
            database.execute(
                "UPDATE rounds SET state = ?, started_at = ?, finished_at = NULL"
                " WHERE run = ? AND number = ? AND state = ?",
                (RoundState.INVITED, _now(), run, number, RoundState.ABANDONED),
            )
            database.execute(
                "INSERT INTO rounds VALUES (?, ?, ?, ?, NULL, NULL) ON CONFLICT DO NOTHING",
                (run, number, RoundState.INVITED, _now()),
            )
            for site in sites:
                database.execute(
                    "INSERT INTO outcomes VALUES (?, ?, ?, ?, '', '', 0, 0, 0, '{}') ON CONFLICT DO NOTHING",
                    (run, number, site, Outcome.INVITED),
                )

    def set_round_state(self, run: str, number: int, state: RoundState) -> None:
        """Move a round to a state."""
        finished = _now() if state is RoundState.ABANDONED else None
        with self.writing() as database:
            database.execute(
                "UPDATE rounds SET state = ?, finished_at = ? WHERE run = ? AND number = ? AND state NOT IN (?, ?)",
                (state, finished, run, number, RoundState.COMMITTED, RoundState.LOST),
            )

    def record_dispatched(self, run: str, number: int, sites: Sequence[str]) -> None:
        """Record, at once, that sites were asked; whose reply is there stays as it is."""
        with self.writing() as database:
            for site in sites:
                database.execute(
                    "INSERT INTO outcomes VALUES (?, ?, ?, ?, '', '', 0, 0, 0, '{}') ON CONFLICT DO UPDATE SET"
                    " outcome = excluded.outcome, code = '', message = '' WHERE outcome != ?",
                    (run, number, site, Outcome.DISPATCHED, Outcome.INCLUDED),
                )
            database.execute(
                "UPDATE rounds SET state = ? WHERE run = ? AND number = ? AND state NOT IN (?, ?)",
                (RoundState.DISPATCHED, run, number, RoundState.COMMITTED, RoundState.LOST),
            )

    def record_outcome(self, run: str, number: int, outcome: SiteOutcome, weights: Weights | None = None) -> None:
        """Record what a site did, together with its weights where they count. One reply counts: the first."""
        with self.writing() as database:
            row = database.execute(
                "SELECT outcome FROM outcomes WHERE run = ? AND number = ? AND site = ?", (run, number, outcome.site)
            ).fetchone()
            if row is not None and Outcome(row["outcome"]) is Outcome.INCLUDED:
                return
            database.execute(
                "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run,
                    number,
                    outcome.site,
                    outcome.outcome,
                    outcome.code,
                    outcome.message,
                    outcome.epsilon_spent,
                    outcome.delta,
                    outcome.seconds,
                    json.dumps(dict(outcome.metrics)),
                ),
            )
            if weights is not None:
                data = weights_to_bytes(weights)
                database.execute(
                    "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?)",
                    (run, number, outcome.site, hashlib.sha256(data).hexdigest(), data, _now()),
                )

    def uncount_round(self, run: str, number: int, why: str) -> None:
        """Nobody is included in a round whose sum cannot be used. Who was named as a liar beside that stays named."""
        with self.writing() as database:
            database.execute(
                "UPDATE outcomes SET outcome = ?, code = CASE code WHEN '' THEN 'round-over' ELSE code END,"
                " message = CASE message WHEN '' THEN ? ELSE message END WHERE run = ? AND number = ? AND outcome = ?",
                (Outcome.FAILED, f"not counted: {why}", run, number, Outcome.INCLUDED),
            )

    def commit_round(
        self, run: str, number: int, weights: Weights | None, optimiser: Weights | None = None, *, lost: bool = False
    ) -> str | None:
        """Make a round's aggregate the run's checkpoint. Returns the SHA-256 of its bytes, where there are weights.

        ``optimiser``: the state of the coordinator's optimiser after it, where it keeps one. ``lost``: the round
        brought nothing, and its weights are those that it began with.
        """
        data = weights_to_bytes(weights) if weights is not None else None
        digest = hashlib.sha256(data).hexdigest() if data is not None else None
        with self.writing() as database:
            if data is not None:
                database.execute("INSERT OR REPLACE INTO weights VALUES (?, ?, ?, ?)", (run, number, digest, data))
            if optimiser:
                state = weights_to_bytes(optimiser)
                row = (run, number, hashlib.sha256(state).hexdigest(), state)
                database.execute("INSERT OR REPLACE INTO optimiser VALUES (?, ?, ?, ?)", row)
            database.execute(
                "UPDATE rounds SET state = ?, finished_at = ?, weights_sha256 = ? WHERE run = ? AND number = ?",
                (RoundState.LOST if lost else RoundState.COMMITTED, _now(), digest, run, number),
            )
            database.execute("UPDATE runs SET updated_at = ? WHERE run = ?", (_now(), run))
        return digest

    def set_initial_weights(self, run: str, weights: Weights) -> None:
        """Store the untrained weights, once."""
        with self.writing() as database:
            _insert_initial(database, run, weights)

    def checkpoint(self, run: str) -> Checkpoint | None:
        """The last committed weights. Raises ``journal-damaged`` where their hash does not hold."""
        with self.reading() as database:
            row = database.execute(
                "SELECT number, sha256, weights FROM weights WHERE run = ? ORDER BY number DESC LIMIT 1", (run,)
            ).fetchone()
        if row is None:
            return None
        return Checkpoint(row["number"], self._checked(row, f"weights of round {row['number']}"))

    def optimiser_state(self, run: str) -> Weights:
        """State of the coordinator's optimiser after the last committed round; empty where it keeps none."""
        with self.reading() as database:
            row = database.execute("SELECT sha256, weights FROM optimiser WHERE run = ?", (run,)).fetchone()
        return {} if row is None else self._checked(row, "numbers of the optimiser")

    def checkpoints(self, run: str, first: int) -> Iterator[Weights]:
        """The committed weights of the rounds from ``first`` on, in order, one after the other."""
        with self.reading() as database:
            rows = database.execute(
                "SELECT number, sha256, weights FROM weights WHERE run = ? AND number >= ? ORDER BY number",
                (run, first),
            )
            for row in rows:
                yield self._checked(row, f"weights of round {row['number']}")

    def each_reply(self, run: str, number: int) -> Iterator[Weights]:
        """The recorded weights of a round in the order of the sites' names, one after the other."""
        with self.reading() as database:
            rows = database.execute(
                "SELECT site, sha256, weights FROM replies WHERE run = ? AND number = ? ORDER BY site", (run, number)
            )
            for row in rows:
                yield self._checked(row, f"reply of {row['site']}")

    def rounds(self, run: str) -> tuple[RoundRecord, ...]:
        """The rounds of a run in order."""
        with self.reading() as database:
            rows = database.execute("SELECT * FROM rounds WHERE run = ? ORDER BY number", (run,)).fetchall()
        return tuple(
            RoundRecord(
                row["run"],
                row["number"],
                RoundState(row["state"]),
                row["started_at"],
                row["finished_at"],
                row["weights_sha256"],
            )
            for row in rows
        )

    def outcomes(self, run: str, number: int) -> tuple[SiteOutcome, ...]:
        """What each site did in a round, by site."""
        with self.reading() as database:
            rows = database.execute(
                "SELECT * FROM outcomes WHERE run = ? AND number = ? ORDER BY site", (run, number)
            ).fetchall()
        return tuple(
            SiteOutcome(
                row["site"],
                Outcome(row["outcome"]),
                row["code"],
                row["message"],
                row["epsilon_spent"],
                row["delta"],
                row["seconds"],
                json.loads(row["metrics"]),
            )
            for row in rows
        )

    def _run_record(self, database: sqlite3.Connection, row: sqlite3.Row) -> RunRecord:
        committed = database.execute(
            "SELECT COUNT(*) AS n FROM rounds WHERE run = ? AND state IN (?, ?) AND number <= ?",
            (row["run"], RoundState.COMMITTED, RoundState.LOST, row["rounds"]),
        ).fetchone()["n"]
        return RunRecord(
            run=row["run"],
            study_name=row["study_name"],
            study_hash=row["study_hash"],
            state=RunState(row["state"]),
            detail=row["detail"],
            wish=Wish(row["wish"]),
            rounds=row["rounds"],
            committed=committed,
            sites=tuple(json.loads(row["sites"])),
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            model_version=row["model_version"],
            published=bool(row["published"]),
        )

    def _checked(self, row: sqlite3.Row, what: str) -> Weights:
        if hashlib.sha256(row["weights"]).hexdigest() != row["sha256"]:
            raise GaitkeeperError("journal-damaged", path=self._path, detail=f"the {what} do not match their hash")
        return weights_from_bytes(row["weights"])


def _insert_initial(database: sqlite3.Connection, run: str, weights: Weights) -> None:
    data = weights_to_bytes(weights)
    database.execute(
        "INSERT INTO weights VALUES (?, 0, ?, ?) ON CONFLICT DO NOTHING",
        (run, hashlib.sha256(data).hexdigest(), data),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
