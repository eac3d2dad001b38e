"""What an exchanged report says beside its numbers: whose walk, which report, and what a clinician decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gaitkeeper_client.language.texts import say

Verdict = Literal["agreed", "amended", "overruled"]
State = Literal["draft", "signed", "amended"]


@dataclass(frozen=True, slots=True)
class Subject:
    """Who walked, as the receiving system knows them: no name.

    ``identifier`` in ``system``: the site's pseudonym by default. ``reference``: the receiver's own, ``Patient/123``;
    empty where only the identifier is known. ``age`` in years and ``sex`` choose the norms.
    """

    identifier: str
    system: str
    reference: str = ""
    age: float | None = None
    sex: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a clinician made of one finding, which ``about`` words as the report did.

    ``text``: what holds instead of an amended or overruled one; ``reason``: why. ``of_model``: it is about the model's
    proposal, and then ``label`` is the one that stands, empty where none does.
    """

    about: str
    verdict: Verdict
    text: str = ""
    reason: str = ""
    of_model: bool = False
    label: str = ""

    @property
    def sentence(self) -> str:
        """The decision in words."""
        told = "overruled_finding" if self.verdict == "overruled" else self.verdict
        parts = [say(f"exchange.{told}", about=self.about)]
        parts += [say("exchange.instead", text=self.text)] if self.text else []
        parts += [say("exchange.reason", text=self.reason)] if self.reason else []
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Signer:
    """A clinician in words: no number that a stranger could look up."""

    name: str
    role: str

    @property
    def display(self) -> str:
        """Name and role."""
        return f"{self.name}, {self.role}" if self.role else self.name


@dataclass(frozen=True, slots=True)
class Signed:
    """Who signed, when last, and what stands since: the last decision on each finding."""

    signers: tuple[Signer, ...]
    at: datetime
    decisions: tuple[Decision, ...] = ()

    @property
    def of_model(self) -> tuple[Decision, ...]:
        """What was decided on the model's proposal."""
        return tuple(item for item in self.decisions if item.of_model)


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """A report to exchange.

    ``id``: opaque and lasting, the key under which a receiver replaces an older state. ``subject``: None where nobody
    said whose walk it is. ``recorded_at``: when the walk was, None where that is not known. ``signed``: None for a
    draft. ``overruled``: why a clinician lets no measurement of the walk stand, empty otherwise. ``pdf``: the report to
    be read, where it is to go along.
    """

    id: str
    subject: Subject | None
    created_at: datetime
    recorded_at: datetime | None = None
    signed: Signed | None = None
    amended: bool = False
    overruled: str = ""
    pdf: bytes | None = None

    @property
    def state(self) -> State:
        """Where the report stands."""
        if self.signed is None:
            return "draft"
        return "amended" if self.amended else "signed"
