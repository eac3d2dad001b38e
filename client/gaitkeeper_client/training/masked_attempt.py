"""One site's part in one attempt at a masked round: keys, shares, mask, agreement, and the shares that it gives back.

Bonawitz et al. 2017, doi:10.1145/3133956.3133982. What a site insists on, whatever the coordinator says: every key is
signed by a member of the consortium, everybody saw the same keys, the sum holds at least the study's quorum, enough
sites agreed on who is in it, and of a peer it gives away one kind of share only.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.secure.arithmetic import MOST_SITES, Vector, mask, pair_mask
from gaitkeeper_shared.secure.identity import Membership, SiteIdentity
from gaitkeeper_shared.secure.shares import (
    SEED_BYTES,
    commitment,
    deal_shares,
    new_key,
    point_of,
    seal,
    secret_of,
    shared_secret,
    unseal,
)
from gaitkeeper_shared.secure.statements import (
    Advert,
    Commitment,
    Deal,
    Place,
    Reveal,
    adverts_digest,
    agreed_bytes,
    pair_label,
    seed_hash,
)
from gaitkeeper_shared.study import Study


@dataclass(frozen=True, slots=True)
class MaskingRules:
    """The study's numbers: sites in a sum at least, shares that open it, sites that may collude."""

    quorum: int
    threshold: int
    colluding: int

    @classmethod
    def of(cls, study: Study) -> MaskingRules:
        """Those of a study."""
        return cls(study.federation.quorum, study.federation.shares_needed, study.privacy.colluding)

    def one_sum_only(self, sites: int) -> bool:
        """Whether no two different sums can both be opened among ``sites`` sites.

        Two groups of ``threshold`` sites share more than ``colluding`` ones, hence an honest one, who opens one sum.
        """
        return 2 * self.threshold > sites + self.colluding


class MaskedAttempt:
    """The state of an attempt, in memory alone: a site that forgets it has fallen out, and its peers go on."""

    def __init__(self, place: Place, rules: MaskingRules, identity: SiteIdentity, membership: Membership) -> None:
        self.place = place
        self._rules, self._identity, self._membership = rules, identity, membership
        self._cipher_key, self._mask_key = new_key(), new_key()
        self._seed = secrets.token_bytes(SEED_BYTES)
        self._peers: dict[str, Advert] = {}
        self._own_deal: Deal | None = None
        self._shares: dict[str, tuple[bytes, bytes]] = {}
        self._agreed: tuple[str, ...] = ()
        self.advert = self._advertise()

    def _advertise(self) -> Advert:
        """This site's keys, signed."""
        own = self._identity
        cipher, masks = point_of(self._cipher_key.public_key()), point_of(self._mask_key.public_key())
        keys = Advert(own.site, own.certificate, cipher, masks, seed_hash(self.place, own.site, self._seed))
        return Advert(own.site, own.certificate, cipher, masks, keys.seed_hash, own.sign(keys.signed_bytes(self.place)))

    def deal(self, adverts: Sequence[Advert]) -> Deal:
        """Shares of both secrets for everybody whose keys hold."""
        peers = {advert.site: advert for advert in adverts}
        own = self._identity.site
        _insist(len(peers) == len(adverts) and peers.get(own) == self.advert, "its own keys were changed")
        _insist(self._rules.quorum <= len(peers) <= MOST_SITES, f"only {len(peers)} sites take part")
        _insist(self._rules.one_sum_only(len(peers)), "so few shares could open two different sums")
        for site, advert in peers.items():
            self._membership.check(site, advert.certificate, advert.signed_bytes(self.place), advert.signature)
        names = sorted(peers)
        seeds = deal_shares(self._seed, self._rules.threshold, len(names))
        keys = deal_shares(secret_of(self._mask_key), self._rules.threshold, len(names))
        commitments, sealed = {}, {}
        for site, seed_share, key_share in zip(names, seeds, keys, strict=True):
            if site == own:
                self._shares[own] = (seed_share, key_share)
                secret = b""
            else:
                sealed[site] = seal(_agreed_key(self._cipher_key, site, peers[site].cipher_key), seed_share, key_share)
                secret = sealed[site]
            commitments[site] = self._commitment(own, site, seed_share, key_share, secret)
        self._peers = peers
        deal = Deal(own, adverts_digest(adverts), commitments, sealed)
        signature = self._identity.sign(deal.signed_bytes(self.place))
        self._own_deal = Deal(own, deal.adverts, commitments, sealed, signature)
        return self._own_deal

    def accept(self, deals: Sequence[Deal]) -> tuple[str, ...]:
        """Take the shares that the peers dealt. Returns the peers whose shares are not what they committed to."""
        own, mine = self._identity.site, self._own_deal
        dealers = {deal.site: deal for deal in deals}
        _insist(mine is not None, "no shares were dealt before")
        assert mine is not None
        _insist(len(dealers) == len(deals) and set(dealers) <= set(self._peers), "a stranger dealt shares")
        _insist(len(dealers) >= self._rules.quorum, f"only {len(dealers)} sites dealt shares")
        _insist(own in dealers and dealers[own].signature == mine.signature, "its own shares were changed")
        complaints = []
        for site, deal in dealers.items():
            if site == own:
                continue
            advert = self._peers[site]
            self._membership.check(site, advert.certificate, deal.signed_bytes(self.place), deal.signature)
            if deal.adverts != mine.adverts or set(deal.commitments) != set(self._peers):
                raise GaitkeeperError("secure-peer-untrusted", site=site, why="it was shown other keys")
            try:
                seed_share, key_share = unseal(
                    _agreed_key(self._cipher_key, site, advert.cipher_key), deal.sealed.get(own, b"")
                )
            except ValueError:
                complaints.append(site)
                continue
            if self._commitment(site, own, seed_share, key_share, deal.sealed[own]) != deal.commitments[own]:
                complaints.append(site)
                continue
            self._shares[site] = (seed_share, key_share)
        return tuple(sorted(complaints))

    def masked(self, vector: Vector, model: str) -> Vector:
        """``vector`` under this site's own mask and those of all pairs with the dealers.

        ``model``: digest of the weights that it was trained from. Masks cancel with those who trained from the same.
        """
        own = self._identity.site
        total = vector + mask(self._seed, self.place.label("self", own), vector.size)
        for site in sorted(self._shares):
            if site == own:
                continue
            seed = _agreed_key(self._mask_key, site, self._peers[site].mask_key)
            label = pair_label(self.place, own, site, model)
            total += pair_mask(seed, label, vector.size, own=own, other=site)
        return total

    def agree(self, members: Sequence[str]) -> bytes:
        """Sign who is in the sum."""
        _insist(len(set(members)) == len(members) and set(members) <= set(self._shares), "a stranger is in the sum")
        _insist(self._identity.site in members, "it is not in the sum itself")
        _insist(len(members) >= self._rules.quorum, f"the sum holds {len(members)} sites only")
        _insist(self._agreed in ((), tuple(sorted(members))), "it agreed on another sum")
        self._agreed = tuple(sorted(members))
        return self._identity.sign(agreed_bytes(self.place, members))

    def reveal(self, members: Sequence[str], agreements: Mapping[str, bytes]) -> Reveal:
        """Shares that open the sum of ``members``: one kind of share for each peer.

        The sum of everybody who dealt shares needs no agreement: no mask key is given away for it, and who opens it
        agrees on no other, so that too few are left to agree (``MaskingRules.one_sum_only``).
        """
        if not agreements and set(members) == set(self._shares):
            self.agree(members)
            return self._reveal()
        _insist(bool(self._agreed) and tuple(sorted(members)) == self._agreed, "it agreed on another sum")
        signed = agreed_bytes(self.place, members)
        for site, signature in agreements.items():
            _insist(site in self._peers, "a stranger agreed")
            self._membership.check(site, self._peers[site].certificate, signed, signature)
        _insist(len(agreements) >= self._rules.threshold, f"only {len(agreements)} sites agreed on the sum")
        return self._reveal()

    def _reveal(self) -> Reveal:
        seeds = {site: shares[0] for site, shares in self._shares.items() if site in self._agreed}
        keys = {site: shares[1] for site, shares in self._shares.items() if site not in self._agreed}
        return Reveal(self._identity.site, seeds, keys)

    def _commitment(self, dealer: str, peer: str, seed_share: bytes, key_share: bytes, sealed: bytes) -> Commitment:
        return Commitment(
            commitment(self.place, "seed", dealer, peer, seed_share),
            commitment(self.place, "key", dealer, peer, key_share),
            hashlib.sha256(sealed).digest(),
        )


def _agreed_key(key: EllipticCurvePrivateKey, site: str, point: bytes) -> bytes:
    try:
        return shared_secret(key, point)
    except ValueError as error:
        raise GaitkeeperError("secure-peer-untrusted", site=site, why="its key is no key") from error


def _insist(holds: bool, why: str) -> None:
    if not holds:
        raise GaitkeeperError("secure-refused", why=why)
