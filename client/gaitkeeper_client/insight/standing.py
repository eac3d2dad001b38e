"""How a report stands: a draft, or what clinicians decided on each finding, as the pages show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from gaitkeeper_client.language.texts import Texts

State = Literal["draft", "signed", "amended"]


@dataclass(frozen=True, slots=True)
class Decided:
    """One finding and the last decision on it. ``verdict``: ``agreed``, ``amended``, ``overruled``, or empty."""

    finding: str
    verdict: str = ""
    text: str = ""
    reason: str = ""
    label: str = ""
    who: str = ""
    when: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """``report``, ``sha256``: of a kept report, empty otherwise. ``who``, ``when``: of the last signature.

    ``walked``: when the patient walked, where the report knows it. ``keys``: ids of the keys that signed. Whoever makes
    one that is not a draft has verified the signatures.
    """

    state: State = "draft"
    report: str = ""
    sha256: str = ""
    who: str = ""
    when: str = ""
    decided: tuple[Decided, ...] = ()
    keys: tuple[str, ...] = ()
    walked: str = ""

    def to_json(self) -> dict[str, Any]:
        """Key ``report`` of an analysis' document."""
        signed_by = None if self.state == "draft" else self.who
        return {"id": self.report or None, "status": self.state, "signed_by": signed_by}


@dataclass(frozen=True, slots=True)
class DecidedView:
    """One row of the table of decisions."""

    finding: str
    verdict: str
    notes: tuple[str, ...]
    by: str
    changed: bool


@dataclass(frozen=True, slots=True)
class StandingView:
    """What a page shows of it: ``banner`` and ``footer`` (of each printed page), ``lead`` and the table."""

    draft: bool
    banner: str
    footer: str
    lead: str
    rows: tuple[DecidedView, ...]
    proof: str


DRAFT = Standing()


def standing_view(standing: Standing, words: Texts) -> StandingView:
    """The words and rows for a standing."""
    draft = standing.state == "draft"
    banner = words(f"standing.{standing.state}", who=standing.who, when=standing.when)
    left = sum(not one.verdict for one in standing.decided)
    lead = words("standing.nobody") if draft else banner
    if draft and left < len(standing.decided):
        lead = words("standing.partly", left=left, all=len(standing.decided))
    keys = ", ".join(standing.keys)
    proof = words("standing.key", report=standing.report, sha256=standing.sha256, keys=keys) if keys else ""
    footer = words("standing.draft_short") if draft else banner
    return StandingView(draft, banner, footer, lead, tuple(_row(one, words) for one in standing.decided), proof)


_VERDICTS = {"agreed": "agreed", "amended": "amended_finding", "overruled": "overruled", "": "open"}


def _row(one: Decided, words: Texts) -> DecidedView:
    notes = [
        words(f"standing.{name}", **{key: value})
        for name, key, value in (
            ("instead", "text", one.text),
            ("reason", "text", one.reason),
            ("label", "label", one.label),
        )
        if value
    ]
    by = words("standing.by", who=one.who, when=one.when) if one.who else ""
    verdict = words(f"standing.{_VERDICTS[one.verdict]}")
    return DecidedView(one.finding, verdict, tuple(notes), by, one.verdict in ("amended", "overruled"))
