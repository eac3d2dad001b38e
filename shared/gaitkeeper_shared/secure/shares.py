"""Keys, shares and seals of one site in one attempt, with Flower's primitives: ECDH on P-384, Fernet, Shamir."""

from __future__ import annotations

import hashlib

from cryptography.fernet import InvalidToken
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import decrypt, encrypt, generate_shared_key

from gaitkeeper_shared.secure.statements import Place

KEY_BYTES = 48
SEED_BYTES = 32
_CURVE = ec.SECP384R1()

__all__ = [
    "commitment",
    "deal_shares",
    "key_from_secret",
    "new_key",
    "point_of",
    "public_key",
    "rebuilt",
    "seal",
    "secret_of",
    "shared_secret",
    "unseal",
]


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh key for one attempt."""
    return ec.generate_private_key(_CURVE)


def point_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key as an uncompressed point."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def public_key(point: bytes) -> ec.EllipticCurvePublicKey:
    """The inverse; raises ``ValueError`` for what is no point of the curve."""
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, point)


def secret_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The private number of a key, ``KEY_BYTES`` long: what is dealt in shares."""
    return key.private_numbers().private_value.to_bytes(KEY_BYTES, "big")


def key_from_secret(secret: bytes) -> ec.EllipticCurvePrivateKey:
    """The inverse of :func:`secret_of`; raises ``ValueError`` for what is no private key."""
    return ec.derive_private_key(int.from_bytes(secret, "big"), _CURVE)


def shared_secret(key: ec.EllipticCurvePrivateKey, peer: bytes) -> bytes:
    """What two sites know and nobody else: Fernet's key where cipher keys meet, a mask's seed where mask keys do."""
    return generate_shared_key(key, public_key(peer))


def deal_shares(secret: bytes, threshold: int, peers: int) -> list[bytes]:
    """A share of ``secret`` for each of ``peers``; ``threshold`` of them give it back, fewer tell nothing."""
    return create_shares(secret, threshold, peers)


def rebuilt(shares: list[bytes]) -> bytes:
    """The secret of as many shares as its threshold. Raises ``ValueError`` where they do not fit together."""
    try:
        return combine_shares(shares)
    except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
        raise ValueError("the shares do not fit together") from error


def seal(secret: bytes, seed_share: bytes, key_share: bytes) -> bytes:
    """Both shares for a peer, encrypted and authenticated."""
    return encrypt(secret, len(seed_share).to_bytes(4, "big") + seed_share + key_share)


def unseal(secret: bytes, sealed: bytes) -> tuple[bytes, bytes]:
    """Both shares. Raises ``ValueError`` where they were not sealed with ``secret``."""
    try:
        plain = decrypt(secret, sealed)
    except InvalidToken as error:
        raise ValueError("it was not sealed for this site") from error
    length = int.from_bytes(plain[:4], "big")
    return plain[4 : 4 + length], plain[4 + length :]


def commitment(place: Place, kind: str, dealer: str, peer: str, share: bytes) -> bytes:
    """SHA-256 that binds a share to who dealt it to whom. A share alone is random, so that its hash tells nothing."""
    return hashlib.sha256(place.label("share", kind, dealer, peer) + share).digest()
