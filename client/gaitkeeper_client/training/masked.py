"""A site's answers to the stages of masked rounds: which attempts are open, and each stage answered once.

A stage that is asked for again, word by word, gets the same answer; asked for in other words it is refused, because two
answers could tell what one does not. An update is masked anew in each attempt, but it is the same update: it was
trained and noised once and lies in the ledger's reply.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gaitkeeper_client.training.masked_attempt import MaskedAttempt, MaskingRules
from gaitkeeper_client.training.refusals import refusal
from gaitkeeper_client.training.replies import decode_reply, trained_from
from gaitkeeper_client.training.site_round import SiteRuntime, run_round
from gaitkeeper_client.vault.ledger import RoundKey
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import MASKED_ARRAY, RoundOrder, RoundReply, Weights
from gaitkeeper_shared.secure.arithmetic import MOST_SITES, encode, model_digest
from gaitkeeper_shared.secure.codec import pack, unpack
from gaitkeeper_shared.secure.identity import Membership, SiteIdentity
from gaitkeeper_shared.secure.messages import Deals, Masked, Stage, StageReply, StageRequest
from gaitkeeper_shared.secure.proofs import check_false_deal
from gaitkeeper_shared.secure.statements import Advert, Deal, Place, Reveal, members_digest
from gaitkeeper_shared.study import Study

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOG = logging.getLogger(__name__)
_OPEN_ATTEMPTS = 8
"""Kept in memory: the round at hand, the next one, and what is left of failed attempts."""


@dataclass(slots=True)
class _Open:
    """An attempt and the stages that were answered: SHA-256 of the question, and the answer."""

    attempt: MaskedAttempt
    answered: dict[str, tuple[bytes, Any]] = field(default_factory=dict)

    def once(self, stage: str, question: bytes, answer: Callable[[], Any]) -> Any:
        digest = hashlib.sha256(question).digest()
        known = self.answered.get(stage)
        if known is None:
            # Before the answer is made: a stage that fails half way is not tried in other words.
            self.answered[stage] = (digest, None)
            self.answered[stage] = known = (digest, answer())
        if known[0] != digest or known[1] is None:
            raise GaitkeeperError("secure-refused", why=f"the stage {stage!r} was asked for before, in other words")
        return known[1]


class SiteMasking:
    """A site's part in masked rounds. ``identity``: asked anew for each attempt, as certificates are renewed."""

    def __init__(self, identity: Callable[[], SiteIdentity], membership: Callable[[], Membership]) -> None:
        self._identity, self._membership = identity, membership
        self._open: dict[Place, _Open] = {}

    def answer(self, runtime: SiteRuntime, stage: Stage, request: StageRequest) -> StageReply:
        """The answer to a stage of its own. No error leaves this function."""
        try:
            reply = self._answer(runtime, stage, request)
        except Exception as error:
            told = refusal(runtime.site, error).report
            return StageReply(runtime.site, told.code, told.message)
        try:
            for item in request.preparations:
                adverts, deals = self._prepare(runtime, item.place, item.adverts)
                reply = replace(reply, adverts=adverts, deals=deals)
        except Exception as error:
            # The next round then begins with its own stages; this one goes on.
            refusal(runtime.site, error)
        return reply

    def _answer(self, runtime: SiteRuntime, stage: Stage, request: StageRequest) -> StageReply:
        place, site = request.place, runtime.site
        if stage in ("keys", "shares"):
            adverts, deals = self._prepare(runtime, place, request.adverts if stage == "shares" else ())
            return StageReply(site, adverts=adverts, deals=deals)
        known = self._known(place)
        if stage == "agree":
            question = pack(replace(request, preparations=()))
            agreement: bytes = known.once("agree", question, lambda: known.attempt.agree(request.members))
            return StageReply(site, agreement=agreement)

        def open_sum() -> Reveal:
            instead = self._sums_with_liars(runtime, request)
            reveal = known.attempt.reveal(request.members, request.agreements)
            key = RoundKey(place.study_hash, place.run, place.round)
            runtime.ledger.allow_sum(key, members_digest(request.members), instead)
            return reveal

        # Only who is in the sum counts here: whose signatures come beside it may differ after a restart.
        reveals: Reveal = known.once("unmask", pack(request.members), open_sum)
        return StageReply(site, reveals=(reveals,))

    def _sums_with_liars(self, runtime: SiteRuntime, request: StageRequest) -> tuple[str, ...]:
        """Digests of the sums that this one may follow: with proven liars in it again.

        Sums got smaller in the order of the proofs, so that an earlier one had the last few of them in it. Raises
        ``secure-refused`` or ``secure-peer-untrusted`` where a proof does not hold.
        """
        place, members = request.place, request.members
        liars = [proof.site for proof in request.proofs]
        if len(set(liars) | set(members)) != len(liars) + len(members) or len(liars) > MOST_SITES:
            raise GaitkeeperError("secure-refused", why="who is proven to lie is in the sum, or is accused twice")
        for proof in request.proofs:
            said = proof.place
            if (said.study_hash, said.run, said.round) != (place.study_hash, place.run, place.round):
                raise GaitkeeperError("secure-refused", why=f"the proof that {proof.site} lied is of another round")
            study = masked_study(runtime, place)
            check_false_deal(proof, study.federation.shares_needed, self._membership().of_study(study))
        return tuple(members_digest([*members, *liars[first:]]) for first in range(len(liars)))

    def _prepare(
        self, runtime: SiteRuntime, place: Place, adverts: Sequence[Advert]
    ) -> tuple[tuple[Advert, ...], tuple[Deal, ...]]:
        """Keys for a new attempt, or, with everybody's keys, the shares for it."""
        if not adverts:
            if place not in self._open:
                self._begin(place, masked_study(runtime, place))
            return (self._open[place].attempt.advert,), ()
        known = self._known(place)
        question = b"".join(pack(advert) for advert in adverts)
        deal: Deal = known.once("shares", question, lambda: known.attempt.deal(adverts))
        return (), (deal,)

    def _begin(self, place: Place, study: Study) -> None:
        while len(self._open) >= _OPEN_ATTEMPTS:
            del self._open[next(iter(self._open))]
        membership = self._membership().of_study(study)
        attempt = MaskedAttempt(place, MaskingRules.of(study), self._identity(), membership)
        self._open[place] = _Open(attempt)

    def _known(self, place: Place) -> _Open:
        known = self._open.get(place)
        if known is None:
            # Its keys were in memory: a site that was restarted has fallen out of the attempt.
            raise GaitkeeperError("secure-refused", why="it does not know this attempt, or no longer")
        return known

    def run_masked(self, runtime: SiteRuntime, order: RoundOrder, weights: Weights, beside: bytes) -> RoundReply:
        """Train as ordered, and answer with the masked update. No error leaves this function.

        Keys and shares are checked before anything is trained. Where a peer dealt false shares, it is named and nothing
        is trained or masked.
        """
        try:
            given = unpack(Deals, beside)
            if (given.place.study_hash, given.place.run, given.place.round) != (
                order.study_hash,
                order.run,
                order.round,
            ):
                raise GaitkeeperError("secure-refused", why="its deals are for another round")
            known = self._known(given.place)
            complaints: tuple[str, ...] = known.once("accept", beside, lambda: known.attempt.accept(given.deals))
            if complaints:
                _LOG.warning("round %d of %s: false shares from %s", order.round, order.run, ", ".join(complaints))
                false = GaitkeeperError("secure-refused", why="it was dealt false shares")
                return replace(refusal(runtime.site, false), beside=pack(Masked(given.place, complaints)))
            reply = run_round(runtime, order, weights)
            if reply.report.status != "trained":
                return reply
            adverts = tuple(self._prepare(runtime, place, ())[0][0] for place in given.coming)
            kept = runtime.ledger.reply(RoundKey(order.study_hash, order.run, order.round))
            trained = None if kept is None else decode_reply(kept.body).weights
            if kept is None or trained is None:
                raise GaitkeeperError("secure-refused", why="it has no update of this round")
            if (model := trained_from(kept.body)) != model_digest(weights):
                # Its masks are for what it trained from; under other weights they would hide another story.
                raise GaitkeeperError("secure-refused", why="its update was trained from other weights than these")
            vector = known.once("input", kept.body, lambda: known.attempt.masked(encode(trained), model))
        except Exception as error:
            return refusal(runtime.site, error)
        return replace(reply, weights={MASKED_ARRAY: vector}, beside=pack(Masked(given.place, (), adverts)))


def masked_study(runtime: SiteRuntime, place: Place) -> Study:
    """The approved study of a masked round. Raises ``secure-refused`` where it has no such round."""
    study = runtime.approved_study(place.study_hash)
    if not study.federation.secure:
        raise GaitkeeperError("secure-refused", why="the study's aggregation is plain")
    if not (1 <= place.round <= study.training.rounds and 1 <= len(place.run) <= 128 and place.attempt >= 1):
        raise GaitkeeperError("secure-refused", why="the study has no such round")
    return study
