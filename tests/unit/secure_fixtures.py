"""Sites of a masked round in memory: real keys, real certificates, the real attempts; the coordinator is the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from cryptography import x509

from gaitkeeper_client.training.masked_attempt import MaskedAttempt, MaskingRules
from gaitkeeper_server.rounds.unmask import Cast, check_deal, check_reveal, open_sum
from gaitkeeper_shared.secure.arithmetic import Vector
from gaitkeeper_shared.secure.identity import Membership, SiteIdentity
from gaitkeeper_shared.secure.statements import Deal, Place, Reveal
from gaitkeeper_shared.trust.certificates import Authority, new_request, pem
from gaitkeeper_shared.trust.keys import new_tls_key

PLACE = Place("0" * 64, "run", 1, 1)


@cache
def authority(name: str) -> Authority:
    """A consortium's root; another name, another root."""
    return Authority.create(name)


@cache
def identity(site: str, root: str = "test") -> SiteIdentity:
    """A site that the root admitted."""
    key = new_tls_key()
    request = x509.load_pem_x509_csr(new_request(key, site))
    return SiteIdentity(site, pem(authority(root).issue_site(request, site)), key)


def names(count: int) -> tuple[str, ...]:
    """Sites in order."""
    return tuple(f"clinic-{letter}" for letter in "abcdefghijklmnop"[:count])


@dataclass
class Rehearsed:
    """A masked round played stage by stage; at each stage some sites may be gone."""

    sites: tuple[str, ...]
    rules: MaskingRules
    place: Place = PLACE
    attempts: dict[str, MaskedAttempt] = field(default_factory=dict)

    def __post_init__(self) -> None:
        membership = Membership(authority("test").certificate)
        self.attempts = {site: MaskedAttempt(self.place, self.rules, identity(site), membership) for site in self.sites}

    def cast(self, gone: frozenset[str] = frozenset()) -> Cast:
        """Keys of all, shares of those who are still there."""
        adverts = tuple(self.attempts[site].advert for site in self.sites)
        deals = tuple(self.attempts[site].deal(adverts) for site in self.sites if site not in gone)
        for deal in deals:
            check_deal(deal, self.place, adverts)
        return Cast(self.place, adverts, deals)

    def accept(self, cast: Cast, site: str) -> tuple[str, ...]:
        """Give a site its deals; whom it complains about."""
        return self.attempts[site].accept([deal.for_peer(site) for deal in cast.deals])

    def agreements(self, members: tuple[str, ...], gone: frozenset[str] = frozenset()) -> dict[str, bytes]:
        """Signatures of the members who are still there."""
        return {site: self.attempts[site].agree(members) for site in members if site not in gone}

    def reveals(
        self, cast: Cast, members: tuple[str, ...], agreements: dict[str, bytes], gone: frozenset[str] = frozenset()
    ) -> dict[str, Reveal]:
        """Checked shares of those who agreed and are still there."""
        found = {}
        for site in agreements:
            if site not in gone:
                found[site] = self.attempts[site].reveal(members, agreements)
                check_reveal(cast, members, found[site])
        return found


def play(
    vectors: dict[str, Vector], rules: MaskingRules, gone: tuple[frozenset[str], ...]
) -> tuple[Vector, tuple[str, ...]]:
    """The sum and who is in it; ``gone``: who falls out before shares, input, agreement and unmasking."""
    game = Rehearsed(tuple(vectors), rules)
    before_shares, before_input, before_agreement, before_unmasking = gone
    cast = game.cast(before_shares)
    out = before_shares | before_input
    masked = {}
    for site in cast.dealers:
        if site not in out:
            assert game.accept(cast, site) == ()
            masked[site] = game.attempts[site].masked(vectors[site])
    members = tuple(sorted(masked))
    agreements = game.agreements(members, before_agreement)
    reveals = game.reveals(cast, members, agreements, before_unmasking)
    return open_sum(cast, members, masked.values(), reveals, rules.threshold), members


def vectors(sites: tuple[str, ...], size: int, seed: int) -> dict[str, Vector]:
    """A vector for each site, over the whole range of numbers."""
    random = np.random.default_rng(seed)
    return {site: random.integers(0, 2**64, size, dtype=np.uint64) for site in sites}


def sealed_nothing(deal: Deal, peer: str) -> Deal:
    """The same deal with rubbish sealed for ``peer``."""
    return Deal(deal.site, deal.adverts, deal.commitments, {**deal.sealed, peer: b"rubbish"}, deal.signature)
