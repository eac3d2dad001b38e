"""Who signs in a masked round: the sites' own keys, which the consortium's root has certified."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.certificates import check_issued, read_certificate
from gaitkeeper_shared.trust.clock import Clock, utc_now

_ALGORITHM = ec.ECDSA(hashes.SHA256())
_CONTEXT = b"gaitkeeper.masked-round/1\0"


@dataclass(frozen=True, slots=True)
class SiteIdentity:
    """A site's name, its certificate (PEM) and the key of it; ``repr`` shows no secret."""

    site: str
    certificate: bytes
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """An ECDSA signature."""
        return self.key.sign(_CONTEXT + message, _ALGORITHM)


class Pins(Protocol):
    """The keys that peers had the first time."""

    def check(self, site: str, key: bytes) -> None:
        """Return where ``key`` (DER) is what ``site`` had before, or its first. Raises ``secure-peer-untrusted``."""
        ...


class Membership:
    """Checks what comes in a site's name against certificates of the consortium's root."""

    def __init__(self, root: x509.Certificate, *, pins: Pins | None = None, clock: Clock = utc_now) -> None:
        self._root, self._pins, self._clock = root, pins, clock

    def check(self, site: str, certificate: bytes, message: bytes, signature: bytes) -> None:
        """Return only where ``site`` signed ``message``. Raises ``secure-peer-untrusted``."""
        try:
            present = read_certificate(certificate, what=site)
            check_issued(present, self._root, what=site, clock=self._clock)
            purposes = present.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            if ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
                raise ValueError("its certificate is no site's")
            if [name.value for name in present.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] != [site]:
                raise ValueError("its certificate is another's")
            key = present.public_key()
            if not isinstance(key, ec.EllipticCurvePublicKey):
                raise ValueError("its key is of another kind")
            key.verify(signature, _CONTEXT + message, _ALGORITHM)
        except (GaitkeeperError, ValueError, InvalidSignature, x509.ExtensionNotFound) as error:
            why = error.message if isinstance(error, GaitkeeperError) else str(error) or "its signature does not hold"
            raise GaitkeeperError("secure-peer-untrusted", site=site, why=why) from error
        if self._pins is not None:
            self._pins.check(site, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
