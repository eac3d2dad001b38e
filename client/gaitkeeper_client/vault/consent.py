"""What a patient agreed to, by purpose: their own care, training of the consortium's models, and ``labels``: that a
clinician's correction of a model's answer is taken as the label that training learns from.

A consent is part of the patient's sealed record. What a command withdrew, no later cohort file gives back: only a
command does. Where nobody said anything, the site's policy decides (``[consent] unless_said`` in ``site.toml``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome

Purpose = Literal["care", "training", "labels"]
PURPOSES: frozenset[Purpose] = frozenset(get_args(Purpose))
PRESUMABLE: frozenset[Purpose] = frozenset({"care", "training"})
"""What a site's policy may take for given of patients of whom nobody said anything; ``labels`` is never presumed."""
NOTHING = "none"
TABLE = "consent"


@dataclass(frozen=True, slots=True)
class Consent:
    """``given``: the purposes that the patient's data may serve. ``withdrawn``: those that a command took back."""

    given: frozenset[Purpose]
    withdrawn: frozenset[Purpose] = frozenset()

    def updated(self, newer: Consent) -> Consent:
        """This consent after a cohort said ``newer``; what was withdrawn stays withdrawn."""
        return Consent(newer.given - self.withdrawn, self.withdrawn)

    def after_withdrawal(self, purposes: Iterable[Purpose]) -> Consent:
        """This consent without ``purposes``."""
        gone = frozenset(purposes)
        return Consent(self.given - gone, self.withdrawn | gone)

    def after_giving(self, purposes: Iterable[Purpose]) -> Consent:
        """This consent with ``purposes``."""
        added = frozenset(purposes)
        return Consent(self.given | added, self.withdrawn - added)

    def table(self) -> dict[str, list[str]]:
        """Plain lists for a record; :func:`consent_of` is the inverse."""
        return {"given": sorted(self.given), "withdrawn": sorted(self.withdrawn)}


def consent_of(table: Any) -> Consent | None:
    """A consent from a record; None for None. Raises ``recording-damaged`` for anything that was never written."""
    if table is None:
        return None
    try:
        given, withdrawn = frozenset(table["given"]), frozenset(table["withdrawn"])
    except (KeyError, TypeError) as error:
        raise GaitkeeperError("recording-damaged", detail="a consent cannot be read") from error
    if set(table) != {"given", "withdrawn"} or not given | withdrawn <= PURPOSES or given & withdrawn:
        raise GaitkeeperError("recording-damaged", detail="a consent names unknown purposes")
    return Consent(given, withdrawn)


def parse_purposes(text: str) -> frozenset[Purpose]:
    """Purposes as people write them: ``care``, ``training``, ``care+training``, ``care+training+labels``, ``none``.

    A ``ValueError`` says what is wrong.
    """
    words = [word for word in text.lower().replace("+", " ").replace(";", " ").replace(",", " ").split() if word]
    if words == [NOTHING]:
        return frozenset()
    if not words or not set(words) <= PURPOSES:
        raise ValueError(f"consent {text!r} is not made of care, training, labels with + between, or none")
    return frozenset(word for word in PURPOSES if word in words)


def words_for(purposes: Iterable[Purpose]) -> str:
    """The purposes as :func:`parse_purposes` reads them."""
    return "+".join(sorted(purposes)) or NOTHING


def unless_said(home: SiteHome) -> frozenset[Purpose]:
    """What a patient of whom nobody said anything agreed to, by the site's policy; care and training without a policy.

    Raises ``site-config-damaged``.
    """
    from gaitkeeper_client.vault.home import read_table

    table = read_table(home, TABLE)
    if not table:
        return PRESUMABLE
    try:
        if set(table) != {"unless_said"} or not isinstance(table["unless_said"], str):
            raise ValueError("[consent] has one key, unless_said, a text such as 'care'")
        if not (presumed := parse_purposes(table["unless_said"])) <= PRESUMABLE:
            raise ValueError("unless_said cannot hold labels: that consent is asked of each patient")
        return presumed
    except ValueError as error:
        raise GaitkeeperError("site-config-damaged", path=home.config_file, detail=error) from error
