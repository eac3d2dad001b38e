"""The site's own affairs, for IT and auditors: at a glance, studies to decide on, budget, model, health, audit log.

Nothing here is about a single patient.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from gaitkeeper_client.agent import spending
from gaitkeeper_client.agent.approval import check_approval, study_verdicts
from gaitkeeper_client.agent.doctor import diagnose
from gaitkeeper_client.agent.status import site_status
from gaitkeeper_client.console.access import Posted, Served, needs
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.rendering import page
from gaitkeeper_client.console.rights import Principal
from gaitkeeper_client.consortium import studies as at_site
from gaitkeeper_client.consortium.connection import CoordinatorConnection
from gaitkeeper_client.consortium.policy import in_plain_words as policy_words
from gaitkeeper_client.consortium.policy import load_policy
from gaitkeeper_client.consortium.release_store import active_release, read_refusal
from gaitkeeper_client.consortium.study_words import terms
from gaitkeeper_client.language.errors import message_of
from gaitkeeper_client.language.texts import texts
from gaitkeeper_client.training.home_runtime import budget_cap
from gaitkeeper_client.vault.ledger import open_ledger
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.printable import printable
from gaitkeeper_shared.trust.audit import AuditEntry, AuditLog

router = APIRouter()
Insider = Annotated[Principal, Depends(needs("site", person=True))]
Decider = Annotated[Principal, Depends(needs("decide", person=True))]
Healer = Annotated[Principal, Depends(needs("health", person=True))]
Auditor = Annotated[Principal, Depends(needs("audit", person=True))]
LAST_ENTRIES = 200
_RELEASE_EVENTS = ("release-activated", "release-refused", "release-damaged", "release-downloaded")


@dataclass(frozen=True, slots=True)
class StudyCard:
    """One offered study, in words. ``refusal``: why the site's rules do not let it be approved, empty where they do."""

    offer: at_site.Offer
    words: tuple[tuple[str, str], ...]
    refusal: str


@router.get("/site")
def overview(console: Served, who: Insider) -> Response:
    """The site at a glance: what runs, what is agreed, what is allowed."""
    console.record("console-looked", who.name, what="site")
    policy: tuple[str, ...] = ()
    problem = None
    try:
        policy = policy_words(load_policy(console.home))
    except GaitkeeperError as error:
        problem = error
    shown: dict[str, Any] = {"now": site_status(console.home), "policy": policy, "problem": problem}
    verdicts = study_verdicts(console.home)
    waiting = console.queue.unfinished()
    return page(
        "site.html.j2", who=who, site=console.name, title="pages.site", verdicts=verdicts, waiting=waiting, **shown
    )


@router.get("/studies")
def studies(console: Served, who: Insider) -> Response:
    """The studies that the consortium offers, in words that a board can read."""
    console.record("console-looked", who.name, what="studies")
    return _studies(console, who, None)


@router.post("/studies/fetch")
def fetch(console: Served, who: Decider, _: Posted) -> Response:
    """Ask the coordinator for its studies."""
    try:
        at_site.fetch_offers(console.home)
    except GaitkeeperError as error:
        return _studies(console, who, error)
    return RedirectResponse("/studies", 303)


@router.post("/studies/{study_hash}/approve")
def approve(console: Served, who: Decider, _: Posted, study_hash: str) -> Response:
    """Agree that this site trains a study; the site's own rules are asked first, as by ``site approve``."""
    offer = _offer(console, study_hash)
    try:
        counts_leave = check_approval(console.home, lambda: console.key, offer)
    except GaitkeeperError as error:
        return _studies(console, who, error)
    offer = at_site.approve(console.home, offer, counts_leave=counts_leave, clock=console.clock, by=who.name)
    return _decided(console, who, offer, "study-decided")


@router.post("/studies/{study_hash}/withdraw")
def withdraw(console: Served, who: Decider, _: Posted, study_hash: str) -> Response:
    """Take an approval back: the study's next round is refused."""
    offer = at_site.withdraw(console.home, _offer(console, study_hash), clock=console.clock)
    return _decided(console, who, offer, "study-decided")


@router.get("/budget")
def budget(console: Served, who: Insider) -> Response:
    """The privacy ledger: spent by study and over everything, and how much of the site's cap that is."""
    console.record("console-looked", who.name, what="budget")
    ledger, cap = open_ledger(console.home), budget_cap(console.home)
    patients = spending.by_patient(ledger, cap, None)
    shown: dict[str, Any] = {
        "cap": cap,
        "entries": len(ledger.entries),
        "studies": spending.by_study(console.home, ledger),
        "together": spending.together(ledger, cap),
        "patients": len(patients),
        "most": max((patient.epsilon for patient in patients), default=0.0),
        "exhausted": sum(patient.exhausted is True for patient in patients),
    }
    return page("budget.html.j2", who=who, site=console.name, title="budget.title", **shown)


@router.get("/deployments")
def deployments(console: Served, who: Insider) -> Response:
    """The model that speaks here, how it came, and what was refused."""
    console.record("console-looked", who.name, what="deployments")
    active, problem = None, None
    if CoordinatorConnection.load_or_none(console.home) is not None:
        try:
            active = active_release(console.home)
        except GaitkeeperError as error:
            problem = error
    history = deque((item for item in _entries(console) if item.event in _RELEASE_EVENTS), maxlen=50)
    shown: dict[str, Any] = {
        "active": active,
        "problem": problem,
        "refused": read_refusal(console.home),
        "history": [*history][::-1],
    }
    return page("deployments.html.j2", who=who, site=console.name, title="pages.model", **shown)


@router.get("/health")
def health(console: Served, who: Healer) -> Response:
    """What ``site doctor`` finds, and what to do about it."""
    console.record("console-looked", who.name, what="health")
    return page("health.html.j2", who=who, site=console.name, title="health.title", findings=diagnose(console.home))


@router.get("/audit")
def audit(console: Served, who: Auditor) -> Response:
    """The audit log's last entries; each link of its chain is checked first."""
    console.record("console-looked", who.name, what="audit")
    log = AuditLog(console.home.audit_log)
    head, problem = None, None
    entries: deque[AuditEntry] = deque(maxlen=LAST_ENTRIES)
    try:
        head = log.verify()
        entries.extend(log.entries())
    except GaitkeeperError as error:
        problem = error
    lines = [(item, printable(_facts(item), 400)) for item in reversed(entries)]
    shown: dict[str, Any] = {"lines": lines, "head": head, "problem": problem, "last": LAST_ENTRIES}
    return page("audit.html.j2", who=who, site=console.name, title="audit.title", **shown)


def _studies(console: Console, who: Principal, problem: GaitkeeperError | None) -> Response:
    cards: list[StudyCard] = []
    enrolled = CoordinatorConnection.load_or_none(console.home) is not None
    refused: tuple[at_site.Refusal, ...] = ()
    if enrolled:
        offers = at_site.known_offers(console.home)
        refused = offers.refused
        cards = [_card(console, offer) for offer in offers.offers]
    shown: dict[str, Any] = {"cards": cards, "refused": refused, "enrolled": enrolled, "problem": problem}
    return page("studies.html.j2", who=who, site=console.name, title="studies.title", **shown)


def _words(offer: at_site.Offer) -> tuple[tuple[str, str], ...]:
    """What ``site studies`` says, term by term, and what the price means."""
    words = texts()
    epsilon = offer.study.privacy.epsilon
    sure, masked = 1.0 / (1.0 + math.exp(-min(epsilon, 700.0))), offer.study.privacy.trust == "distributed"
    meaning = words("studies.meaning_masked" if masked else "studies.meaning_sent", sure=_percent(sure))
    return (*terms(offer.study, counts_leave=offer.counts_leave), (words("studies.price_means"), meaning))


def _percent(share: float) -> str:
    """A share below one, never rounded up to certainty."""
    digits = next((count for count in range(8) if round(100.0 * share, count) < 100.0), 8)
    return f"{100.0 * share:.{digits}f} %"


def _card(console: Console, offer: at_site.Offer) -> StudyCard:
    refusal = ""
    if offer.approved_at is None:
        try:
            offer = replace(offer, counts_leave=check_approval(console.home, lambda: console.key, offer))
        except GaitkeeperError as error:
            refusal = message_of(error)
    return StudyCard(offer, _words(offer), refusal)


def _offer(console: Console, study_hash: str) -> at_site.Offer:
    offer = at_site.find_offer(console.home, study_hash)
    if offer.hash != study_hash:  # a page names the whole hash; a name or a part of it decides nothing here
        raise GaitkeeperError("study-not-offered", study=study_hash[:12])
    return offer


def _decided(console: Console, who: Principal, offer: at_site.Offer, event: str) -> Response:
    """Written down with the person's name; the coordinator is told where it answers, and nothing depends on it."""
    console.record(event, who.name, study=offer.study.name, study_hash=offer.hash, approved=bool(offer.approved_at))
    try:
        at_site.report_decision(console.home, offer)
    except GaitkeeperError as error:
        if not error.code.startswith("rpc-"):
            raise
    return RedirectResponse("/studies", 303)


def _entries(console: Console) -> list[AuditEntry]:
    try:
        return list(AuditLog(console.home.audit_log).entries())
    except GaitkeeperError:
        return []  # the page on the audit log says what is wrong with it


def _facts(entry: AuditEntry) -> str:
    return "  ".join(f"{name}={value}" for name, value in sorted(entry.facts.items()))
