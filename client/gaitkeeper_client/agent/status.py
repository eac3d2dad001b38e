"""What the site's operator wants to know at a glance, gathered from the site's own files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gaitkeeper_client.agent.supervisor import is_running
from gaitkeeper_client.consortium.connection import CoordinatorConnection
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.errors import GaitkeeperError


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
    """The whole of it. ``problems``: what could not be read, in words."""

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
        active_release=_try(problems, lambda: _active_release(home)) if connection is not None else None,
        problems=tuple(problems),
    )


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
