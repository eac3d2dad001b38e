"""What is said beside a value that stands but asks for care, as one table: code, rule, message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gaitkeeper_client.gait.analysis import Reason
from gaitkeeper_client.language.texts import say


@dataclass(frozen=True, slots=True)
class Caution:
    """``message`` is a ``str.format`` template."""

    code: str
    rule: str
    message: str


RELIABLE_STRIDES = 23
"""Strides after which the phase coordination index settles (Kribus-Shmiel et al. 2018,
doi:10.1371/journal.pone.0192049)."""

RULES: dict[str, str] = {
    "wide-interval": (
        "the 95 % interval reaches farther from the value than the limit of that parameter in definitions.toml"
    ),
    "far-limb": "a side view in which the limb that the value is of, or compares, is always the one behind",
    "set-square": "an oblique view that is set square by the walk's own perspective",
    "few-strides-for-coordination": f"fewer than {RELIABLE_STRIDES} strides for the phase coordination index",
    "timing-noise": (
        "events are timed no better than a sample, and that alone makes a good part of a measured variability"
    ),
    "uncalibrated-force": (
        "contacts come of foot forces without newtons, and the value depends on the load taken for a contact"
    ),
    "usual-leg": "the height is not given, and a leg of usual length stands in for it",
}
"""When it is said, by code. The message is the catalogue's (``caution``)."""

CAUTIONS: dict[str, Caution] = {code: Caution(code, rule, say(f"caution.{code}")) for code, rule in RULES.items()}


def caution(code: str, **values: Any) -> Reason:
    """A row of the table filled in. An unknown code or a missing value is a programming error (KeyError)."""
    return Reason(code, CAUTIONS[code].message.format(**values))
