"""What is said in the stages of a masked round, and the bytes that a site signs for it.

Every signature covers the place (study, run, round, attempt) and the stage, so that nothing can be repeated elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gaitkeeper_shared.secure.codec import pack


@dataclass(frozen=True, slots=True)
class Place:
    """Which attempt at which masked round. A failed attempt is never resumed before its masks: keys are fresh."""

    study_hash: str
    run: str
    round: int
    attempt: int

    def label(self, *parts: str) -> bytes:
        """Bytes that name something within this attempt; no two different names give the same."""
        return pack(_Label(self, tuple(parts)))


@dataclass(frozen=True, slots=True)
class _Label:
    place: Place
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Advert:
    """A site's fresh public keys (P-384 points, uncompressed) and the hash of the seed of its own mask.

    ``cipher_key`` encrypts shares between sites, ``mask_key`` makes the masks of pairs. ``certificate``: PEM.
    """

    site: str
    certificate: bytes
    cipher_key: bytes
    mask_key: bytes
    seed_hash: bytes
    signature: bytes = b""

    def signed_bytes(self, place: Place) -> bytes:
        """What ``signature`` is over."""
        keys = Advert(self.site, b"", self.cipher_key, self.mask_key, self.seed_hash)
        return place.label("advert", hashlib.sha256(pack(keys)).hexdigest())


@dataclass(frozen=True, slots=True)
class Commitment:
    """SHA-256 of a peer's share of the seed and of the mask key, and of both as they are sealed for the peer."""

    seed_share: bytes
    key_share: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Deal:
    """A site's shares for all its peers, sealed for each, and the commitments to them that everybody sees.

    ``adverts``: SHA-256 of the adverts that it saw; sites that were shown different ones notice.
    """

    site: str
    adverts: bytes
    commitments: Mapping[str, Commitment]
    sealed: Mapping[str, bytes] = field(default_factory=dict)
    signature: bytes = b""

    def signed_bytes(self, place: Place) -> bytes:
        """What ``signature`` is over; the sealed shares are in it by their hashes."""
        public = Deal(self.site, self.adverts, self.commitments)
        return place.label("deal", hashlib.sha256(pack(public)).hexdigest())

    def for_peer(self, peer: str) -> Deal:
        """The same with nothing sealed but what is for ``peer``."""
        sealed = {peer: self.sealed[peer]} if peer in self.sealed else {}
        return Deal(self.site, self.adverts, self.commitments, sealed, self.signature)


@dataclass(frozen=True, slots=True)
class Reveal:
    """A site's shares: of the seeds of those who are in the sum, of the mask keys of those who fell out. Never both."""

    site: str
    seed_shares: Mapping[str, bytes]
    key_shares: Mapping[str, bytes]


def adverts_digest(adverts: Sequence[Advert]) -> bytes:
    """SHA-256 of all adverts in the order of their sites."""
    ordered = sorted(adverts, key=lambda advert: advert.site)
    return hashlib.sha256(b"".join(hashlib.sha256(pack(advert)).digest() for advert in ordered)).digest()


def agreed_bytes(place: Place, members: Sequence[str]) -> bytes:
    """What a site signs when it agrees on who is in the sum."""
    return place.label("agree", *sorted(members))


def members_digest(members: Sequence[str]) -> str:
    """SHA-256 of the names of those in a sum, in hex."""
    return hashlib.sha256("\0".join(sorted(members)).encode("utf-8")).hexdigest()


def seed_hash(place: Place, site: str, seed: bytes) -> bytes:
    """What a site says beforehand of the seed of its own mask."""
    return hashlib.sha256(place.label("seed", site) + seed).digest()


def pair_label(place: Place, one: str, other: str, model: str) -> bytes:
    """What the mask of a pair is for; the same at both sites, where both trained from the same weights.

    ``model``: ``arithmetic.model_digest`` of those. A coordinator that gave one site other weights, to know its update
    in the sum again, gets a sum that nobody can read: the masks of that site's pairs do not cancel.
    """
    return place.label("pair", *sorted((one, other)), model)
