"""A TLS certificate of the console's own, for clinics without one: self-signed, made when it is first needed.

A browser asks about it once; its fingerprint, printed at the start, is what to compare. A certificate of the clinic's
own authority is better, where there is one.
"""

from __future__ import annotations

import ipaddress
import socket
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from gaitkeeper_client.console.settings import ConsoleSettings
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.trust.certificates import load_certificate

_DAYS, _RENEW_DAYS = 365, 30


def own_certificate(home: SiteHome, settings: ConsoleSettings, now: datetime) -> tuple[Path, Path]:
    """Certificate and key (PEM, EC P-256), valid for at least :data:`_RENEW_DAYS` days and for the console's names."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    certificate_file, key_file = home.keys / "console.crt", home.keys / "console.key"
    names = _names(settings)
    if certificate_file.exists() and key_file.exists():
        found = load_certificate(certificate_file)
        alternative = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        fits = set(names) == set(alternative)
        if fits and found.not_valid_after_utc > now + timedelta(days=_RENEW_DAYS):
            return certificate_file, key_file
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, f"Gaitkeeper console {home.config().name}")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_durably(key_file, private)
    write_durably(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate_file, key_file


def _names(settings: ConsoleSettings) -> list[x509.GeneralName]:
    texts = dict.fromkeys((settings.host, "localhost", "127.0.0.1", socket.gethostname(), *settings.names))
    found: list[x509.GeneralName] = []
    for text in texts:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            found.append(x509.DNSName(text))
        else:
            if not address.is_unspecified:
                found.append(x509.IPAddress(address))
    return found
