"""The small parts of FHIR resources: codings, quantities, references, extensions. JSON values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from gaitkeeper_client.exchange.codes import ABSENT, UCUM, Code, Unit

Json = dict[str, Any]

_DECIMALS = 4


def coding(code: Code) -> Json:
    """Coding."""
    return {"system": code.system, "code": code.code, "display": code.display}


def concept(*codes: Code, text: str = "") -> Json:
    """CodeableConcept: translations of one another, and our own words where there are any."""
    table: Json = {"coding": [coding(code) for code in codes]} if codes else {}
    return {**table, "text": text} if text else table


def absent(code: str, text: str) -> Json:
    """dataAbsentReason, with our own reason in words."""
    return {"coding": [{"system": ABSENT, "code": code}], "text": text}


def quantity(value: float, unit: Unit) -> Json:
    """Quantity in UCUM, rounded to what was measured."""
    table: Json = {"value": rounded(value), "system": UCUM, "code": unit.ucum}
    return {**table, "unit": unit.text} if unit.text else table


def interval(url: str, low: float, high: float, unit: Unit) -> Json:
    """An extension that holds a range. An end that is not finite is left out: it is open."""
    ends = {"low": low, "high": high}
    return {
        "url": url,
        "valueRange": {name: quantity(value, unit) for name, value in ends.items() if math.isfinite(value)},
    }


def rounded(value: float) -> float:
    """To :data:`_DECIMALS`; never minus zero."""
    return round(value, _DECIMALS) + 0.0


def identifier(system: str, value: str) -> Json:
    """Identifier."""
    return {"system": system, "value": value}


def instant(at: datetime) -> str:
    """``instant`` and ``dateTime``: UTC, to the second."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def narrative(title: str, lines: Sequence[str]) -> Json:
    """Narrative that a person can read where a system shows nothing else."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    body = f"<p>{escape(title)}</p>" + (f"<ul>{items}</ul>" if items else "")
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>'}
