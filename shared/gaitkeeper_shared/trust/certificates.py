"""X.509 for a consortium: a root that the coordinator keeps, its server's certificate, a certificate for each site.

EC P-256 throughout. A site's certificate may only identify a client and a server's only a server, so that no site can
pose as the coordinator. A site's name stands in the subject and, as ``gaitkeeper://site/NAME``, in the alternative
names.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.clock import Clock, utc_now
from gaitkeeper_shared.trust.keys import load_private_key

ROOT_DAYS = 3650
SERVER_DAYS = 825
SITE_DAYS = 90
BACKDATED = timedelta(minutes=5)
"""Certificates begin a little in the past: clocks of hospitals differ by minutes."""
SITE_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
MAX_PEM_BYTES = 16 * 1024
_UNREADABLE = (ValueError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion)
"""What cryptography raises for bytes that are no certificate or request; the last one is no ValueError."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The consortium's root: a certificate and the key that signs with it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, name: str, *, clock: Clock = utc_now) -> Authority:
        """A new root for the consortium ``name``."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name[:40]} Gaitkeeper root")])
        builder = _builder(subject, subject, key.public_key(), clock(), timedelta(days=ROOT_DAYS))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, certificate: Path, key: Path) -> Authority:
        """From its two files. Raises ``key-*`` or ``certificate-unusable``."""
        private = load_private_key(key)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise GaitkeeperError("key-damaged", path=key, detail="it is not an EC key")
        return cls(load_certificate(certificate), private)

    def issue_server(
        self, key: ec.EllipticCurvePublicKey, hosts: tuple[str, ...], *, clock: Clock = utc_now
    ) -> x509.Certificate:
        """A server's certificate for the names and addresses ``hosts``."""
        names = [_host_name(host) for host in hosts]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Gaitkeeper coordinator")])
        return self._issue(subject, names, key, ExtendedKeyUsageOID.SERVER_AUTH, SERVER_DAYS, clock)

    def issue_site(
        self, request: x509.CertificateSigningRequest, site: str, *, clock: Clock = utc_now
    ) -> x509.Certificate:
        """A site's certificate for the request's key. Only the key is taken from the request, no claim of it."""
        key = request.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, site)])
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"gaitkeeper://site/{site}")]
        return self._issue(subject, names, key, ExtendedKeyUsageOID.CLIENT_AUTH, SITE_DAYS, clock)

    def _issue(
        self,
        subject: x509.Name,
        names: list[x509.GeneralName],
        key: ec.EllipticCurvePublicKey,
        purpose: x509.ObjectIdentifier,
        days: int,
        clock: Clock,
    ) -> x509.Certificate:
        builder = _builder(subject, self.certificate.subject, key, clock(), timedelta(days=days))
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return builder.add_extension(issuer, critical=False).sign(self.key, hashes.SHA256())


def new_request(key: ec.EllipticCurvePrivateKey, site: str) -> bytes:
    """A certificate request (PKCS #10, PEM) that proves possession of ``key``."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, site)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM)


def read_request(data: bytes) -> x509.CertificateSigningRequest:
    """A request from outside, its key's type and its own signature checked. Raises ``certificate-unusable``."""
    what = "the certificate request"
    try:
        request = x509.load_pem_x509_csr(data[: MAX_PEM_BYTES + 1])
        key = request.public_key()
        valid = request.is_signature_valid
    except _UNREADABLE as error:
        raise GaitkeeperError("certificate-unusable", what=what, detail="it cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise GaitkeeperError("certificate-unusable", what=what, detail="its key is not an EC P-256 key")
    if not valid:
        raise GaitkeeperError("certificate-unusable", what=what, detail="it is not signed by its own key")
    return request


def load_certificate(path: Path) -> x509.Certificate:
    """A certificate from a PEM file. Raises ``certificate-unusable``."""
    try:
        return read_certificate(path.read_bytes(), what=str(path))
    except OSError as error:
        raise GaitkeeperError("certificate-unusable", what=path, detail=error.strerror or error) from error


def read_certificate(data: bytes, *, what: str) -> x509.Certificate:
    """A certificate from PEM. Raises ``certificate-unusable``."""
    try:
        return x509.load_pem_x509_certificate(data[: MAX_PEM_BYTES + 1])
    except _UNREADABLE as error:
        raise GaitkeeperError("certificate-unusable", what=what, detail="it is not a PEM certificate") from error


def check_issued(certificate: x509.Certificate, root: x509.Certificate, *, what: str, clock: Clock = utc_now) -> None:
    """Return only where ``root`` issued ``certificate`` and both are valid now. Raises ``certificate-unusable``."""
    try:
        certificate.verify_directly_issued_by(root)
    except (TypeError, *_UNREADABLE) as error:
        raise GaitkeeperError("certificate-unusable", what=what, detail="another authority issued it") from error
    now = clock()
    for item in (certificate, root):
        if not item.not_valid_before_utc <= now <= item.not_valid_after_utc:
            span = f"{item.not_valid_before_utc:%Y-%m-%d %H:%M} to {item.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
            raise GaitkeeperError("certificate-unusable", what=what, detail=f"it is valid from {span}")


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate's DER bytes, in hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def spoken(digest: str) -> str:
    """The first 16 bytes of a fingerprint in groups of four, to be compared over the telephone."""
    return " ".join(digest[start : start + 4] for start in range(0, 32, 4))


def pem(certificate: x509.Certificate) -> bytes:
    """The certificate in PEM."""
    return certificate.public_bytes(Encoding.PEM)


def public_key_digest(certificate: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """SHA-256 of the public key of a certificate or of a request (DER, SubjectPublicKeyInfo), in hex.

    It stays the same when the certificate is renewed.
    """
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - BACKDATED).not_valid_after(now + life)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
