"""A whole masked round: attempts until a sum is open, and the word for every site.

An attempt that fails before anybody was asked for shares of masks is made anew, with fresh keys and the same trained
updates. Once shares were asked for, only that sum can be opened: sites help to open one sum a round.
"""

from __future__ import annotations

import time
from dataclasses import replace

from gaitkeeper_server.rounds.collection import Collector, Desk
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.masked_records import MaskedRecords, MaskedSum
from gaitkeeper_server.rounds.masked_stages import LIED, Fallen, MaskedStages
from gaitkeeper_server.rounds.states import Outcome, RoundState, RunRecord, SiteOutcome
from gaitkeeper_server.rounds.unmask import Cast, open_sum
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.secure.arithmetic import Vector
from gaitkeeper_shared.secure.codec import pack
from gaitkeeper_shared.secure.messages import Deals
from gaitkeeper_shared.study import Study

_ATTEMPTS = 4
_PASSING = frozenset({"secure-refused", "site-unreachable"})
"""Why a site may be in the next attempt though not in this one."""


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
        masked = self._records.kept(number)
        sites = tuple(self._record.sites)
        why = "no attempt came to a sum"
        for attempt in range(1, _ATTEMPTS + 1):
            desk = Desk(number, time.monotonic())
            for outcome in self._liars(number).values():
                self._collector.settle(desk, outcome)
            if masked is None:
                masked = self._masked_sum(desk, weights, sites, attempt)
                if masked is None:
                    continue
                self._records.keep(number, masked)
            fallen = Fallen()
            reveals = self._stages.open(masked, desk.adverts, fallen)
            needed = self._study.federation.shares_needed
            if len(reveals) >= needed:
                total = open_sum(masked.cast, masked.members, [masked.total], reveals, needed)
                self._settle(desk, masked, fallen)
                return total, masked.members
            words = "; ".join(f"{site}: {outcome.message}" for site, outcome in sorted(fallen.items()))
            why = f"{len(reveals)} of {needed} sites gave shares ({words})"
            # The same sum may still be made anew, with fresh keys, where all who were in it are there.
            sites, masked = masked.members, None
        self._journal.set_round_state(self._record.run, number, RoundState.ABANDONED)
        raise GaitkeeperError("secure-shares-missing", round=number, why=why, run=self._record.run)

    def forget(self, number: int) -> None:
        """Drop what was kept of a round that is committed."""
        self._records.forget(number)

    def _masked_sum(self, desk: Desk, weights: Weights, sites: tuple[str, ...], attempt: int) -> MaskedSum | None:
        """One attempt up to the masked sum; None where another one may do better. Raises ``quorum-missed``."""
        cast = self._cast(desk, sites)
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
        self._collector.require_quorum(desk)
        members = tuple(sorted(desk.vectors))
        total = desk.vectors[members[0]].copy()
        for site in members[1:]:
            total += desk.vectors[site]
        public = tuple(replace(deal, sealed={}) for deal in cast.deals)
        return MaskedSum(Cast(cast.place, cast.adverts, public), members, total)

    def _worth_another(self, desk: Desk, attempt: int) -> bool:
        """Whether sites that were restarted meanwhile, and have forgotten the attempt, would make it a better one."""
        forgetful = [site for site, outcome in desk.settled.items() if outcome.code in _PASSING]
        if not forgetful or attempt == _ATTEMPTS:
            return False
        short = len(desk.included) < self._study.federation.quorum
        return attempt == 1 or (short and len(desk.included) + len(forgetful) >= self._study.federation.quorum)

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
                    barred[outcome.site] = SiteOutcome(outcome.site, Outcome.FAILED, LIED, outcome.message)
        return barred
