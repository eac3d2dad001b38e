"""Roles of a coordinator's people: who may give which command. None granted: who has the folder has all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.persons.acting import Person, acting_person, uid_of
from gaitkeeper_server.store import CoordinatorStore, Grant
from gaitkeeper_shared.accounts import name_now
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.printable import printable
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now


class Role(StrEnum):
    """Each may also look at everything; the owner may do everything."""

    OWNER = "owner"
    OPERATOR = "operator"
    """Sites, studies and rounds."""
    RELEASE_MANAGER = "release-manager"
    """What the sites run."""
    VIEWER = "viewer"


NEEDED: dict[str, Role] = {
    "start": Role.OWNER,
    "backup": Role.OWNER,
    "role grant": Role.OWNER,
    "role withdraw": Role.OWNER,
    "invite": Role.OPERATOR,
    "revoke": Role.OPERATOR,
    "study sign": Role.OPERATOR,
    "train": Role.OPERATOR,
    "pause": Role.OPERATOR,
    "resume": Role.OPERATOR,
    "stop": Role.OPERATOR,
    "prune": Role.OPERATOR,
    "pretrain": Role.OPERATOR,
    "rehearse": Role.OPERATOR,
    "promote": Role.RELEASE_MANAGER,
    "rollback": Role.RELEASE_MANAGER,
    "role list": Role.VIEWER,
    "audit": Role.VIEWER,
    "deployments": Role.VIEWER,
    "doctor": Role.VIEWER,
    "members": Role.VIEWER,
    "models": Role.VIEWER,
    "runs": Role.VIEWER,
    "sites": Role.VIEWER,
    "study list": Role.VIEWER,
}
"""The role that each command at a coordinator's folder asks for. ``init``, ``restore`` and ``study new`` make files
where nothing is yet, and ask for none."""

_AT_ONCE = frozenset({"pause", "revoke", "stop"})
"""What is done against harm is done also where the audit log cannot take it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A command that may go on. ``unlogged``: why the audit log did not take it, where it is done all the same."""

    person: Person
    unlogged: GaitkeeperError | None = None


def enter(home: CoordinatorHome, command: str, subject: str = "", *, clock: Clock = utc_now) -> Entry:
    """Let the acting person's ``command`` pass, or refuse it. ``subject``: what it is about, for the audit log.

    The log has every command that changes something before it is carried out, and every refusal, with the person.
    Raises ``role-needed``, ``user-unknown``, ``home-not-safe`` or what the log raises.
    """
    person, needed = acting_person(home), NEEDED[command]
    log = AuditLog(home.audit_log, clock=clock)
    facts = {"command": command, "subject": printable(subject, 100), "by": person.name}
    if not person.owner:
        grants = CoordinatorStore(home.store).grants()
        held = _held(person, grants)
        if grants and not (Role.OWNER in held or needed in held or (needed is Role.VIEWER and held)):
            log.append("person-refused", **facts, role=needed)
            has = ", ".join(sorted(held)) or "no role"
            raise GaitkeeperError("role-needed", person=person.name, command=command, role=needed, has=has)
    if needed is Role.VIEWER:
        return Entry(person)
    try:
        log.append("command-given", **facts, role=needed)
    except GaitkeeperError as error:
        if command not in _AT_ONCE:
            raise
        return Entry(person, error)
    return Entry(person)


def grant(home: CoordinatorHome, name: str, role: Role, *, clock: Clock = utc_now) -> Grant:
    """Give a user of this machine a role. From the first one on, people without one are refused.

    Raises ``user-unknown``.
    """
    made = Grant(name, uid_of(name), role, iso(clock()), None)
    CoordinatorStore(home.store).grant(made)
    AuditLog(home.audit_log, clock=clock).append("role-granted", person=name, uid=made.uid, role=role)
    return made


def withdraw(home: CoordinatorHome, name: str, role: Role | None = None, *, clock: Clock = utc_now) -> tuple[str, ...]:
    """Take a role from somebody, or all of them; the roles taken. Raises ``role-not-held``."""
    taken = CoordinatorStore(home.store).withdraw(name, role, iso(clock()))
    if not taken:
        raise GaitkeeperError("role-not-held", person=name[:64], role=role or "any role")
    for item in taken:
        AuditLog(home.audit_log, clock=clock).append("role-withdrawn", person=name, role=item)
    return taken


def stale(grants: tuple[Grant, ...]) -> tuple[Grant, ...]:
    """Grants in force whose user is gone from this machine, or is called otherwise: they let nobody in."""
    return tuple(item for item in grants if item.withdrawn_at is None and name_now(item.uid) != item.person)


def _held(person: Person, grants: tuple[Grant, ...]) -> set[str]:
    # Both name and number: either may have gone to somebody else since.
    return {g.role for g in grants if g.withdrawn_at is None and (g.person, g.uid) == (person.name, person.uid)}
