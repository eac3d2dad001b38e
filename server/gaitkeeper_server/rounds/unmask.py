"""The coordinator's arithmetic in a masked round: which shares are true, and the sum that they open.

Every dealer committed to each share by its hash, and to both secrets by a public key and a hash, so that whoever gives
a false share, or dealt shares of something else, is known by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.secure.arithmetic import Vector, mask, pair_mask
from gaitkeeper_shared.secure.proofs import FalseDeal
from gaitkeeper_shared.secure.shares import commitment, key_from_secret, point_of, rebuilt, shared_secret
from gaitkeeper_shared.secure.statements import (
    Advert,
    Deal,
    Place,
    Reveal,
    adverts_digest,
    pair_label,
    seed_hash,
)


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part in an attempt: those with keys, and those of them who dealt shares to all of them."""

    place: Place
    adverts: tuple[Advert, ...]
    deals: tuple[Deal, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Sites with keys, in the order in which they hold shares."""
        return tuple(sorted(advert.site for advert in self.adverts))

    @property
    def dealers(self) -> tuple[str, ...]:
        """Sites whose masks meet."""
        return tuple(sorted(deal.site for deal in self.deals))


def check_deal(deal: Deal, place: Place, adverts: tuple[Advert, ...]) -> None:
    """Return where a deal is complete. Its signature is checked elsewhere. Raises ``secure-lied``."""
    names = {advert.site for advert in adverts}
    whole = set(deal.commitments) == names and set(deal.sealed) == names - {deal.site}
    if deal.adverts != adverts_digest(adverts):
        raise GaitkeeperError("secure-lied", site=deal.site, what="it dealt shares for other keys")
    if not whole or any(
        hashlib.sha256(sealed).digest() != deal.commitments[peer].sealed for peer, sealed in deal.sealed.items()
    ):
        raise GaitkeeperError("secure-lied", site=deal.site, what="its shares are not whole")


def check_reveal(cast: Cast, members: tuple[str, ...], reveal: Reveal) -> None:
    """Return where all shares of a site are those that it was dealt. Raises ``secure-lied``."""
    site = reveal.site
    left = set(cast.dealers) - set(members)
    if set(reveal.seed_shares) != set(members) or set(reveal.key_shares) != left:
        raise GaitkeeperError("secure-lied", site=site, what="it gave shares that were not asked for, or too few")
    for deal in cast.deals:
        promised = deal.commitments[site]
        kind = "seed" if deal.site in members else "key"
        share = reveal.seed_shares[deal.site] if kind == "seed" else reveal.key_shares[deal.site]
        expected = promised.seed_share if kind == "seed" else promised.key_share
        if commitment(cast.place, kind, deal.site, site, share) != expected:
            raise GaitkeeperError("secure-lied", site=site, what=f"it gave a false share of {deal.site}'s")


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the shares make: seeds of those in the sum, mask keys of those who fell out.

    ``false``: dealers, in and out of the sum, whose true shares make something else than they promised.
    """

    seeds: Mapping[str, bytes] = field(repr=False)
    keys: Mapping[str, EllipticCurvePrivateKey] = field(repr=False)
    false: tuple[str, ...]


def secrets_of(cast: Cast, members: tuple[str, ...], reveals: Mapping[str, Reveal], threshold: int) -> Secrets:
    """Rebuild all secrets from ``threshold`` or more checked reveals; every false dealer is found at once."""
    chosen = _chosen(reveals, threshold)
    adverts = {advert.site: advert for advert in cast.adverts}
    seeds, keys, false = {}, {}, []
    for site in cast.dealers:
        try:
            if site in members:
                seeds[site] = rebuilt([reveal.seed_shares[site] for reveal in chosen])
                true = seed_hash(cast.place, site, seeds[site]) == adverts[site].seed_hash
            else:
                keys[site] = key_from_secret(rebuilt([reveal.key_shares[site] for reveal in chosen]))
                true = point_of(keys[site].public_key()) == adverts[site].mask_key
        except ValueError:
            true = False
        if not true:
            false.append(site)
    return Secrets(seeds, keys, tuple(false))


def false_deal(cast: Cast, site: str, reveals: Mapping[str, Reveal], threshold: int) -> FalseDeal:
    """The proof against a member whose shares of its seed are false: what it signed, and the shares."""
    deal = next(deal for deal in cast.deals if deal.site == site)
    shares = {reveal.site: reveal.seed_shares[site] for reveal in _chosen(reveals, threshold)}
    return FalseDeal(cast.place, cast.adverts, replace(deal, sealed={}), shares)


def open_sum(
    cast: Cast,
    members: tuple[str, ...],
    masked: Iterable[Vector],
    reveals: Mapping[str, Reveal],
    threshold: int,
    model: str,
) -> Vector:
    """The sum of the members' vectors, from their masked ones and ``threshold`` or more checked reveals.

    Raises ``secure-lied`` with the name of a dealer whose true shares do not make its secret.
    """
    secrets = secrets_of(cast, members, reveals, threshold)
    for site in secrets.false:
        raise false_dealer(site)
    return unmasked(cast, members, masked, secrets, model)


def unmasked(cast: Cast, members: tuple[str, ...], masked: Iterable[Vector], secrets: Secrets, model: str) -> Vector:
    """The sum of the members' vectors, from their masked ones and true secrets.

    ``model``: digest of the weights that they trained from.
    """
    vectors = iter(masked)
    total = next(vectors).copy()
    for vector in vectors:
        total += vector
    adverts = {advert.site: advert for advert in cast.adverts}
    for site in members:
        total -= mask(secrets.seeds[site], cast.place.label("self", site), total.size)
    for site, key in sorted(secrets.keys.items()):
        for member in members:
            seed = shared_secret(key, adverts[member].mask_key)
            label = pair_label(cast.place, site, member, model)
            # What the member added for the one who fell out; nobody else cancels it.
            total -= pair_mask(seed, label, total.size, own=member, other=site)
    return np.asarray(total, dtype=np.uint64)


def _chosen(reveals: Mapping[str, Reveal], threshold: int) -> list[Reveal]:
    return [reveals[site] for site in sorted(reveals)[:threshold]]


def false_dealer(site: str) -> GaitkeeperError:
    """The word for a dealer whose true shares make another secret than it promised."""
    return GaitkeeperError("secure-lied", site=site, what="the shares that it dealt do not make its keys")
