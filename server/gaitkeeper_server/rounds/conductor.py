"""Conducts a run: one message per site and round, deadline, quorum, aggregate, journal. Resumes from the last commit.

The conductor holds no state that the journal has not: started again after a kill it goes on with the round that was
open, asks only those sites whose reply was not recorded, and sites answer a question they answered before from their
ledger. The Flower grid may be the deployment's or the simulation engine's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from gaitkeeper_server.rounds.aggregate import mean_of_sum
from gaitkeeper_server.rounds.attendance import STOPPED_BY_STUDY, shortfall, stop_if_told
from gaitkeeper_server.rounds.bounds import largest_update
from gaitkeeper_server.rounds.collection import Collector, Desk, Pace, Stopped
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.masked_round import ROUND_LOST, MaskedRounds
from gaitkeeper_server.rounds.masked_stages import MaskedStages
from gaitkeeper_server.rounds.robust import combined
from gaitkeeper_server.rounds.roster import Roster, roster_of_names
from gaitkeeper_server.rounds.server_step import server_step
from gaitkeeper_server.rounds.states import Outcome, RoundState, RunState, Wish
from gaitkeeper_server.rounds.trained import trained_weights
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.secure.identity import Membership

if TYPE_CHECKING:
    from flwr.serverapp import Grid

__all__ = ["Conductor", "Pace"]

_log = logging.getLogger("gaitkeeper.rounds")


class Conductor:
    """Conducts one run of the journal over a Flower grid.

    ``membership``: whose signatures count in masked rounds. Without it a run sums plainly, which only a rehearsal's
    sites answer where the study's aggregation is secure.
    """

    def __init__(
        self,
        grid: Grid,
        journal: Journal,
        run: str,
        *,
        roster: Roster = roster_of_names,
        pace: Pace | None = None,
        on_round: Callable[[int], None] | None = None,
        wire: bool = False,
        membership: Membership | None = None,
    ) -> None:
        self._journal, self._on_round = journal, on_round
        self._pace = pace or Pace()
        self._record = journal.run(run)
        self._run = self._record.run
        self._study, _ = journal.study(self._run)
        self._collector = Collector(grid, journal, self._record, self._study, roster, self._pace, wire)
        self._masked: MaskedRounds | None = None
        if membership is not None and self._study.federation.secure:
            stages = MaskedStages(grid, journal, self._record, self._study, roster, self._pace, membership)
            self._masked = MaskedRounds(self._collector, stages, journal, self._record, self._study)

    def conduct(self) -> RunState:
        """Go on until the run is in a terminal state. Network trouble is raised: the run then waits to be resumed."""
        if self._record.state.terminal:
            return self._record.state
        try:
            self._all_rounds()
            state, detail = self._ended()
        except Stopped:
            state, detail = RunState.STOPPED, "stopped by an operator"
        except GaitkeeperError as error:
            if error.code == "journal-unavailable":
                # A busy or full disk passes: the run waits to be resumed.
                raise
            state = RunState.STOPPED if error.code == STOPPED_BY_STUDY else RunState.FAILED
            detail = str(error)
        # First, as the word that the run is over ends this process as well.
        self._collector.tell_stragglers()
        self._journal.set_run_state(self._run, state, detail)
        return self._journal.run(self._run).state

    def _all_rounds(self) -> None:
        checkpoint = self._journal.checkpoint(self._run)
        if checkpoint is None:
            raise GaitkeeperError("journal-damaged", path="of the run", detail="the untrained weights are missing")
        weights = checkpoint.weights
        done = {item.number for item in self._journal.rounds(self._run) if item.state.closed}
        training = self._study.training
        last = training.rounds + (1 if self._study.evaluation.holdout > 0 else 0)
        for number in range(1, last + 1):
            if number in done:
                continue
            self._heed_wish()
            self._journal.set_run_state(self._run, RunState.RUNNING)
            if number > training.rounds or (training.calibrates(number) and not training.calibrates(number - 1)):
                # What is calibrated, and what is judged at the end, is what is registered.
                weights = trained_weights(self._journal, self._run)
            weights = self._round(number, weights)
            if self._on_round is not None:
                self._on_round(number)

    def _ended(self) -> tuple[RunState, str]:
        rounds = self._journal.rounds(self._run)
        short = shortfall((item.number, item.state, self._journal.outcomes(self._run, item.number)) for item in rounds)
        return (RunState.DEGRADED, short[:500]) if short else (RunState.SUCCEEDED, "")

    def _heed_wish(self) -> None:
        wish = self._journal.wish(self._run)
        if wish is Wish.STOP:
            raise Stopped
        if wish is not Wish.PAUSE:
            return
        self._journal.set_run_state(self._run, RunState.PAUSED, "paused by an operator")
        # No deadline: a pause lasts until the operator ends it.
        while (wish := self._journal.wish(self._run)) is Wish.PAUSE:
            time.sleep(self._pace.look_s)
        if wish is Wish.STOP:
            raise Stopped

    def _round(self, number: int, weights: Weights) -> Weights:
        """One whole round. Returns the weights that the next one starts from."""
        self._journal.open_round(self._run, number, self._record.sites)
        trains = number <= self._study.training.rounds
        try:
            if trains and self._masked is not None:
                total, members = self._masked.run_round(number, weights)
            else:
                self._collect(number, weights, trains=trains)
        except Stopped:
            self._give_up(number, "the run was stopped by an operator")
            raise
        except GaitkeeperError as error:
            if error.code == ROUND_LOST:
                return self._lost(number, weights, error)
            if error.code != "journal-unavailable":
                self._give_up(number, error.message)
            raise
        self._journal.set_round_state(self._run, number, RoundState.REPLIED)
        if not trains:
            self._journal.commit_round(self._run, number, None)
            return weights
        if self._masked is not None:
            largest = largest_update(self._study, plan(self._study), weights, number)
            mean = mean_of_sum(total, members, weights, self._study.model.trained_parts, largest)
        else:
            mean = combined(self._study.federation, self._journal.each_reply(self._run, number))
        # Weights of round r are what r made; this round started from those of number - 1.
        before = next(self._journal.checkpoints(self._run, number - 2)) if number > 1 else None
        stepped = server_step(self._study, number, mean, weights, before, self._journal.optimiser_state(self._run))
        self._journal.set_round_state(self._run, number, RoundState.AGGREGATED)
        self._journal.commit_round(self._run, number, stepped.weights, stepped.state)
        if self._masked is not None:
            self._masked.forget(number)
        return stepped.weights

    def _lost(self, number: int, weights: Weights, error: GaitkeeperError) -> Weights:
        """Go on without a round: the next one trains anew, at its own price, without the sites that lied.

        The updates of the lost round stay hidden for ever. Raises ``error`` where no round has been committed and none
        is to come.
        """
        self._give_up(number, error.message)
        committed = [item for item in self._journal.rounds(self._run) if item.state is RoundState.COMMITTED]
        if not committed and number >= self._study.training.rounds:
            raise error
        _log.warning("%s", error.message)
        self._journal.commit_round(self._run, number, weights, lost=True)
        return weights

    def _give_up(self, number: int, why: str) -> None:
        """No site is left without a word, and what was trained for nothing is not called included."""
        for outcome in self._journal.outcomes(self._run, number):
            if outcome.outcome.open:
                word = Outcome.ABSENT if outcome.outcome is Outcome.INVITED else Outcome.FAILED
                over = replace(outcome, outcome=word, code="round-over", message=f"not counted: {why}")
                self._journal.record_outcome(self._run, number, over)
        self._journal.set_round_state(self._run, number, RoundState.ABANDONED)

    def _collect(self, number: int, weights: Weights, *, trains: bool) -> None:
        desk = Desk(number, time.monotonic())
        for outcome in self._journal.outcomes(self._run, number):
            if outcome.outcome is Outcome.INCLUDED:
                desk.settled[outcome.site] = outcome
        try:
            self._collector.collect(desk, weights)
        except (Stopped, GaitkeeperError):
            self._collector.close(desk, stopped=True)
            raise
        self._collector.close(desk)
        stop_if_told(self._study, number, desk.settled.values())
        if trains:
            self._collector.require_quorum(desk)
