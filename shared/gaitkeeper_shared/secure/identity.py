"""Who signs in a masked round: the sites' own keys, which the consortium's root has certified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.study import Study
from gaitkeeper_shared.trust.certificates import check_issued, public_key_digest, read_certificate
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

    def check(self, site: str, key: bytes, *, listed: bool = False) -> None:
        """Return where ``key`` (DER) is what ``site`` had before, or its first. Raises ``secure-peer-untrusted``.

        ``listed``: a study that people here approved names the site with this key.
        """
        ...


class Membership:
    """Checks what comes in a site's name against certificates of the consortium's root."""

    def __init__(
        self,
        root: x509.Certificate,
        *,
        pins: Pins | None = None,
        clock: Clock = utc_now,
        listed: Mapping[str, str] | None = None,
    ) -> None:
        """``listed``: SHA-256 of each member's public key by its name; None or nothing: whoever the root certified."""
        self._root, self._pins, self._clock = root, pins, clock
        self._listed = dict(listed or {})

    def of_study(self, study: Study) -> Membership:
        """The same, for a study that may list its members: then nobody else is one, whatever the root certified."""
        return Membership(self._root, pins=self._pins, clock=self._clock, listed=study.federation.sites)

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
        if self._listed and self._listed.get(site) != public_key_digest(present):
            what = "its key is not the one of" if site in self._listed else "it is not among"
            raise GaitkeeperError("secure-peer-untrusted", site=site, why=f"{what} the members that the study lists")
        if self._pins is not None:
            der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            self._pins.check(site, der, listed=bool(self._listed))
