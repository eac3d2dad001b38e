"""A whole masked round: attempts until a sum is open, and the word for every site.

An attempt that fails before anybody was asked for shares of masks is made anew, with fresh keys and the same trained
updates. Once shares were asked for, only that sum can be opened: sites help to open one sum a round.

A dealer whose true shares make another secret than it advertised shows only then, and its mask does not come off. It is
named, left out of the rest of the run, and the attempt is made anew without it, nobody training or paying again:

- Where it fell out before the sum, the others open the same sum with fresh keys.
- Where it is in the sum, the others open that sum without it, and nothing else; what it signed itself and the shares
  prove to each of them that they may (``secure.proofs`` argues why that is safe). Should one of the others be missing
  then, the attempt waits for another one with all of them: a sum without that one as well could tell its update to
  whoever colludes with the liar. Where all attempts pass, the round is lost: these updates stay hidden for ever, and
  the run goes on with the next round, which trains anew, at its own price, without the liar and with whoever is there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gaitkeeper_server.rounds.attendance import stop_if_told
from gaitkeeper_server.rounds.collection import Collector, Desk
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.masked_records import MaskedRecords, MaskedSum
from gaitkeeper_server.rounds.masked_stages import LIED, Fallen, MaskedStages
from gaitkeeper_server.rounds.states import Outcome, RunRecord, SiteOutcome
from gaitkeeper_server.rounds.unmask import Cast, false_deal, false_dealer, secrets_of, unmasked
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.secure.arithmetic import Vector, model_digest
from gaitkeeper_shared.secure.codec import pack
from gaitkeeper_shared.secure.messages import Deals
from gaitkeeper_shared.secure.statements import Reveal
from gaitkeeper_shared.study import Study

ROUND_LOST = "secure-round-lost"
_ATTEMPTS = 4
_PASSING = frozenset({"secure-refused", "site-unreachable"})
"""Why a site may be in the next attempt though not in this one."""


@dataclass(slots=True)
class _Task:
    """What the next attempt at a round is to do: with which sites, or which sum to open.

    ``only``: members of the one sum that may be opened, after a lie. ``named``: who lied while a sum was opened.
    """

    sites: tuple[str, ...]
    masked: MaskedSum | None
    only: tuple[str, ...] | None = None
    named: Fallen = field(default_factory=Fallen)
    why: str = "no attempt came to a sum"


class MaskedRounds:
    """The masked rounds of one run."""

    def __init__(
        self, collector: Collector, stages: MaskedStages, journal: Journal, record: RunRecord, study: Study
    ) -> None:
        self._collector, self._stages, self._journal = collector, stages, journal
        self._record, self._study = record, study
        self._records = MaskedRecords(journal, record.run)

    def run_round(self, number: int, weights: Weights) -> tuple[Vector, tuple[str, ...]]:
        """The sum of a round's updates and the sites in it. Raises ``quorum-missed`` or ``secure-shares-missing``."""
        task = self._resumed(number)
        for attempt in range(1, _ATTEMPTS + 1):
            desk = Desk(number, time.monotonic())
            for outcome in self._liars(number).values():
                self._collector.settle(desk, outcome)
            masked = task.masked or self._masked_sum(desk, weights, task, attempt)
            if masked is None:
                continue
            task.masked = None
            total = self._opened(desk, masked, task, model_digest(weights))
            if total is not None:
                return total, masked.members
        if task.only is not None:
            # The sum with the liar is as good as open to whoever colludes with it: no second one of these may be.
            raise GaitkeeperError(ROUND_LOST, round=number, why=task.why, run=self._record.run)
        raise GaitkeeperError("secure-shares-missing", round=number, why=task.why, run=self._record.run)

    def _resumed(self, number: int) -> _Task:
        """What is left to do of a round that may have been begun in an earlier life of the coordinator."""
        task = _Task(self._record.sites, self._records.kept(number))
        proven = [proof.site for proof in self._records.proofs(number)]
        if task.masked is not None and set(proven) & set(task.masked.members):
            self._leave_out(number, task, task.masked.members, proven)
        elif task.masked is not None and proven:
            task.only = task.masked.members
        return task

    def _opened(self, desk: Desk, masked: MaskedSum, task: _Task, model: str) -> Vector | None:
        """Open a sum; None where it cannot be opened, or not with everybody who is in it."""
        needed = self._study.federation.shares_needed
        fallen = Fallen()
        reveals = self._stages.open(masked, desk.adverts, fallen)
        task.named.update({site: outcome for site, outcome in fallen.items() if outcome.code == LIED})
        if len(reveals) < needed:
            words = "; ".join(f"{site}: {outcome.message}" for site, outcome in sorted(fallen.items()))
            task.why = f"{len(reveals)} of {needed} sites gave shares ({words})"
            # The same sum may still be made anew, with fresh keys, where all who were in it are there.
            task.sites = masked.members
            return None
        secrets = secrets_of(masked.cast, masked.members, reveals, needed)
        if secrets.false:
            self._accuse(desk, masked, reveals, secrets.false)
            self._leave_out(desk.number, task, masked.members, secrets.false)
            return None
        total = unmasked(masked.cast, masked.members, [masked.total], secrets, model)
        self._settle(desk, masked, task.named)
        return total

    def _leave_out(self, number: int, task: _Task, members: Sequence[str], liars: Sequence[str]) -> None:
        """Make the sum of the others the only one to be opened.

        Where they are too few, raises ``secure-round-lost`` if the run has enough other sites, or ``quorum-missed``.
        """
        task.masked = None
        task.only = task.sites = tuple(site for site in members if site not in liars)
        task.why = f"the shares that {', '.join(liars)} dealt do not make their keys"
        if len(task.only) >= self._study.federation.quorum:
            return
        if self._study.federation.enough(set(self._record.sites) - set(liars) - set(self._liars(number))):
            raise GaitkeeperError(ROUND_LOST, round=number, why=task.why, run=self._record.run)
        raise GaitkeeperError(
            "quorum-missed",
            round=number,
            included=len(task.only),
            quorum=self._study.federation.quorum,
            outcomes=task.why,
            run=self._record.run,
        )

    def _accuse(self, desk: Desk, masked: MaskedSum, reveals: Mapping[str, Reveal], false: Sequence[str]) -> None:
        """Name false dealers; against those in the sum, keep the proof first: the others ask for it."""
        needed = self._study.federation.shares_needed
        in_sum = [site for site in false if site in masked.members]
        self._records.accuse(desk.number, [false_deal(masked.cast, site, reveals, needed) for site in in_sum])
        known = {item.site: item for item in self._journal.outcomes(self._record.run, desk.number)}
        for site in false:
            lied = false_dealer(site)
            self._collector.settle(desk, replace(known[site], outcome=Outcome.FAILED, code=LIED, message=lied.message))

    def forget(self, number: int) -> None:
        """Drop what was kept of a round that is committed."""
        self._records.forget(number)

    def _masked_sum(self, desk: Desk, weights: Weights, task: _Task, attempt: int) -> MaskedSum | None:
        """One attempt up to the masked sum, which is kept; None where another one may do better.

        Raises ``quorum-missed``.
        """
        cast = self._cast(desk, task.sites)
        if cast is None:
            if attempt == _ATTEMPTS:
                self._collector.require_quorum(desk)
            return None
        # From here on the sites train: the time that the keys took is not theirs.
        desk.started = time.monotonic()
        coming = self._stages.coming(cast.place)
        desk.beside = {
            site: pack(Deals(cast.place, tuple(deal.for_peer(site) for deal in cast.deals), coming))
            for site in cast.dealers
        }
        self._collector.collect(desk, weights)
        self._collector.close(desk)
        if desk.complaints:
            for outcome in self._false_dealers(desk).values():
                self._collector.settle(desk, outcome)
            return None
        if self._worth_another(desk, attempt):
            return None
        members = tuple(sorted(desk.masked_sites))
        if task.only not in (None, members):
            gone = sorted(set(task.only or ()) - set(members))
            task.why = f"after a lie the sum has to be made with {', '.join(gone)}, or not at all"
            return None
        stop_if_told(self._study, desk.number, desk.settled.values())
        self._collector.require_quorum(desk)
        total = desk.masked_total
        assert total is not None, "a quorum of masked updates has a sum"
        public = tuple(replace(deal, sealed={}) for deal in cast.deals)
        masked = MaskedSum(Cast(cast.place, cast.adverts, public), members, total)
        self._records.keep(desk.number, masked)
        return masked

    def _worth_another(self, desk: Desk, attempt: int) -> bool:
        """Whether sites that were restarted meanwhile, and have forgotten the attempt, would make it a better one."""
        forgetful = [site for site, outcome in desk.settled.items() if outcome.code in _PASSING]
        if not forgetful or attempt == _ATTEMPTS:
            return False
        federation, there = self._study.federation, set(desk.included)
        return attempt == 1 or (not federation.enough(there) and federation.enough(there | set(forgetful)))

    def _cast(self, desk: Desk, sites: tuple[str, ...]) -> Cast | None:
        """Who takes part in an attempt; everybody else is settled. None where they are too few."""
        fallen = Fallen()
        wanted = [site for site in sites if site not in desk.settled]
        cast = self._stages.cast(desk.number, wanted, self._collector.grace_s(wanted), fallen)
        for outcome in fallen.values():
            self._collector.settle(desk, outcome)
        dealers = () if cast is None else cast.dealers
        for site in self._record.sites:
            if site not in dealers and site not in desk.settled:
                self._collector.settle(desk, SiteOutcome(site, Outcome.ABSENT, "secure-refused", "too few others"))
        return cast

    def _false_dealers(self, desk: Desk) -> dict[str, SiteOutcome]:
        """Whom to leave out over complaints: a dealer that more sites complain about than may collude, or else, as one
        of the two says what is not so, those who complain."""
        found = {}
        colluding = self._study.privacy.colluding
        accused: dict[str, list[str]] = {}
        for site, dealers in desk.complaints.items():
            for dealer in dealers:
                accused.setdefault(dealer, []).append(site)
        for dealer, sites in accused.items():
            for site in [dealer] if len(sites) > colluding else sites:
                about = f"{', '.join(sites)} got false shares" if site == dealer else f"it alone complains of {dealer}"
                lied = GaitkeeperError(LIED, site=site, what=about)
                found[site] = SiteOutcome(site, Outcome.FAILED, lied.code, lied.message)
        return found

    def _settle(self, desk: Desk, masked: MaskedSum, fallen: Fallen) -> None:
        """Everybody in the sum is included, also who fell out after it; who lied then is named beside that."""
        known = {item.site: item for item in self._journal.outcomes(self._record.run, desk.number)}
        for site in masked.members:
            included = replace(known[site], outcome=Outcome.INCLUDED, code="", message="")
            if (after := fallen.get(site)) is not None and after.code == LIED:
                included = replace(included, code=LIED, message=after.message)
            self._collector.settle(desk, included)

    def _liars(self, number: int) -> dict[str, SiteOutcome]:
        """Sites that did not keep to the protocol in this run: left out, by name."""
        barred = {}
        for item in self._journal.rounds(self._record.run):
            for outcome in self._journal.outcomes(self._record.run, item.number):
                if outcome.code == LIED and item.number <= number:
                    # What it spent in this round stays in its word for the round.
                    spent = outcome.epsilon_spent if item.number == number else 0.0
                    barred[outcome.site] = SiteOutcome(
                        outcome.site, Outcome.FAILED, LIED, outcome.message, spent, outcome.delta
                    )
        return barred
