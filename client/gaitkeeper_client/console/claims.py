"""What an ID token says of a person, checked: subject, name, verified address, roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gaitkeeper_client.console.rights import ROLES, Role
from gaitkeeper_shared.errors import GaitkeeperError

LONGEST_SUBJECT = 255
"""OpenID Connect Core 1.0, section 2."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at the provider. ``roles``: None where the provider is not asked for them."""

    issuer: str
    subject: str
    name: str
    roles: tuple[Role, ...] | None = None


def person_of(
    claims: Mapping[str, Any], *, claim: str, role_claim: str = "", groups: Mapping[Role, str] | None = None
) -> Person:
    """The person whom the claims of a verified token are about.

    ``claim`` names the user here; an ``email`` counts only where the provider verified it. ``role_claim``: a claim with
    a list of groups, dots lead into it (``realm_access.roles``); ``groups``: the one that gives each role. Who is in
    none of them has no role here. Raises ``oidc-refused``.
    """
    subject, name = claims.get("sub"), claims.get(claim)
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT:
        raise GaitkeeperError("oidc-refused", detail="its token does not say who it is about (sub)")
    if not isinstance(name, str) or not name.strip():
        raise GaitkeeperError("oidc-refused", detail=f"its token has no claim {claim}")
    if claim == "email" and claims.get("email_verified") is not True:
        raise GaitkeeperError("oidc-refused", detail="it did not verify the e-mail address")
    roles = _roles(claims, role_claim, groups or {}) if role_claim else None
    return Person(str(claims["iss"]), subject, name.strip().lower(), roles)


def _roles(claims: Mapping[str, Any], role_claim: str, groups: Mapping[Role, str]) -> tuple[Role, ...]:
    found: Any = claims
    for part in role_claim.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    listed = found if isinstance(found, list) else [found]
    named = {one for one in listed if isinstance(one, str)}
    roles = tuple(role for role in ROLES if groups.get(role) in named)
    if not roles:
        raise GaitkeeperError("oidc-refused", detail=f"its claim {role_claim} names no group that has a role here")
    return roles
