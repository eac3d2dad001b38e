"""Conducts a run: one message per site and round, deadline, quorum, aggregate, journal. Resumes from the last commit.

The conductor holds no state that the journal has not: started again after a kill it goes on with the round that was
open, asks only those sites whose reply was not recorded, and sites answer a question they answered before from their
ledger. The Flower grid may be the deployment's or the simulation engine's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gaitkeeper_server.rounds import control
from gaitkeeper_server.rounds.aggregate import mean_of_sum
from gaitkeeper_server.rounds.attendance import STOPPED_BY_STUDY, shortfall, stop_if_told
from gaitkeeper_server.rounds.bounds import largest_update
from gaitkeeper_server.rounds.collection import Collector, Desk, Pace, Stopped
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.masked_round import ROUND_LOST, MaskedRounds
from gaitkeeper_server.rounds.masked_stages import LIED, MaskedStages
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

_UNUSABLE_SUM = "secure-sum-unusable"
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
        """Go on until the run is over or paused, and say which. Network trouble is raised: the run then waits."""
        record = self._journal.run(self._run)
        if record.state.terminal or record.paused_itself:
            return record.state
        try:
            self._all_rounds()
            state, detail = self._ended()
        except control.Paused:
            return self._journal.run(self._run).state
        except Stopped:
            state, detail = RunState.STOPPED, control.STOPPED
        except GaitkeeperError as error:
            if error.code in control.PASSING:
                raise
            state, detail = self._ended_by(error)
        if state is RunState.PAUSED:
            _log.warning("the run %s pauses itself: %s", self._run, detail)
            control.pause_itself(self._journal, self._run, detail)
        else:
            # First, as the word that the run is over ends this process as well.
            self._collector.tell_stragglers()
            self._journal.set_run_state(self._run, state, detail)
        return self._journal.run(self._run).state

    def _ended_by(self, error: GaitkeeperError) -> tuple[RunState, str]:
        """What an error means for the run, and why: only what nobody can mend ends it for good."""
        if error.code == STOPPED_BY_STUDY:
            return RunState.STOPPED, str(error)
        if error.code not in control.MENDABLE:
            return RunState.FAILED, str(error)
        barred = self._barred()
        if not barred or self._study.federation.enough(set(self._record.sites) - barred):
            return RunState.PAUSED, error.message
        hopeless = GaitkeeperError("run-hopeless", why=error.message, barred=", ".join(sorted(barred)))
        return RunState.FAILED, str(hopeless)

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
        if control.pause_as_asked(self._journal, self._run):
            raise control.Paused
        self._heed_wish()

    def _barred(self) -> set[str]:
        """Who lied in this run under masks: it is in no later round of it."""
        rounds = self._journal.rounds(self._run)
        said = (outcome for item in rounds for outcome in self._journal.outcomes(self._run, item.number))
        return {outcome.site for outcome in said if outcome.code == LIED}

    def _round(self, number: int, weights: Weights) -> Weights:
        """One whole round. Returns the weights that the next one starts from."""
        self._journal.open_round(self._run, number, self._record.sites)
        trains = number <= self._study.training.rounds
        try:
            if trains and self._masked is not None:
                mean = self._masked_mean(self._masked, number, weights)
            else:
                self._collect(number, weights, trains=trains)
        except Stopped:
            # Here already: who is told at the end that its reply did not count is told by these words.
            control.give_up(self._journal, self._run, number, control.STOPPED_WHY)
            raise
        except GaitkeeperError as error:
            if error.code in (ROUND_LOST, _UNUSABLE_SUM):
                return self._lost(number, weights, error)
            if error.code not in control.PASSING:
                control.give_up(self._journal, self._run, number, error.message)
            raise
        self._journal.set_round_state(self._run, number, RoundState.REPLIED)
        if not trains:
            self._journal.commit_round(self._run, number, None)
            return weights
        if self._masked is None:
            mean = combined(self._study.federation, self._journal.each_reply(self._run, number))
        # Weights of round r are what r made; this round started from those of number - 1.
        before = next(self._journal.checkpoints(self._run, number - 2)) if number > 1 else None
        stepped = server_step(self._study, number, mean, weights, before, self._journal.optimiser_state(self._run))
        self._journal.set_round_state(self._run, number, RoundState.AGGREGATED)
        self._journal.commit_round(self._run, number, stepped.weights, stepped.state)
        if self._masked is not None:
            self._masked.forget(number)
        return stepped.weights

    def _masked_mean(self, masked: MaskedRounds, number: int, weights: Weights) -> Weights:
        """The mean of a masked round's updates. Raises ``secure-sum-unusable`` and what ``run_round`` raises."""
        total, members = masked.run_round(number, weights)
        self._journal.set_round_state(self._run, number, RoundState.REPLIED)
        largest = largest_update(self._study, plan(self._study), weights, number)
        return mean_of_sum(total, members, weights, self._study.model.trained_parts, largest)

    def _lost(self, number: int, weights: Weights, error: GaitkeeperError) -> Weights:
        """Go on without a round: the next one trains anew, at its own price, without the sites that lied.

        The updates of the lost round stay hidden for ever, or are no use. Raises ``error`` where no round has been
        committed and none is to come; ``rounds-lost`` where the round before was lost too: a site that spoils every sum
        would have all the others pay for every round.
        """
        control.give_up(self._journal, self._run, number, error.message)
        self._journal.uncount_round(self._run, number, error.message)
        states = {item.number: item.state for item in self._journal.rounds(self._run)}
        more = number < self._study.training.rounds
        if RoundState.COMMITTED not in states.values() and not more:
            raise error
        _log.warning("%s", error.message)
        self._journal.commit_round(self._run, number, weights, lost=True)
        if self._masked is not None:
            self._masked.forget(number)
        if more and states.get(number - 1) is RoundState.LOST:
            raise GaitkeeperError(
                control.LOST_IN_A_ROW, first=number - 1, second=number, why=error.message, run=self._run
            )
        return weights

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
