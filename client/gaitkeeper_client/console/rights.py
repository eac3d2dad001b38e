"""Who may do what at the console: roles of people, scopes of API keys, and the rights that either gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from gaitkeeper_shared.errors import GaitkeeperError

Role = Literal["clinician", "it", "auditor"]
Scope = Literal["upload", "read", "fhir"]
Right = Literal["patients", "upload", "results", "fhir", "sign", "site", "decide", "audit", "health"]
ROLES: tuple[Role, ...] = get_args(Role)
SCOPES: tuple[Scope, ...] = get_args(Scope)

RIGHTS_OF_ROLE: Mapping[Role, frozenset[Right]] = {
    "clinician": frozenset({"patients", "upload", "results", "fhir", "sign"}),
    "it": frozenset({"site", "decide", "health"}),
    "auditor": frozenset({"site", "audit"}),
}
"""``patients``: pages about people. ``site``: studies, budget, policy, deployments, to read. ``decide``: approve a
study or withdraw. No role that runs the machine sees a patient, and nobody who treats one decides about studies."""
RIGHTS_OF_SCOPE: Mapping[Scope, frozenset[Right]] = {
    "upload": frozenset({"upload"}),
    "read": frozenset({"results"}),
    "fhir": frozenset({"fhir"}),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. ``name``: the user, or ``key:`` and the API key's name. ``csrf``: the session's, empty for a key."""

    name: str
    rights: frozenset[Right]
    roles: tuple[Role, ...] = ()
    csrf: str = ""

    @property
    def is_person(self) -> bool:
        """Whether a person with a session asks, and not a program."""
        return bool(self.csrf)

    def may(self, right: Right) -> bool:
        """Whether the right is theirs."""
        return right in self.rights

    def require(self, right: Right) -> None:
        """Raises ``console-not-allowed``."""
        if right not in self.rights:
            raise GaitkeeperError("console-not-allowed", right=right)


def rights_of_roles(roles: Iterable[Role]) -> frozenset[Right]:
    """All rights of a person with these roles."""
    return frozenset().union(*(RIGHTS_OF_ROLE[role] for role in roles))


def rights_of_scopes(scopes: Iterable[Scope]) -> frozenset[Right]:
    """All rights of a key with these scopes."""
    return frozenset().union(*(RIGHTS_OF_SCOPE[scope] for scope in scopes))


def parse_roles(texts: Iterable[str]) -> tuple[Role, ...]:
    """Roles as people write them. Raises ``console-bad-role``."""
    wanted = {text.strip().lower() for text in texts}
    if not wanted or not wanted <= set(ROLES):
        raise GaitkeeperError("console-bad-role", given=", ".join(sorted(wanted)) or "none", known=", ".join(ROLES))
    return tuple(role for role in ROLES if role in wanted)


def parse_scopes(texts: Iterable[str]) -> tuple[Scope, ...]:
    """Scopes as people write them. Raises ``console-bad-role``."""
    wanted = {text.strip().lower() for text in texts}
    if not wanted or not wanted <= set(SCOPES):
        raise GaitkeeperError("console-bad-role", given=", ".join(sorted(wanted)) or "none", known=", ".join(SCOPES))
    return tuple(scope for scope in SCOPES if scope in wanted)
