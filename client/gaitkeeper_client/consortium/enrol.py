"""Enrolment: the site makes its keys, proves its invitation, and receives a certificate over a pinned connection.

Private keys never leave the site. Everything can be interrupted and run again: until the end, the keys wait in a folder
of the invitation, so that a second try is answered like the first.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key
from cryptography.x509.oid import NameOID

from gaitkeeper_client.consortium.connection import CoordinatorConnection, KeyFiles
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.durable import make_private_folder, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.rpc.channels import Endpoint, call
from gaitkeeper_shared.rpc.gaitkeeper.v1 import enrolment_pb2 as messages
from gaitkeeper_shared.rpc.gaitkeeper.v1 import enrolment_pb2_grpc as services
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.certificates import (
    check_issued,
    fingerprint,
    load_certificate,
    new_request,
    read_certificate,
)
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now
from gaitkeeper_shared.trust.invitation import InvitationLetter, is_address
from gaitkeeper_shared.trust.keys import (
    load_private_key,
    new_node_key,
    new_tls_key,
    node_key_files,
    node_public_pem,
    private_pem,
)

RENEW_FROM = 1 / 3
"""A certificate is renewed once this share of its life has passed: 60 days are left then for it to succeed."""
ENROL_DEADLINE_S = 60.0
"""Enrolling writes more than any other call, and many sites may come on the day when a consortium begins."""
_WHAT = "The certificate that the coordinator sent"


def enrol(home: SiteHome, invitation: Path, *, again: bool = False, clock: Clock = utc_now) -> CoordinatorConnection:
    """Enrol with an invitation file.

    Raises ``site-not-initialised``, ``invitation-unreadable``, ``enrolment-*``, ``certificate-unusable`` or ``rpc-*``;
    then nothing has changed but the waiting keys.
    """
    site = home.config().name
    letter = InvitationLetter.load(invitation)
    if letter.site != site:
        raise GaitkeeperError("enrolment-other-site", invited=letter.site, site=site)
    present = CoordinatorConnection.load_or_none(home)
    if present is not None and not again:
        raise GaitkeeperError("enrolment-exists", coordinator=present.coordinator, site=present.site)
    waiting = KeyFiles(home.keys / f"enrolling-{hashlib.sha256(letter.token.encode()).hexdigest()[:16]}")
    tls_key, node_key = _waiting_keys(waiting)
    request = messages.EnrolRequest(
        token=letter.token,
        certificate_request=new_request(tls_key, letter.site),
        node_public_key=node_public_pem(node_key.public_key()),
    )
    try:
        credentials = _ask(letter, request)
    except GaitkeeperError as error:
        if error.code.startswith("enrolment-token"):
            shutil.rmtree(waiting.folder, ignore_errors=True)  # no second try can succeed with them
        raise
    certificate = _checked_certificate(credentials, letter, tls_key, clock)
    connection = CoordinatorConnection(
        credentials.coordinator[:200],
        letter.site,
        credentials.site_address,
        credentials.fleet_address,
        letter.fingerprint,
        tuple(key.public_key.hex() for key in credentials.consortium_keys[:64]),
        credentials.threshold,
        iso(clock()),
    )
    _check_connection(connection)
    _install(home, waiting, letter, certificate, connection)
    AuditLog(home.audit_log, clock=clock).append(
        "enrolled", coordinator=connection.coordinator, address=letter.address, root_sha256=letter.fingerprint
    )
    return connection


def renew_if_due(home: SiteHome, *, clock: Clock = utc_now) -> bool:
    """Fetch a fresh certificate once a third of the present one's life has passed; whether one was fetched.

    Raises ``not-enrolled``, ``rpc-*``, ``site-refused`` or ``certificate-unusable``; the present one then stays.
    """
    connection = CoordinatorConnection.load(home)
    files = KeyFiles(home.keys)
    present = load_certificate(files.site_certificate)
    life = present.not_valid_after_utc - present.not_valid_before_utc
    if clock() < present.not_valid_before_utc + life * RENEW_FROM:
        return False
    key = load_private_key(files.site_key)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise GaitkeeperError("key-damaged", path=files.site_key, detail="it is not an EC key")
    endpoint = connection.endpoint(home)
    request = messages.RenewRequest(certificate_request=new_request(key, connection.site))
    with endpoint.channel() as channel:
        credentials = call(services.MembershipStub(channel).Renew, request, endpoint)
    fresh = read_certificate(credentials.certificate, what=_WHAT)
    _check_belongs(fresh, load_certificate(files.root_certificate), connection.site, key, clock)
    write_durably(files.site_certificate, credentials.certificate)
    AuditLog(home.audit_log, clock=clock).append(
        "certificate-renewed", until=f"{fresh.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    )
    return True


def _ask(letter: InvitationLetter, request: messages.EnrolRequest) -> messages.Credentials:
    endpoint = Endpoint(letter.address, letter.root_certificate.encode("ascii"))
    try:
        with endpoint.channel() as channel:
            credentials: messages.Credentials = call(
                services.EnrolmentStub(channel).Enrol, request, endpoint, deadline_s=ENROL_DEADLINE_S
            )
            return credentials
    except GaitkeeperError as error:
        if error.code == "rpc-certificate":
            raise GaitkeeperError("enrolment-wrong-root", address=letter.address) from error
        raise


def _checked_certificate(
    credentials: messages.Credentials, letter: InvitationLetter, key: ec.EllipticCurvePrivateKey, clock: Clock
) -> bytes:
    root = read_certificate(letter.root_certificate.encode("ascii"), what="The invitation's root certificate")
    if fingerprint(read_certificate(credentials.root_certificate, what=_WHAT)) != letter.fingerprint:
        raise GaitkeeperError("enrolment-wrong-root", address=letter.address)
    _check_belongs(read_certificate(credentials.certificate, what=_WHAT), root, letter.site, key, clock)
    return credentials.certificate


def _check_belongs(
    certificate: x509.Certificate,
    root: x509.Certificate,
    site: str,
    key: ec.EllipticCurvePrivateKey,
    clock: Clock,
) -> None:
    check_issued(certificate, root, what=_WHAT, clock=clock)
    shape = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certificate.public_key().public_bytes(*shape) != key.public_key().public_bytes(*shape):
        raise GaitkeeperError("certificate-unusable", what=_WHAT, detail="it is for another key")
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if [name.value for name in names] != [site]:
        raise GaitkeeperError("certificate-unusable", what=_WHAT, detail=f"it is not for the site {site!r}")


def _check_connection(connection: CoordinatorConnection) -> None:
    what = "What the coordinator said of itself"
    if not is_address(connection.site_address) or not is_address(connection.fleet_address):
        raise GaitkeeperError("certificate-unusable", what=what, detail="an address is not host:port")
    if not connection.coordinator.isprintable():
        raise GaitkeeperError("certificate-unusable", what=what, detail="its name cannot be shown")
    try:
        _ = connection.consortium
    except ValueError as error:
        raise GaitkeeperError("certificate-unusable", what=what, detail=error) from error


def _waiting_keys(files: KeyFiles) -> tuple[ec.EllipticCurvePrivateKey, ec.EllipticCurvePrivateKey]:
    """The keys of this invitation: those of an earlier try, or new ones."""
    make_private_folder(files.folder)
    if not files.site_key.exists():
        write_durably(files.site_key, private_pem(new_tls_key()))
    if not files.node_key.exists():
        private, public = node_key_files(new_node_key())
        write_durably(files.node_public_key, public, mode=0o644)
        write_durably(files.node_key, private)
    tls_key = load_private_key(files.site_key)
    node_key = load_ssh_private_key(files.node_key.read_bytes(), password=None)
    assert isinstance(tls_key, ec.EllipticCurvePrivateKey)
    assert isinstance(node_key, ec.EllipticCurvePrivateKey)
    return tls_key, node_key


def _install(
    home: SiteHome,
    waiting: KeyFiles,
    letter: InvitationLetter,
    certificate: bytes,
    connection: CoordinatorConnection,
) -> None:
    files = KeyFiles(home.keys)
    for source, target, mode in (
        (waiting.node_key, files.node_key, 0o600),
        (waiting.node_public_key, files.node_public_key, 0o644),
        (waiting.site_key, files.site_key, 0o600),
    ):
        write_durably(target, source.read_bytes(), mode=mode)
    write_durably(files.root_certificate, letter.root_certificate.encode("ascii"), mode=0o644)
    write_durably(files.site_certificate, certificate, mode=0o644)
    # Last: a site with this table is an enrolled one.
    connection.save(home)
    shutil.rmtree(waiting.folder, ignore_errors=True)
