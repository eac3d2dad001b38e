"""What ends or halts a run, in the journal: the same for its conductor and for the service that acts in its place.

A run fails for good only where nobody can mend it. Where sites are missing, or its conductor does not get on, it is
paused with the reason: a person looks, mends, and resumes it. Nothing resumes it by itself, as each try at a round may
charge sites that had not paid for it yet, and come to nothing again.
"""

from __future__ import annotations

from dataclasses import replace

from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.states import Outcome, RoundState, RunState

LOST_IN_A_ROW = "rounds-lost"
MENDABLE = frozenset({"quorum-missed", "required-missed", "secure-shares-missing", LOST_IN_A_ROW})
"""Why a run pauses itself: who is missing may come back, and the same round is tried anew."""
PASSING = frozenset({"journal-unavailable", "store-failed", "disk-full", "timeout"})
"""Errors that say nothing of the run: a disk that is busy or full, a SuperLink that is away. It is tried again."""
_WORDS = {Outcome.INVITED: Outcome.ABSENT, Outcome.DISPATCHED: Outcome.LATE, Outcome.TRAINED: Outcome.FAILED}
STOPPED, _PAUSED = "stopped by an operator", "paused by an operator"
STOPPED_WHY = "the run was stopped by an operator"


class Paused(Exception):  # noqa: N818 - a way out, not an error
    """An operator paused the run."""


def give_up(journal: Journal, run: str, number: int, why: str) -> None:
    """No site is left without a word, and what was trained for nothing is not called included."""
    for outcome in journal.outcomes(run, number):
        if outcome.outcome.open:
            word = _WORDS[outcome.outcome]
            over = replace(outcome, outcome=word, code="round-over", message=f"not counted: {why}")
            journal.record_outcome(run, number, over)
    journal.set_round_state(run, number, RoundState.ABANDONED)


def stop(journal: Journal, run: str) -> None:
    """End a run for an operator, the round that is open with it."""
    for item in journal.rounds(run):
        if not item.state.closed:
            give_up(journal, run, item.number, STOPPED_WHY)
    journal.set_run_state(run, RunState.STOPPED, STOPPED)


def pause_as_asked(journal: Journal, run: str) -> bool:
    """Pause a run for an operator; False where that is not wanted any more."""
    return journal.pause_run(run, _PAUSED, asked=True)


def pause_itself(journal: Journal, run: str, why: str) -> None:
    """Pause a run that nobody asked to pause, until an operator resumes or stops it."""
    journal.pause_run(run, why, asked=False)
