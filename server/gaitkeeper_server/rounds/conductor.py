"""Conducts a run: one message per site and round, deadline, quorum, aggregate, journal. Resumes from the last commit.

The conductor holds no state that the journal has not: started again after a kill it goes on with the round that was
open, asks only those sites whose reply was not recorded, and sites answer a question they answered before from their
ledger. The Flower grid may be the deployment's or the simulation engine's.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from gaitkeeper_server.rounds.aggregate import mean_of_updates, with_momentum
from gaitkeeper_server.rounds.bounds import largest_update
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.roster import Presence, Roster, roster_of_names
from gaitkeeper_server.rounds.states import Outcome, RoundState, RunState, SiteOutcome, Wish
from gaitkeeper_server.rounds.trained import trained_weights
from gaitkeeper_server.rounds.verdict import judge
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import MESSAGE_TYPE, Weights, encode_order, order_for, to_wire
from gaitkeeper_shared.privacy.plan import PrivacyPlan, plan

if TYPE_CHECKING:
    from flwr.app import Message
    from flwr.serverapp import Grid

_ATTEMPTS = 3
"""How often a site is asked in one round, when its node or its trainer dies over it."""
_MESSAGE_MARGIN_S = 60.0
_LONGEST_REASON = 300
_log = logging.getLogger("gaitkeeper.rounds")


@dataclass(frozen=True, slots=True)
class Pace:
    """Waits, in seconds.

    ``absent_grace_s``: for a site that is not there at a round's start, when quorum is there; ``missing_grace_s``: for
    one that was not there in the round before either. ``look_s``: between looks who is there, while somebody is
    missing; ``look_again_s``: when everybody was asked.
    """

    poll_s: float = 0.05
    absent_grace_s: float = 15.0
    missing_grace_s: float = 1.0
    look_s: float = 0.5
    look_again_s: float = 2.0


class _Stopped(Exception):  # noqa: N818 - a way out, not an error
    """An operator stopped the run."""


@dataclass(slots=True)
class _Desk:
    """What is known of one open round."""

    number: int
    started: float
    settled: dict[str, SiteOutcome] = field(default_factory=dict)
    asked: dict[str, Presence] = field(default_factory=dict)
    asked_at: dict[str, float] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    present: set[str] = field(default_factory=set)
    pending: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Site and its node by message id."""

    @property
    def included(self) -> list[str]:
        return sorted(site for site, outcome in self.settled.items() if outcome.outcome is Outcome.INCLUDED)


class Conductor:
    """Conducts one run of the journal over a Flower grid."""

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
    ) -> None:
        self._grid, self._journal, self._roster, self._wire = grid, journal, roster, wire
        self._pace = pace or Pace()
        self._on_round = on_round
        self._record = journal.run(run)
        self._run = self._record.run
        self._study, _ = journal.study(self._run)
        self._missing: set[str] = set()

    def conduct(self) -> RunState:
        """Go on until the run is in a terminal state. Network trouble is raised: the run then waits to be resumed."""
        if self._record.state.terminal:
            return self._record.state
        try:
            self._all_rounds()
        except _Stopped:
            self._journal.set_run_state(self._run, RunState.STOPPED, "stopped by an operator")
        except GaitkeeperError as error:
            if error.code == "journal-unavailable":
                # A busy or full disk passes: the run waits to be resumed.
                raise
            self._journal.set_run_state(self._run, RunState.FAILED, str(error))
        return self._journal.run(self._run).state

    def _all_rounds(self) -> None:
        checkpoint = self._journal.checkpoint(self._run)
        if checkpoint is None:
            raise GaitkeeperError("journal-damaged", path="of the run", detail="the untrained weights are missing")
        weights = checkpoint.weights
        done = {item.number for item in self._journal.rounds(self._run) if item.state is RoundState.COMMITTED}
        last = self._study.training.rounds + (1 if self._study.evaluation.holdout > 0 else 0)
        for number in range(1, last + 1):
            if number in done:
                continue
            self._heed_wish()
            self._journal.set_run_state(self._run, RunState.RUNNING)
            if number > self._study.training.rounds:
                # What is judged at the end is what is registered.
                weights = trained_weights(self._journal, self._run)
            weights = self._round(number, weights)
            if self._on_round is not None:
                self._on_round(number)
        self._finish()

    def _finish(self) -> None:
        short = []
        for item in self._journal.rounds(self._run):
            missing = [o.site for o in self._journal.outcomes(self._run, item.number) if o.outcome != Outcome.INCLUDED]
            if missing:
                short.append(f"round {item.number} without {', '.join(missing)}")
        if short:
            self._journal.set_run_state(self._run, RunState.DEGRADED, "; ".join(short)[:500])
        else:
            self._journal.set_run_state(self._run, RunState.SUCCEEDED)

    def _heed_wish(self) -> None:
        wish = self._journal.wish(self._run)
        if wish is Wish.STOP:
            raise _Stopped
        if wish is not Wish.PAUSE:
            return
        self._journal.set_run_state(self._run, RunState.PAUSED, "paused by an operator")
        # No deadline: a pause lasts until the operator ends it.
        while (wish := self._journal.wish(self._run)) is Wish.PAUSE:
            time.sleep(self._pace.look_s)
        if wish is Wish.STOP:
            raise _Stopped

    def _round(self, number: int, weights: Weights) -> Weights:
        """One whole round. Returns the weights that the next one starts from."""
        self._journal.open_round(self._run, number, self._record.sites)
        desk = _Desk(number, time.monotonic())
        for outcome in self._journal.outcomes(self._run, number):
            if outcome.outcome is Outcome.INCLUDED:
                desk.settled[outcome.site] = outcome
        try:
            self._collect(desk, weights)
        except _Stopped:
            self._journal.set_round_state(self._run, number, RoundState.ABANDONED)
            raise
        self._close(desk)
        self._missing = set(self._record.sites) - set(desk.included)
        trains = number <= self._study.training.rounds
        if len(desk.included) < self._study.federation.quorum and trains:
            self._journal.set_round_state(self._run, number, RoundState.ABANDONED)
            raise self._quorum_missed(desk)
        self._journal.set_round_state(self._run, number, RoundState.REPLIED)
        if not trains:
            self._journal.commit_round(self._run, number, None)
            return weights
        mean = self._with_momentum(number, weights, mean_of_updates(self._journal.each_reply(self._run, number)))
        self._journal.set_round_state(self._run, number, RoundState.AGGREGATED)
        self._journal.commit_round(self._run, number, mean)
        return mean

    def _with_momentum(self, number: int, weights: Weights, mean: Weights) -> Weights:
        momentum = self._study.training.momentum
        if self._study.privacy.trust == "local" or momentum == 0 or number == 1:
            return mean
        # Weights of round r are what r made; this round started from those of number - 1.
        before = next(self._journal.checkpoints(self._run, number - 2))
        return with_momentum(mean, weights, before, momentum)

    def _quorum_missed(self, desk: _Desk) -> GaitkeeperError:
        words = [
            f"{site} {outcome.outcome}" + (f" ({outcome.message or outcome.code})" if outcome.code else "")
            for site, outcome in sorted(desk.settled.items())
            if outcome.outcome is not Outcome.INCLUDED
        ]
        return GaitkeeperError(
            "quorum-missed",
            round=desk.number,
            included=len(desk.included),
            quorum=self._study.federation.quorum,
            outcomes="; ".join(words) or "nobody else is enrolled",
            run=self._run,
        )

    def _collect(self, desk: _Desk, weights: Weights) -> None:
        looked = heeded = -math.inf
        while True:
            moment = time.monotonic()
            if moment >= heeded + self._pace.look_s:
                if self._journal.wish(self._run) is Wish.STOP:
                    raise _Stopped
                heeded = moment
            everybody = set(self._record.sites) <= set(desk.asked) | set(desk.settled)
            if moment >= looked + (self._pace.look_again_s if everybody else self._pace.look_s):
                self._ask(desk, weights)
                looked = moment
            if desk.pending:
                for message in self._grid.pull_messages(list(desk.pending)):
                    self._receive(desk, message, weights)
            if self._over(desk, moment - desk.started):
                return
            time.sleep(self._pace.poll_s)

    def _over(self, desk: _Desk, elapsed: float) -> bool:
        missing = set(self._record.sites) - set(desk.settled)
        if not missing or elapsed >= self._study.federation.deadline_s:
            return True
        # Those who may still answer: they were asked, or they are there and will be asked once more.
        expected = set(desk.asked) | (set(desk.errors) & desk.present)
        if missing & expected or len(desk.included) < self._study.federation.quorum:
            return False
        grace = self._pace.missing_grace_s if missing <= self._missing else self._pace.absent_grace_s
        return elapsed >= grace

    def _ask(self, desk: _Desk, weights: Weights) -> None:
        """Send the order to every site that is there and was not asked since it came."""
        from flwr.app import Message

        present = self._roster(self._grid)
        desk.present = set(present)
        messages, sites = [], []
        order = order_for(self._study, self._record.study_hash, self._run, desk.number)
        for site in self._record.sites:
            presence = present.get(site)
            if presence is None or site in desk.settled or desk.asked.get(site) == presence:
                continue
            if desk.attempts.get(site, 0) >= _ATTEMPTS:
                continue
            content = encode_order(order, weights)
            if self._wire:
                content = to_wire(content)
            message = Message(
                content,
                presence.node_id,
                MESSAGE_TYPE,
                ttl=self._study.federation.deadline_s + _MESSAGE_MARGIN_S,
                group_id=str(desk.number),
            )
            messages.append(message)
            sites.append(site)
        if not messages:
            return
        asked_at = time.monotonic()
        for site, message_id in zip(sites, self._grid.push_messages(messages), strict=True):
            if not message_id:
                continue
            desk.pending[message_id] = (site, present[site].node_id)
            desk.asked[site] = present[site]
            desk.asked_at[site] = asked_at
            desk.attempts[site] = desk.attempts.get(site, 0) + 1
            self._journal.record_outcome(self._run, desk.number, SiteOutcome(site, Outcome.DISPATCHED))
        self._journal.set_round_state(self._run, desk.number, RoundState.DISPATCHED)
        # Takes a second the first time: now, while the sites work.
        _ = self._prices

    def _receive(self, desk: _Desk, message: Message, weights: Weights) -> None:
        site, node = desk.pending.pop(message.metadata.reply_to_message_id, ("", 0))
        if not site or site in desk.settled:
            return
        seconds = round(time.monotonic() - desk.asked_at[site], 3)
        if (trouble := _trouble(message, node)) is not None:
            desk.errors[site] = trouble
            desk.asked.pop(site, None)
            if desk.attempts[site] >= _ATTEMPTS:
                self._settle(desk, SiteOutcome(site, Outcome.FAILED, "site-unreachable", desk.errors[site]))
            return
        order = order_for(self._study, self._record.study_hash, self._run, desk.number)
        largest = largest_update(self._study, self._prices, weights)
        try:
            outcome, update = judge(
                site, message.content, order, self._study, weights, self._prices.count_noise_std, largest
            )
        except GaitkeeperError as error:
            self._settle(desk, SiteOutcome(site, Outcome.FAILED, error.code, error.message, seconds=seconds))
            return
        except Exception as error:
            # Whatever a site sends costs that site's reply and no more.
            _log.exception("the reply of %s", site)
            refused = GaitkeeperError("update-unusable", site=site, why=f"it cannot be read ({type(error).__name__})")
            self._settle(desk, SiteOutcome(site, Outcome.FAILED, refused.code, refused.message, seconds=seconds))
            return
        # Our own time, from question to answer: a site's own would be one more thing it says of its data.
        self._settle(desk, replace(outcome, seconds=seconds), update)

    @cached_property
    def _prices(self) -> PrivacyPlan:
        """Which noise steps and counts carry, from the study alone."""
        return plan(self._study)

    def _settle(self, desk: _Desk, outcome: SiteOutcome, update: Weights | None = None) -> None:
        self._journal.record_outcome(self._run, desk.number, outcome, update)
        desk.settled[outcome.site] = outcome

    def _close(self, desk: _Desk) -> None:
        """Give every site that did not reply the word for it."""
        waited = f"after {time.monotonic() - desk.started:.0f} s"
        for site in self._record.sites:
            if site in desk.settled:
                continue
            if site in desk.asked:
                why = SiteOutcome(site, Outcome.LATE, "deadline", f"no reply {waited}")
            elif site in desk.errors:
                why = SiteOutcome(site, Outcome.FAILED, "site-unreachable", desk.errors[site])
            else:
                why = SiteOutcome(site, Outcome.ABSENT, "not-connected", f"not connected {waited}")
            self._settle(desk, why)


def _trouble(message: Message, node: int) -> str | None:
    """Why ``message`` is no answer of ``node``, in words for an operator; None where it is one."""
    from flwr.common.constant import SUPERLINK_NODE_ID

    sender = message.metadata.src_node_id
    # Errors are also made by the SuperLink, in its own name.
    if sender != node and not (message.has_error() and sender == SUPERLINK_NODE_ID):
        return f"another node ({sender}) answered in its place"
    if not message.has_error():
        return None
    reason = "".join(letter if letter.isprintable() else " " for letter in message.error.reason or "no reason given")
    return f"Flower error {message.error.code}: {reason[:_LONGEST_REASON]}"
