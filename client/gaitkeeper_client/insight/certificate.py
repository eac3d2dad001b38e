"""What tests said of a release's explanations: the value that a report shows. It is made in ``explained``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.typed_json import from_json

_MINUS = re.compile(r"(?<![\w-])-(?=\d)")
CERTIFICATE_SCHEMA = "gaitkeeper.certificate/1"
CheckName = Literal[
    "planted", "untrained", "located", "deletion", "insertion", "faithful", "randomised", "stable", "spm"
]
Status = Literal["passed", "failed", "not-applicable"]


@dataclass(frozen=True, slots=True)
class Check:
    """One test. ``value`` is what was found, ``compared`` what it is held against, ``count`` over how many cases.

    ``decisive``: whether the certificate fails where this one does; others are told and decide nothing.
    """

    name: CheckName
    value: float
    compared: float
    count: int
    passed: bool
    decisive: bool = True


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the tests said of the explanations of one release, by the SHA-256 of its weights.

    ``walks``: simulated walks that were explained. ``reason``: why the tests do not apply, empty where they do.
    ``made_at``: UTC, ISO 8601; ``software``: the version that explained and tested.
    """

    sha256: str
    status: Status
    checks: tuple[Check, ...]
    walks: int
    made_at: str
    software: str
    reason: str = ""

    @property
    def failed(self) -> tuple[Check, ...]:
        """The decisive tests that failed."""
        return tuple(check for check in self.checks if check.decisive and not check.passed)

    def to_json(self) -> dict[str, Any]:
        """JSON values only; :func:`certificate_of` is the inverse."""
        return {"schema": CERTIFICATE_SCHEMA, **dataclasses.asdict(self)}


def certificate_of(table: Mapping[str, Any]) -> Certificate:
    """A certificate from its JSON. Raises ``ValueError`` for anything else."""
    values = dict(table)
    if values.pop("schema", None) != CERTIFICATE_SCHEMA:
        raise ValueError(f"its schema is not {CERTIFICATE_SCHEMA}")
    return from_json(Certificate, values, "certificate")


def sentence(check: Check) -> str:
    """A test in words, made from its numbers."""
    told = say(f"certificate.{check.name}", value=check.value, compared=check.compared, count=check.count)
    return _MINUS.sub("−", told)
