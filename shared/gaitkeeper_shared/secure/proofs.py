"""Proof that a site dealt shares of something else than the seed that it advertised; anybody can check it.

Each site's ledger lets it help to open one sum a round, because two sums with and without a site tell that site's
update. A site that deals false shares of its seed would so end the round: the sum with it cannot be read, and the sum
without it is another one. With this proof the others may open that one.

What makes it safe for the others: the sum of M and the sum of M without L differ by L's update alone. Whoever could
read the first one (L itself, or the coordinator with L's help) knows that update already, so that the second sum tells
them nothing new; whoever could not gets one sum only. The same members are under both, each with the same update, and
the second attempt has fresh keys, so that nothing that was revealed in the first opens a mask of the second.

What makes it safe for an honest site: the coordinator's word is not enough. The proof holds what the accused signed
itself, for one place: its advert with the hash of the seed, and its deal with the hashes of the shares, bound to that
advert by the digest of all adverts. As many true shares as open a seed then make another one. A site that dealt what
it advertised cannot be accused, whoever colludes, short of a second preimage of SHA-256 or its stolen key.

What it costs: the proven liar has no claim on the secrecy of its own update beyond the noise that is in it. Where its
shares hold the true seed and only the hash of it was false, both sums can be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.secure.identity import Membership
from gaitkeeper_shared.secure.shares import commitment, rebuilt
from gaitkeeper_shared.secure.statements import Advert, Deal, Place, adverts_digest, seed_hash


@dataclass(frozen=True, slots=True)
class FalseDeal:
    """What a site signed in an attempt, and the shares of its seed that give it the lie, by who held them.

    ``adverts``: all of the attempt; ``deal``: the accused site's, with nothing sealed in it.
    """

    place: Place
    adverts: tuple[Advert, ...]
    deal: Deal
    shares: Mapping[str, bytes]

    @property
    def site(self) -> str:
        """Who is accused."""
        return self.deal.site


def check_false_deal(proof: FalseDeal, threshold: int, membership: Membership) -> None:
    """Return only where the accused site signed what its own shares do not make.

    ``threshold``: how many shares open a seed, by the study. Raises ``secure-peer-untrusted`` or ``secure-refused``.
    """
    site, deal, place = proof.site, proof.deal, proof.place
    own = [advert for advert in proof.adverts if advert.site == site]
    _insist(len(own) == 1 and deal.adverts == adverts_digest(proof.adverts), site, "it is not about the keys it names")
    certificate = own[0].certificate
    membership.check(site, certificate, own[0].signed_bytes(place), own[0].signature)
    membership.check(site, certificate, deal.signed_bytes(place), deal.signature)
    # Fewer shares than were dealt for make rubbish of any honest seed.
    _insist(len(proof.shares) == threshold, site, f"it has {len(proof.shares)} shares, not {threshold}")
    for peer, share in proof.shares.items():
        promised = deal.commitments.get(peer)
        true = promised is not None and commitment(place, "seed", site, peer, share) == promised.seed_share
        _insist(true, site, f"the share of {peer} is not the one that was dealt")
    try:
        seed = rebuilt([proof.shares[peer] for peer in sorted(proof.shares)])
    except ValueError:
        # True shares that do not fit together: no honest site deals such.
        return
    _insist(seed_hash(place, site, seed) != own[0].seed_hash, site, "its shares make the seed that it promised")


def _insist(holds: bool, site: str, why: str) -> None:
    if not holds:
        raise GaitkeeperError("secure-refused", why=f"the proof that {site} lied does not hold: {why}")
