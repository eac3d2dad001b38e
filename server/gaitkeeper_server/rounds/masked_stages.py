"""The stages of a masked round over a Flower grid: keys, shares, agreement, unmasking. Each has its deadline.

Whoever does not answer a stage, or not as the protocol has it, falls out with its name and the reason. A round's
messages prepare the next one, so that it begins with its order.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gaitkeeper_server.rounds.collection import MESSAGE_MARGIN_S, Pace, Stopped, trouble
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.masked_records import MaskedRecords, MaskedSum
from gaitkeeper_server.rounds.roster import Presence, Roster
from gaitkeeper_server.rounds.states import Outcome, RunRecord, SiteOutcome, Wish
from gaitkeeper_server.rounds.unmask import Cast, check_deal, check_reveal
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import MESSAGE_TYPE
from gaitkeeper_shared.secure.identity import Membership
from gaitkeeper_shared.secure.messages import (
    Preparation,
    Stage,
    StageReply,
    StageRequest,
    decode_stage_reply,
    encode_request,
)
from gaitkeeper_shared.secure.statements import Advert, Deal, Place, Reveal, agreed_bytes
from gaitkeeper_shared.study import Study

if TYPE_CHECKING:
    from flwr.serverapp import Grid

LIED = "secure-lied"
_TIMES = 3
"""How often a site is asked in one stage, when its node starts anew over it."""
_WORDS: Mapping[Stage, str] = {
    "keys": "its keys",
    "shares": "its shares",
    "agree": "its agreement on the sum",
    "unmask": "its shares of the masks",
}


class Fallen(dict[str, SiteOutcome]):
    """Who fell out, and how."""


class MaskedStages:
    """Asks the stages of one run's masked rounds."""

    def __init__(
        self,
        grid: Grid,
        journal: Journal,
        record: RunRecord,
        study: Study,
        roster: Roster,
        pace: Pace,
        membership: Membership,
    ) -> None:
        self._grid, self._journal, self._record, self._study = grid, journal, record, study
        self._roster, self._pace, self._membership = roster, pace, membership
        self._records = MaskedRecords(journal, record.run)
        self._prepared: dict[int, Cast] = {}
        self._coming: dict[Place, Place] = {}

    # -- before the order

    def cast(self, number: int, sites: Sequence[str], grace_s: float, fallen: Fallen) -> Cast | None:
        """Who takes part in an attempt: the one prepared on the way, or a new one. None where they are too few.

        ``grace_s``: how long those are waited for who are not there.
        """
        prepared = self._prepared.pop(number, None)
        here = set(sites) & set(self._roster(self._grid))
        # Who was named as a liar since is no dealer any more: its mask might not come off again.
        if prepared is not None and here <= set(prepared.dealers) <= set(sites):
            absent = set(sites) - set(prepared.dealers)
            fallen.update({site: SiteOutcome(site, Outcome.ABSENT, "not-connected", "not there") for site in absent})
            return prepared
        place = Place(self._record.study_hash, self._record.run, number, self._records.new_attempt(number))
        adverts: list[Advert] = []

        def take_keys(site: str, reply: StageReply) -> None:
            adverts.append(self._checked_advert(place, site, reply.adverts))

        keys = StageRequest(place)
        self._ask("keys", dict.fromkeys(sites, keys), take_keys, fallen, _Patience(grace_s, self._study))
        if len(adverts) < self._study.federation.quorum:
            return None
        shown = tuple(sorted(adverts, key=lambda advert: advert.site))
        deals: list[Deal] = []

        def take_shares(site: str, reply: StageReply) -> None:
            deals.append(self._checked_deal(place, shown, site, reply.deals))

        shares = StageRequest(place, adverts=shown)
        self._ask("shares", {advert.site: shares for advert in shown}, take_shares, fallen)
        return self._cast_of(place, shown, deals)

    def _cast_of(self, place: Place, adverts: tuple[Advert, ...], deals: Sequence[Deal]) -> Cast | None:
        if len(deals) < self._study.federation.quorum:
            return None
        return Cast(place, adverts, tuple(sorted(deals, key=lambda deal: deal.site)))

    def _checked_advert(self, place: Place, site: str, adverts: tuple[Advert, ...]) -> Advert:
        if len(adverts) != 1 or adverts[0].site != site:
            raise GaitkeeperError(LIED, site=site, what="it sent no keys of its own")
        self._check_signed(site, adverts[0], adverts[0].signed_bytes(place), adverts[0].signature)
        return adverts[0]

    def _checked_deal(self, place: Place, adverts: tuple[Advert, ...], site: str, deals: tuple[Deal, ...]) -> Deal:
        if len(deals) != 1 or deals[0].site != site:
            raise GaitkeeperError(LIED, site=site, what="it dealt no shares of its own")
        check_deal(deals[0], place, adverts)
        advert = next(advert for advert in adverts if advert.site == site)
        self._check_signed(site, advert, deals[0].signed_bytes(place), deals[0].signature)
        return deals[0]

    def _check_signed(self, site: str, advert: Advert, message: bytes, signature: bytes) -> None:
        try:
            self._membership.check(site, advert.certificate, message, signature)
        except GaitkeeperError as error:
            why = error.values.get("why", "")
            raise GaitkeeperError(LIED, site=site, what=f"what it sent is not signed for this stage ({why})") from error

    # -- after the masked updates

    def open(self, masked: MaskedSum, keys: Mapping[str, tuple[Advert, ...]], fallen: Fallen) -> dict[str, Reveal]:
        """The checked shares for a sum, of those who gave them.

        ``keys``: for the next round, as they came with the replies.
        """
        cast, members = masked.cast, masked.members
        coming = self.coming(cast.place)
        shown = self._shown(coming, keys)
        agreements = self._agreements(masked, fallen) if members != cast.dealers else {}
        reveals: dict[str, Reveal] = {}
        deals: list[Deal] = []

        def take(site: str, reply: StageReply) -> None:
            if len(reply.reveals) != 1 or reply.reveals[0].site != site:
                raise GaitkeeperError(LIED, site=site, what="it gave no shares of its own")
            check_reveal(cast, members, reply.reveals[0])
            reveals[site] = reply.reveals[0]
            if reply.deals:
                deals.extend(self._checked_deal(place, shown, site, reply.deals) for place in coming)

        proofs = self._records.proofs(cast.place.round)
        plain = StageRequest(cast.place, members=members, agreements=agreements, proofs=proofs)
        have_keys = {advert.site for advert in shown}
        prepared = replace(plain, preparations=tuple(Preparation(place, shown) for place in coming))
        asked = agreements if members != cast.dealers else members
        requests = {site: prepared if site in have_keys else plain for site in asked}
        self._ask("unmask", requests, take, fallen)
        for place in coming:
            if (cast_of_next := self._cast_of(place, shown, deals)) is not None:
                self._prepared = {place.round: cast_of_next}
        return reveals

    def _agreements(self, masked: MaskedSum, fallen: Fallen) -> dict[str, bytes]:
        """The members' signatures under who is in the sum, which is not everybody whose masks are in it."""
        cast, members = masked.cast, masked.members
        adverts = {advert.site: advert for advert in cast.adverts}
        signed = agreed_bytes(cast.place, members)
        agreements: dict[str, bytes] = {}

        def take(site: str, reply: StageReply) -> None:
            self._check_signed(site, adverts[site], signed, reply.agreement)
            agreements[site] = reply.agreement

        self._ask("agree", dict.fromkeys(members, StageRequest(cast.place, members=members)), take, fallen)
        return agreements

    def coming(self, place: Place) -> tuple[Place, ...]:
        """The attempt at the next round that is prepared in this one; none in the last one."""
        if place.round >= self._study.training.rounds:
            return ()
        if place not in self._coming:
            attempt = self._records.new_attempt(place.round + 1)
            self._coming = {place: Place(place.study_hash, place.run, place.round + 1, attempt)}
        return (self._coming[place],)

    def _shown(self, coming: tuple[Place, ...], keys: Mapping[str, tuple[Advert, ...]]) -> tuple[Advert, ...]:
        """The keys for the next round that hold. Whoever has none takes part in that round's own stages."""
        shown = []
        for place in coming:
            for site in sorted(keys):
                with contextlib.suppress(GaitkeeperError):
                    shown.append(self._checked_advert(place, site, keys[site]))
        return tuple(shown) if len(shown) >= self._study.federation.quorum else ()

    # -- one stage

    def _ask(
        self,
        stage: Stage,
        requests: Mapping[str, StageRequest],
        take: Callable[[str, StageReply], None],
        fallen: Fallen,
        patience: _Patience | None = None,
    ) -> None:
        """Ask a stage, take in what is right, and name who falls out."""
        started = time.monotonic()
        waiting = _Waiting(self._grid, self._study.federation.stage_deadline_s, stage)
        looked = -math.inf
        while True:
            moment = time.monotonic()
            absent = set(requests) - waiting.asked
            if moment >= looked + (self._pace.look_s if absent else self._pace.look_again_s):
                if self._journal.wish(self._record.run) is Wish.STOP:
                    raise Stopped
                waiting.ask(requests, self._roster(self._grid))
                looked = moment
            for site, reply in waiting.replies():
                if (outcome := self._taken(stage, site, reply, take)) is not None:
                    fallen[site] = outcome
            absent = set(requests) - waiting.asked
            if not waiting.open and (
                not absent or patience is None or patience.over(moment - started, len(waiting.asked))
            ):
                break
            time.sleep(self._pace.poll_s)
        for site in requests:
            if site not in waiting.asked:
                fallen[site] = SiteOutcome(site, Outcome.ABSENT, "not-connected", f"not there to send {_WORDS[stage]}")
            elif site in waiting.silent:
                late = f"did not send {_WORDS[stage]} within {time.monotonic() - started:.0f} s"
                fallen[site] = SiteOutcome(site, Outcome.LATE, "deadline", late)

    @staticmethod
    def _taken(
        stage: Stage, site: str, reply: StageReply | GaitkeeperError | str, take: Callable[[str, StageReply], None]
    ) -> SiteOutcome | None:
        """Take a reply in; how the site falls out where it cannot be taken."""
        if isinstance(reply, str):
            return SiteOutcome(site, Outcome.FAILED, "site-unreachable", reply)
        if isinstance(reply, GaitkeeperError):
            return SiteOutcome(site, Outcome.FAILED, reply.code, reply.message)
        if reply.code:
            return SiteOutcome(site, Outcome.REFUSED, reply.code, reply.message)
        try:
            take(site, reply)
        except GaitkeeperError as error:
            return SiteOutcome(site, Outcome.FAILED, error.code, error.message)
        except (ValueError, KeyError) as error:
            lied = GaitkeeperError(LIED, site=site, what=f"{_WORDS[stage]} cannot be read ({type(error).__name__})")
            return SiteOutcome(site, Outcome.FAILED, lied.code, lied.message)
        return None


@dataclass(frozen=True, slots=True)
class _Patience:
    """With those who are not there: a while when quorum is, and as long as a round may last when it is not."""

    grace_s: float
    study: Study

    def over(self, elapsed: float, asked: int) -> bool:
        """Whether nobody else is waited for."""
        federation = self.study.federation
        return elapsed >= (self.grace_s if asked >= federation.quorum else federation.deadline_s)


class _Waiting:
    """The messages of one stage: whom was asked, who is to answer."""

    def __init__(self, grid: Grid, deadline_s: float, stage: Stage) -> None:
        self._grid, self._deadline_s, self._stage = grid, deadline_s, stage
        self._pending: dict[str, tuple[str, int]] = {}
        self._presences: dict[str, Presence] = {}
        self._times: Counter[str] = Counter()
        self._until = 0.0

    @property
    def asked(self) -> set[str]:
        """Who was asked."""
        return set(self._presences)

    @property
    def open(self) -> bool:
        """Whether a reply may still come in time."""
        return bool(self._pending) and time.monotonic() < self._until

    @property
    def silent(self) -> set[str]:
        """Who was asked and did not answer."""
        return {site for site, _ in self._pending.values()}

    def ask(self, requests: Mapping[str, StageRequest], present: Mapping[str, Presence]) -> None:
        """Ask those who are there and were not asked since they came: what a node was asked before, it has lost."""
        from flwr.app import Message

        nodes = {site: presence.node_id for site, presence in present.items()}
        waiting = self.silent
        sites = [
            site
            for site in requests
            if site in nodes
            and (site not in self._presences or (site in waiting and self._presences[site] != present[site]))
            and self._times[site] < _TIMES
        ]
        messages = [
            Message(
                encode_request(self._stage, requests[site]),
                nodes[site],
                MESSAGE_TYPE,
                ttl=self._deadline_s + MESSAGE_MARGIN_S,
                group_id=self._stage,
            )
            for site in sites
        ]
        if not messages:
            return
        self._until = time.monotonic() + self._deadline_s
        for site, message_id in zip(sites, self._grid.push_messages(messages), strict=True):
            if message_id:
                self._pending = {key: item for key, item in self._pending.items() if item[0] != site}
                self._pending[message_id] = (site, nodes[site])
                self._presences[site] = present[site]
                self._times[site] += 1

    def replies(self) -> list[tuple[str, StageReply | GaitkeeperError | str]]:
        """What came: a reply, an error where it is none, or words where the site cannot be reached."""
        if not self._pending:
            return []
        found: list[tuple[str, StageReply | GaitkeeperError | str]] = []
        for message in self._grid.pull_messages(list(self._pending)):
            site, node = self._pending.pop(message.metadata.reply_to_message_id, ("", 0))
            if not site:
                continue
            if (why := trouble(message, node)) is not None:
                found.append((site, why))
                continue
            try:
                found.append((site, decode_stage_reply(self._stage, message.content)))
            except GaitkeeperError as error:
                found.append((site, error))
        return found
