"""Invitations given out and used: a single-use token with an expiry, kept only as a hash."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.store import CoordinatorStore
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.certificates import SITE_NAME, pem, public_key_digest, read_request
from gaitkeeper_shared.trust.clock import Clock, from_iso, iso, utc_now
from gaitkeeper_shared.trust.invitation import InvitationLetter
from gaitkeeper_shared.trust.keys import check_node_public_key

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Admission:
    """A site that was let in. ``certificate``: PEM."""

    site: str
    certificate: bytes


def invite(home: CoordinatorHome, site: str, *, hours: float = 72.0, clock: Clock = utc_now) -> InvitationLetter:
    """A new invitation for ``site``, which replaces its unused ones. Raises ``site-name``."""
    if not SITE_NAME.fullmatch(site):
        raise GaitkeeperError("site-name", name=site)
    config = home.config()
    token = secrets.token_urlsafe(TOKEN_BYTES)
    now = clock()
    expires_at = iso(now + timedelta(hours=hours))
    letter = InvitationLetter(
        config.name,
        site,
        config.told_enrolment,
        expires_at,
        token,
        home.root_certificate.read_text("ascii"),
    )
    CoordinatorStore(home.store).invite(site, _digest(token), iso(now), expires_at)
    AuditLog(home.audit_log, clock=clock).append("site-invited", site=site, expires_at=expires_at)
    return letter


def admit(
    home: CoordinatorHome, token: str, certificate_request: bytes, node_public_key: bytes, *, clock: Clock = utc_now
) -> Admission:
    """Use an invitation. The same token with the same keys is answered alike again: an answer can get lost.

    Raises ``enrolment-token``, ``-used``, ``-expired``, ``certificate-unusable`` or ``key-damaged``.
    """
    store, now = CoordinatorStore(home.store), clock()
    invitation = store.invitation(_digest(token))
    if invitation is None:
        raise GaitkeeperError("enrolment-token")
    request = read_request(certificate_request)
    node_key = check_node_public_key(node_public_key)
    used_by = hashlib.sha256(public_key_digest(request).encode() + node_key).hexdigest()
    if invitation.used_key is None:
        if from_iso(invitation.expires_at) <= now:
            raise GaitkeeperError("enrolment-token-expired", site=invitation.site, expired=invitation.expires_at)
        certificate = pem(home.authority().issue_site(request, invitation.site, clock=clock))
        if store.enrol(_digest(token), used_by, certificate, node_key, iso(now)):
            AuditLog(home.audit_log, clock=clock).append("site-enrolled", site=invitation.site, keys_sha256=used_by)
            return Admission(invitation.site, certificate)
        invitation = store.invitation(_digest(token)) or invitation  # another request came first
    site = store.site(invitation.site)
    same = invitation.used_key is not None and secrets.compare_digest(invitation.used_key, used_by)
    if not same or site is None or site.state != "enrolled" or site.certificate is None:
        raise GaitkeeperError("enrolment-token-used", site=invitation.site)
    return Admission(site.name, site.certificate)


def renew(home: CoordinatorHome, site: str, certificate_request: bytes, *, clock: Clock = utc_now) -> Admission:
    """A fresh certificate for a member that showed its present one. Raises ``certificate-unusable``."""
    certificate = pem(home.authority().issue_site(read_request(certificate_request), site, clock=clock))
    CoordinatorStore(home.store).renew(site, certificate)
    AuditLog(home.audit_log, clock=clock).append("site-certificate-renewed", site=site)
    return Admission(site, certificate)


def revoke(home: CoordinatorHome, site: str, *, clock: Clock = utc_now) -> None:
    """Shut a site out at once. Raises ``site-unknown``."""
    CoordinatorStore(home.store).revoke(site)
    AuditLog(home.audit_log, clock=clock).append("site-revoked", site=site)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
