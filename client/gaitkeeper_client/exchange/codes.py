"""What a gait parameter, a refusal and a label are called in other systems, from ``codes.toml``.

The parameters have a CodeSystem of their own, because no official one names most of them; where an official code means
the same quantity, it stands beside as a translation.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from gaitkeeper_client.language.texts import DEFAULT, texts

BASE = "https://gaitkeeper.invalid/fhir"
"""Of the names that are ours. The domain can never be anybody's (RFC 2606): these are names, and nothing is fetched."""
PARAMETERS = f"{BASE}/CodeSystem/gait-parameters"
REFUSALS = f"{BASE}/CodeSystem/refusals"
REPORTS = f"{BASE}/identifier/report"
RELEASES = f"{BASE}/identifier/release"
SOFTWARE = f"{BASE}/identifier/software"
INTERVAL = f"{BASE}/StructureDefinition/interval-95"
WINDOWS = f"{BASE}/StructureDefinition/range-of-windows"
COUNT = f"{BASE}/StructureDefinition/count"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
UCUM = "http://unitsofmeasure.org"
PANEL = ("snomed", "363837002", "Measure of gait")
REPORT = ("loinc", "32433-5", "Physical findings of Gait")
MODEL_PROPOSAL = ("model-proposal", "What a model proposes for this walk")
MODEL_SCORE = ("model-score", "Score of one label, 0 to 1")
MODEL_SEVERITY = ("model-severity", "Severity that a model estimates")


@dataclass(frozen=True, slots=True)
class Code:
    """A code of a system, and how it is displayed."""

    system: str
    code: str
    display: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A UCUM code, and how it is written for people."""

    ucum: str
    text: str


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((resources.files("gaitkeeper_client.exchange") / "codes.toml").read_text("utf-8"))


def official(system: str, code: str, display: str) -> Code:
    """A code of one of the systems in the table's own short names."""
    return Code(_table()["systems"][system], code, display)


@cache
def parameter_codes(name: str) -> tuple[Code, ...]:
    """Our code of a parameter, then its translations."""
    known = f"parameters.{name}"
    english = texts(DEFAULT)  # a code is displayed alike everywhere; the words beside it are the site's
    title = english(known) if english.has(known) else name.replace("_", " ").capitalize()
    rows = _table()["translations"].get(name, ())
    return (Code(PARAMETERS, name.replace("_", "-"), title), *(official(*row) for row in rows))


@cache
def unit_of(unit: str) -> Unit:
    """The UCUM unit of a parameter's unit; what is not in the table goes out as an annotation, which UCUM allows."""
    row = _table()["units"].get(unit)
    return Unit(*row) if row else Unit(f"{{{unit}}}", unit)


def absent_code(refusal: str) -> str:
    """The code of HL7's data-absent-reason for a refusal."""
    code: str = _table()["refusals"].get(refusal, "unknown")
    return code


def interpretation_of(label: str) -> Code | None:
    """The SNOMED CT finding that a signed label is; None where it is none."""
    row = _table()["interpretations"].get(label.strip().lower().replace("_", " "))
    return official("snomed", *row) if row else None


def left_out() -> dict[str, str]:
    """Official codes that one might expect, and why they are not used."""
    return dict(_table()["left_out"])
