"""Envelope encryption: AES-256-GCM with a random nonce, bound to what the bytes are and to whom they belong.

Every patient has a key of their own, wrapped (sealed) by the site's key: erasing the wrapped key erases the patient.
The context is authenticated with the bytes (associated data), so that a sealed recording neither opens under another
patient nor as another recording, nor in another format version.

AES-GCM: NIST SP 800-38D, doi:10.6028/NIST.SP.800-38D. Nonces have 96 random bits; a key seals far fewer than the
2**32 messages that this permits. Keys are derived by HKDF-SHA256 (RFC 5869, doi:10.17487/RFC5869).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from gaitkeeper_shared.errors import GaitkeeperError

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
MAGIC = b"GKE1"
"""First bytes of everything sealed: names the format, and is authenticated with the context."""


@dataclass(frozen=True, slots=True)
class SealContext:
    """What is sealed and to whom it belongs; the same values are needed to open it.

    ``kind``: for example ``recording``. ``ids``: vault, patient, recording, from the outside in.
    """

    kind: str
    ids: tuple[str, ...]

    def associated_data(self) -> bytes:
        """An encoding without ambiguity: each part with its length before it."""
        parts = [MAGIC, self.kind.encode("utf-8"), *(item.encode("utf-8") for item in self.ids)]
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def new_key() -> bytes:
    """A fresh 256-bit key from the system's cryptographic source."""
    return secrets.token_bytes(KEY_BYTES)


def derive_key(key: bytes, purpose: str) -> bytes:
    """A 256-bit key for one purpose out of ``key``: keys for different purposes tell nothing about each other."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"gaitkeeper/" + purpose.encode("utf-8")).derive(key)


def seal(key: bytes, plaintext: bytes, context: SealContext) -> bytes:
    """Encrypt and authenticate: magic, nonce, ciphertext, tag."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(NONCE_BYTES)
    return MAGIC + nonce + AESGCM(key).encrypt(nonce, plaintext, context.associated_data())


def unseal(key: bytes, sealed: bytes, context: SealContext, *, what: str) -> bytes:
    """Open what :func:`seal` made. Raises ``envelope-damaged`` naming ``what`` for any other key, context or byte."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    body = len(MAGIC) + NONCE_BYTES
    if len(sealed) < body + TAG_BYTES or not sealed.startswith(MAGIC):
        raise GaitkeeperError("envelope-damaged", what=what)
    try:
        return AESGCM(key).decrypt(sealed[len(MAGIC) : body], sealed[body:], context.associated_data())
    except InvalidTag as error:
        raise GaitkeeperError("envelope-damaged", what=what) from error
