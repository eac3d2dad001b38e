"""What the site's operator wants to know at a glance, gathered from the site's own files."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from gaitkeeper_client.agent.chores import CHORES, ChoreStatus, chore_status
from gaitkeeper_client.agent.supervisor import is_running
from gaitkeeper_client.consortium.connection import CoordinatorConnection
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.audit import AuditLog


@dataclass(frozen=True, slots=True)
class StudyStatus:
    """An offered study: what a patient who was in every round has spent of what the site approved."""

    name: str
    hash: str
    approved: bool
    epsilon_spent: float
    epsilon: float
    delta: float


@dataclass(frozen=True, slots=True)
class RoundStatus:
    """The last round that this site was charged for."""

    study_hash: str
    run: str
    round: int
    at: str


@dataclass(frozen=True, slots=True)
class SiteStatus:
    """The whole of it. ``problems``: what could not be read, in words.

    ``chores``: what the running site did beside its rounds, last. ``explanations``: how the tests of the active
    release's explanations ended, None where none is active or they were not made. ``waiting_reports``: how many wait in
    the outbox, None where no FHIR server is named.
    """

    site: str
    running: bool
    ready: bool
    coordinator: str | None
    reachable: bool | None
    contact_detail: str
    children: tuple[dict[str, Any], ...]
    studies: tuple[StudyStatus, ...]
    last_round: RoundStatus | None
    active_release: int | None
    chores: tuple[ChoreStatus, ...]
    explanations: str | None
    waiting_reports: int | None
    problems: tuple[str, ...]


def site_status(home: SiteHome) -> SiteStatus:
    """Gather it. Raises ``site-not-initialised``; everything else that is wrong is a problem in the answer."""
    name = home.config().name
    problems: list[str] = []
    running = is_running(home)
    service = _service(home) if running else {}
    contact = service.get("coordinator") or {}
    connection = _try(problems, lambda: CoordinatorConnection.load_or_none(home))
    studies = _try(problems, lambda: _studies(home)) if connection is not None else None
    active = _try(problems, lambda: _active_release(home)) if connection is not None else None
    return SiteStatus(
        site=name,
        running=running,
        ready=bool(service.get("ready")),
        coordinator=connection.coordinator if connection is not None else None,
        reachable=contact.get("reachable"),
        contact_detail=str(contact.get("detail", "")),
        children=tuple(service.get("children", ())),
        studies=studies or (),
        last_round=_try(problems, lambda: _last_round(home)),
        active_release=active,
        chores=_chores(home, running=running),
        explanations=_try(problems, lambda: _explanations(home, active)),
        waiting_reports=_try(problems, lambda: _waiting(home)),
        problems=tuple(problems),
    )


def _chores(home: SiteHome, *, running: bool) -> tuple[ChoreStatus, ...]:
    found = [status for name in CHORES if (status := chore_status(home, name)) is not None]
    # What ran when the site was killed does not run any more.
    return tuple(one if running or one.state != "running" else replace(one, state="failed") for one in found)


def _service(home: SiteHome) -> dict[str, Any]:
    try:
        service: dict[str, Any] = json.loads((home.run / "site.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return service


def _try(problems: list[str], read: Any) -> Any:
    try:
        return read()
    except GaitkeeperError as error:
        problems.append(str(error))
        return None


def _studies(home: SiteHome) -> tuple[StudyStatus, ...]:
    from gaitkeeper_client.consortium.studies import known_offers
    from gaitkeeper_client.vault.ledger import ledger_at_hand

    ledger = ledger_at_hand(home)
    return tuple(
        StudyStatus(
            offer.study.name,
            offer.hash,
            offer.approved_at is not None,
            ledger.study_epsilon(offer.hash, offer.study.privacy.delta),
            offer.study.privacy.epsilon,
            offer.study.privacy.delta,
        )
        for offer in known_offers(home).offers
    )


def _last_round(home: SiteHome) -> RoundStatus | None:
    from gaitkeeper_client.vault.ledger import ledger_at_hand

    entries = ledger_at_hand(home).entries
    if not entries:
        return None
    last = entries[-1]
    return RoundStatus(last.key.study_hash, last.key.run, last.key.round, str(last.at))


def _active_release(home: SiteHome) -> int | None:
    from gaitkeeper_client.consortium.releases import active_release

    release = active_release(home)
    return release.version if release is not None else None


def _explanations(home: SiteHome, release: int | None) -> str | None:
    """The outcome of the last test of this release, as the audit log tells it."""
    entries = AuditLog(home.audit_log).entries() if release is not None else ()
    told = (entry.facts for entry in entries if entry.event == "explanations-tested")
    outcomes = [str(facts.get("outcome", "")) for facts in told if facts.get("version") == release]
    return outcomes[-1] if outcomes else None


def _waiting(home: SiteHome) -> int | None:
    from gaitkeeper_client.exchange.outbox import Outbox
    from gaitkeeper_client.exchange.server import fhir_server

    try:
        fhir_server(home)
    except GaitkeeperError as error:
        if error.code == "fhir-no-server":
            return None
        raise
    outbox = Outbox.of(home)
    return sum(post.state == "waiting" for post in outbox.posts()) if outbox.path.exists() else 0
