"""Collects the replies of one round: who is asked, who answers, who is waited for, and the word for everybody else."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gaitkeeper_server.rounds.attendance import check_enough, stop_if_told
from gaitkeeper_server.rounds.bounds import largest_update
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.roster import Presence, Roster
from gaitkeeper_server.rounds.states import Outcome, RunRecord, SiteOutcome, Wish
from gaitkeeper_server.rounds.verdict import judge, judge_masked
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import (
    MESSAGE_TYPE,
    RoundOrder,
    Weights,
    encode_order,
    for_site,
    order_for,
    to_wire,
)
from gaitkeeper_shared.notices import MOST_NOTICES, RoundNotice, put_notices
from gaitkeeper_shared.privacy.plan import PrivacyPlan, plan
from gaitkeeper_shared.secure.arithmetic import Vector, size_of
from gaitkeeper_shared.secure.statements import Advert
from gaitkeeper_shared.study import Study
from gaitkeeper_shared.study_federation import STOP_ON_DISCONNECT

if TYPE_CHECKING:
    from flwr.app import Message, RecordDict
    from flwr.serverapp import Grid

_ATTEMPTS = 3
"""How often a site is asked in one round, when its node or its trainer dies over it."""
MESSAGE_MARGIN_S = 60.0
_LONGEST_REASON = 300
_log = logging.getLogger("gaitkeeper.rounds")


@dataclass(frozen=True, slots=True)
class Pace:
    """Waits, in seconds.

    ``absent_grace_s``: for a site that is not there at a round's start, when quorum is there, in place of the study's
    ``federation.grace_s``; ``missing_grace_s``: for one that was not there in the round before either. ``look_s``:
    between looks who is there, while somebody is missing; ``look_again_s``: when everybody was asked.
    """

    poll_s: float = 0.05
    absent_grace_s: float | None = None
    missing_grace_s: float = 1.0
    look_s: float = 0.5
    look_again_s: float = 2.0
    notice_s: float = 5.0
    """For stragglers to take in, at a run's end, that their replies were not counted."""


class Stopped(Exception):  # noqa: N818 - a way out, not an error
    """An operator stopped the run."""


@dataclass(slots=True)
class Desk:
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

    beside: Mapping[str, bytes] = field(default_factory=dict)
    """In a masked round: what goes with each site's order. Who is not in it is not asked."""
    masked_total: Vector | None = None
    """Sum of the masked updates, folded in as they come. It is not for the journal: a new attempt masks anew."""
    masked_sites: set[str] = field(default_factory=set)
    """Whose are in it."""
    complaints: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """In a masked round: by site, who dealt it false shares."""
    adverts: dict[str, tuple[Advert, ...]] = field(default_factory=dict)
    """In a masked round: keys for the next one."""
    away: dict[str, float] = field(default_factory=dict)
    """Since when a site is not connected."""
    notices: Mapping[str, tuple[RoundNotice, ...]] = field(default_factory=dict)
    """What goes with each site's order, of earlier rounds."""

    @property
    def included(self) -> list[str]:
        """Sites whose reply counts, or will when the sum is open."""
        counted = (Outcome.INCLUDED, Outcome.TRAINED)
        return sorted(site for site, outcome in self.settled.items() if outcome.outcome in counted)


class Collector:
    """Asks the sites of one run over a Flower grid and settles what each of them did."""

    def __init__(
        self, grid: Grid, journal: Journal, record: RunRecord, study: Study, roster: Roster, pace: Pace, wire: bool
    ) -> None:
        self._grid, self._journal, self._record, self._study = grid, journal, record, study
        self._roster, self._pace, self._wire = roster, pace, wire
        self._run = record.run
        self.missing: set[str] = set()
        """Who was not there in the round before."""
        self._late: dict[str, tuple[str, int, float]] = {}
        """By message id: site, round and end of a round that ended without its reply."""

    def grace_s(self, sites: Collection[str]) -> float:
        """How long those are waited for who are not there, when quorum is."""
        # Whoever was missing before is not waited for long.
        return self._pace.missing_grace_s if self.missing & set(sites) else self._grace_s

    @property
    def _grace_s(self) -> float:
        asked = self._pace.absent_grace_s
        return self._study.federation.grace_s if asked is None else asked

    def collect(self, desk: Desk, weights: Weights) -> None:
        """Ask, and take in replies, until the round is over. Raises :class:`Stopped`."""
        looked = heeded = -math.inf
        desk.notices = self.notices(desk.number)
        while True:
            moment = time.monotonic()
            if moment >= heeded + self._pace.look_s:
                if self._journal.wish(self._run) is Wish.STOP:
                    raise Stopped
                heeded = moment
            everybody = set(self._record.sites) <= set(desk.asked) | set(desk.settled)
            if moment >= looked + (self._pace.look_again_s if everybody else self._pace.look_s):
                self._ask(desk, weights)
                looked = moment
            came = False
            if desk.pending or self._late:
                for message in self._grid.pull_messages([*desk.pending, *self._late]):
                    self._receive(desk, message, weights)
                    came = True
            self._heed_policies(desk, moment)
            if self._over(desk, moment - desk.started):
                return
            # A few are unpacked at a time: where some came, more may be there.
            if not came:
                time.sleep(self._pace.poll_s)

    def _over(self, desk: Desk, elapsed: float) -> bool:
        missing = set(self._record.sites) - set(desk.settled)
        if not missing or elapsed >= self._study.federation.deadline_s:
            return True
        # Those who may still answer: they were asked, or they are there and will be asked once more.
        expected = set(desk.asked) | (set(desk.errors) & desk.present)
        federation = self._study.federation
        if not desk.beside and federation.missing_required(set(desk.included) | missing):
            # A required site has failed or refused: this round cannot count any more.
            return True
        if missing & expected or not federation.enough(set(desk.included)):
            return False
        grace = self._pace.missing_grace_s if missing <= self.missing else self._grace_s
        return elapsed >= grace

    def _heed_policies(self, desk: Desk, moment: float) -> None:
        """Raises ``round-stopped``. A masked attempt is judged when it is over: a site may be in the next one."""
        if desk.beside:
            return
        if STOP_ON_DISCONNECT in self._study.federation.policies:
            for site, since in desk.away.items():
                if site not in desk.settled and moment - since >= self._grace_s:
                    why = f"away for {moment - since:.0f} s"
                    self.settle(desk, SiteOutcome(site, Outcome.ABSENT, "not-connected", why))
        stop_if_told(self._study, desk.number, desk.settled.values())

    def _ask(self, desk: Desk, weights: Weights) -> None:
        """Send the order to every site that is there and was not asked since it came."""
        from flwr.app import Message

        present = self._roster(self._grid)
        desk.present = set(present)
        moment = time.monotonic()
        gone = [site for site in self._record.sites if site not in present]
        desk.away = {site: desk.away.get(site, moment) for site in gone}
        messages, sites = [], []
        contents: dict[tuple[bytes, tuple[RoundNotice, ...]], RecordDict] = {}
        common: RecordDict | None = None
        order = order_for(self._study, self._record.study_hash, self._run, desk.number)
        for site in self._record.sites:
            presence = present.get(site)
            if presence is None or site in desk.settled or desk.asked.get(site) == presence:
                continue
            if desk.attempts.get(site, 0) >= _ATTEMPTS:
                continue
            # One content for all who are told the same, and one model for all: memory does not grow with their number.
            kind = (desk.beside.get(site, b""), desk.notices.get(site, ()))
            if kind not in contents:
                common = common or self._packed(order, weights)
                contents[kind] = for_site(common, *kind)
            message = Message(
                contents[kind],
                presence.node_id,
                MESSAGE_TYPE,
                ttl=self._study.federation.deadline_s + MESSAGE_MARGIN_S,
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
        self._journal.record_dispatched(self._run, desk.number, [site for site in sites if site in desk.asked])
        # Takes a second the first time: now, while the sites work.
        _ = self._prices

    def _packed(self, order: RoundOrder, weights: Weights) -> RecordDict:
        content = encode_order(order, weights)
        return to_wire(content) if self._wire else content

    def _receive(self, desk: Desk, message: Message, weights: Weights) -> None:
        asked = message.metadata.reply_to_message_id
        if asked in self._late:
            self._note_late(*self._late.pop(asked))
            return
        site, node = desk.pending.pop(asked, ("", 0))
        if not site or site in desk.settled:
            return
        seconds = round(time.monotonic() - desk.asked_at[site], 3)
        if (why := trouble(message, node)) is not None:
            desk.errors[site] = why
            desk.asked.pop(site, None)
            if desk.attempts[site] >= _ATTEMPTS:
                self.settle(desk, SiteOutcome(site, Outcome.FAILED, "site-unreachable", desk.errors[site]))
            return
        try:
            outcome, update = self._judge(desk, site, message.content, weights)
        except GaitkeeperError as error:
            self.settle(desk, SiteOutcome(site, Outcome.FAILED, error.code, error.message, seconds=seconds))
            return
        except Exception as error:
            # Whatever a site sends costs that site's reply and no more.
            _log.exception("the reply of %s", site)
            refused = GaitkeeperError("update-unusable", site=site, why=f"it cannot be read ({type(error).__name__})")
            self.settle(desk, SiteOutcome(site, Outcome.FAILED, refused.code, refused.message, seconds=seconds))
            return
        # Our own time, from question to answer: a site's own would be one more thing it says of its data.
        self.settle(desk, replace(outcome, seconds=seconds), update)

    def _judge(
        self, desk: Desk, site: str, content: RecordDict, weights: Weights
    ) -> tuple[SiteOutcome, Weights | None]:
        order = order_for(self._study, self._record.study_hash, self._run, desk.number)
        noise_std = self._prices.count_noise_std
        if not desk.beside:
            largest = largest_update(self._study, self._prices, weights, desk.number)
            return judge(site, content, order, self._study, weights, noise_std, largest)
        verdict = judge_masked(site, content, order, self._study, size_of(weights), noise_std)
        if verdict.vector is not None:
            # Whole numbers that wrap around: the order of arrival does not matter.
            total = desk.masked_total
            desk.masked_total = verdict.vector.copy() if total is None else np.add(total, verdict.vector, out=total)
            desk.masked_sites.add(site)
            desk.adverts[site] = verdict.adverts
        if verdict.complaints:
            desk.complaints[site] = verdict.complaints
        return verdict.outcome, None

    @cached_property
    def _prices(self) -> PrivacyPlan:
        """Which noise steps and counts carry, from the study alone."""
        return plan(self._study)

    def settle(self, desk: Desk, outcome: SiteOutcome, update: Weights | None = None) -> None:
        """Record what a site did; that is its word in this round."""
        self._journal.record_outcome(self._run, desk.number, outcome, update)
        desk.settled[outcome.site] = outcome

    def close(self, desk: Desk, *, stopped: bool = False) -> None:
        """Give every site that did not reply the word for it. ``stopped``: the round did not last to its end."""
        waited = f"after {time.monotonic() - desk.started:.0f} s"
        for site in self._record.sites:
            if site in desk.settled:
                continue
            if site in desk.asked and stopped:
                why = SiteOutcome(site, Outcome.LATE, "round-over", f"no reply when the round was stopped {waited}")
            elif site in desk.asked:
                why = SiteOutcome(site, Outcome.LATE, "deadline", f"no reply {waited}")
            elif site in desk.errors:
                why = SiteOutcome(site, Outcome.FAILED, "site-unreachable", desk.errors[site])
            else:
                why = SiteOutcome(site, Outcome.ABSENT, "not-connected", f"not connected {waited}")
            self.settle(desk, why)
        self.missing = set(self._record.sites) - set(desk.included)
        ended = time.monotonic()
        oldest = ended - self._study.federation.deadline_s - MESSAGE_MARGIN_S
        # A message that is older than its time to live is answered no more.
        self._late = {message_id: late for message_id, late in self._late.items() if late[2] > oldest}
        self._late |= {
            message_id: (site, desk.number, ended)
            for message_id, (site, _) in desk.pending.items()
            if desk.settled[site].outcome is Outcome.LATE
        }

    def _note_late(self, site: str, number: int, ended: float) -> None:
        known = {outcome.site: outcome for outcome in self._journal.outcomes(self._run, number)}
        late = known.get(site)
        if late is None or late.outcome is not Outcome.LATE:
            return
        after = f"{late.message}; a reply came {time.monotonic() - ended:.0f} s after the end and was not counted"
        self._journal.record_outcome(self._run, number, replace(late, message=after))

    def notices(self, before: int) -> Mapping[str, tuple[RoundNotice, ...]]:
        """By site, the rounds since it was last counted in which it was asked in vain: told with its next order."""
        told: dict[str, list[RoundNotice]] = {}
        counted: set[str] = set()
        for number in range(before - 1, max(0, before - 1 - MOST_NOTICES), -1):
            for said in self._journal.outcomes(self._run, number):
                if said.outcome is Outcome.INCLUDED:
                    counted.add(said.site)
                elif said.site not in counted and said.outcome in (Outcome.LATE, Outcome.FAILED):
                    notice = RoundNotice(self._run, number, str(said.outcome), said.code, said.message)
                    told.setdefault(said.site, []).append(notice)
            if counted >= set(self._record.sites):
                break
        return {site: tuple(reversed(notices)) for site, notices in told.items()}

    def tell_stragglers(self) -> None:
        """At the end of a run: tell those whose last reply did not count, as no order follows that would tell them.

        The run's messages go with the run, so that they are waited for, but not for long. Never raises: nothing but an
        operator's knowledge depends on it.
        """
        try:
            last = max((item.number for item in self._journal.rounds(self._run)), default=0)
            if told := self.notices(last + 1):
                self._tell(told)
        except Exception as error:
            _log.warning("stragglers could not be told: %s: %s", type(error).__name__, error)

    def _tell(self, told: Mapping[str, tuple[RoundNotice, ...]]) -> None:
        present = self._roster(self._grid)
        messages = [_notice_message(present[site].node_id, told[site]) for site in sorted(told) if site in present]
        pending = {item for item in self._grid.push_messages(messages) if item} if messages else set()
        until = time.monotonic() + self._pace.notice_s
        while pending and time.monotonic() < until:
            for message in self._grid.pull_messages(list(pending)):
                pending.discard(message.metadata.reply_to_message_id)
            time.sleep(self._pace.poll_s)

    def require_quorum(self, desk: Desk) -> None:
        """Return where the round may count. Raises ``quorum-missed`` or ``required-missed``."""
        check_enough(self._study, self._record, desk.number, desk.included, desk.settled.values())


def _notice_message(node: int, notices: tuple[RoundNotice, ...]) -> Message:
    from flwr.app import Message, RecordDict

    content = RecordDict()
    put_notices(content, notices)
    return Message(content, node, MESSAGE_TYPE, ttl=MESSAGE_MARGIN_S, group_id="notice")


def trouble(message: Message, node: int) -> str | None:
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
