"""Keys: Ed25519 to sign studies and releases, EC P-256 for TLS, EC P-384 for the Flower node.

A private key lies in a file of mode 0600; a looser one is refused, as ssh does.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """The public half of a signing key: 32 raw bytes (RFC 8032)."""

    raw: bytes

    def __post_init__(self) -> None:
        try:
            Ed25519PublicKey.from_public_bytes(self.raw)
        except ValueError as error:
            raise GaitkeeperError("key-damaged", path="a public signing key", detail=error) from error

    @property
    def key_id(self) -> str:
        """Its name everywhere: the first 16 bytes of the SHA-256 of the key, in hex."""
        return hashlib.sha256(b"gaitkeeper.key/1\0" + self.raw).hexdigest()[:32]

    def accepts(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` is this key's over ``message``."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key that signs for the consortium; its ``repr`` shows no secret."""

    private: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> SigningKey:
        """A fresh key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """From a key file. Raises ``key-missing``, ``key-permissions`` or ``key-damaged``."""
        key = load_private_key(path)
        if not isinstance(key, Ed25519PrivateKey):
            raise GaitkeeperError("key-damaged", path=path, detail="it is not an Ed25519 key")
        return cls(key)

    @classmethod
    def from_raw(cls, raw: bytes) -> SigningKey:
        """From 32 raw bytes (RFC 8032), as they are sealed. Raises ``key-damaged``."""
        try:
            return cls(Ed25519PrivateKey.from_private_bytes(raw))
        except ValueError as error:
            raise GaitkeeperError("key-damaged", path="a sealed signing key", detail=error) from error

    def save(self, path: Path) -> None:
        """Write PEM (PKCS #8), mode 0600, durably."""
        write_durably(path, private_pem(self.private))

    @property
    def verifying(self) -> VerifyingKey:
        """The public half."""
        return VerifyingKey(self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, message: bytes) -> bytes:
        """64 bytes of signature."""
        return self.private.sign(message)


def new_tls_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key for TLS."""
    return ec.generate_private_key(ec.SECP256R1())


def new_node_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-384 key: what Flower's node authentication generates and accepts."""
    return ec.generate_private_key(ec.SECP384R1())


def private_pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8, PEM, not encrypted: the file's mode protects it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def node_key_files(key: ec.EllipticCurvePrivateKey) -> tuple[bytes, bytes]:
    """The node key as ``flower-supernode`` reads it: OpenSSH private file, OpenSSH public file."""
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n"


def node_public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """The node's public key as Flower's link state stores it: PEM, SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def check_node_public_key(data: bytes) -> bytes:
    """The same key re-encoded, so that nothing else travels in it. Raises ``key-damaged``."""
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise GaitkeeperError("key-damaged", path="the node's public key", detail="it is not PEM") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise GaitkeeperError("key-damaged", path="the node's public key", detail="it is not an EC P-384 key")
    return node_public_pem(key)


def load_private_key(path: Path) -> object:
    """A PEM private key from a file that only its owner can read.

    Raises ``key-missing``, ``key-permissions`` or ``key-damaged``.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise GaitkeeperError("key-permissions", path=path, mode=f"{stat.S_IMODE(mode):04o}")
        return load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise GaitkeeperError("key-missing", path=path) from error
    except (ValueError, TypeError, UnsupportedAlgorithm, OSError) as error:
        raise GaitkeeperError("key-damaged", path=path, detail=error) from error
