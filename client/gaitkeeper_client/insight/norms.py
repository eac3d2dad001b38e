"""Published ranges of parameters, from ``norms.toml``, and which of them hold for a walk; the curves are those of
``gait.norms``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from gaitkeeper_client.gait.norms import NormCurve, Source, curve_origin, norm_curve, speed_band
from gaitkeeper_client.language.texts import say, worded

__all__ = [
    "NormChoice",
    "NormCurve",
    "NormRange",
    "Sex",
    "Source",
    "chosen_norm",
    "curve_origin",
    "norm_curve",
    "norm_range",
    "speed_band",
]

Sex = Literal["f", "m", ""]
ADULT_FROM, ADULT_TO = 18, 80
"""Years for which ranges are on file; they are no ranges of anybody younger or older."""
CURVES_FROM = 4
"""Years of the youngest people whose joint curves are on file."""


@dataclass(frozen=True, slots=True)
class NormRange:
    """Where about 95 % of healthy adults lie; ``low`` or ``high`` is None for a one-sided range.

    ``who``: the people it holds for, in words. ``checked``: where the figures were held against the publication, empty
    where they were not. ``compared``: what else they were held against.
    """

    low: float | None
    high: float | None
    who: str
    source: Source
    checked: str = ""
    compared: str = ""

    @property
    def citation(self) -> str:
        """The publication, and how far its figures were checked."""
        doi = f", doi:{self.source.doi}" if self.source.doi else ""
        how = say("norms.checked", how=self.checked) if self.checked else say("norms.unchecked")
        return f"{self.source.text}{doi} ({how}{f'. {self.compared}' if self.compared else ''})"


@dataclass(frozen=True, slots=True)
class NormChoice:
    """Which published norms are printed beside a walk. ``ranges``: whether those of adults are. ``why``: in words."""

    ranges: bool
    why: str


def chosen_norm(*, sex: str = "", age: float | None = None, aid: str = "") -> NormChoice:
    """Norms by what is known of the walker: ranges of adults for adults alone, and none with a walking aid."""
    if aid:
        return NormChoice(
            False,
            say("norms.aid", aid=worded(aid)),
        )
    if age is None:
        who = say({"f": "norms.women", "m": "norms.men"}.get(_letter(sex), "norms.both_sexes"))
        return NormChoice(
            True,
            say("norms.no_age", adult_from=ADULT_FROM, adult_to=ADULT_TO, who=who),
        )
    if age < ADULT_FROM:
        curves = (
            say("norms.children_curves") if age >= CURVES_FROM else say("norms.curves_begin", curves_from=CURVES_FROM)
        )
        return NormChoice(False, say("norms.too_young", age=age, curves=curves))
    if age >= ADULT_TO + 1:
        return NormChoice(False, say("norms.too_old", adult_to=ADULT_TO, age=age))
    if _letter(sex):
        return NormChoice(True, say("norms.adults"))
    return NormChoice(
        True,
        say("norms.both_sexes_note"),
    )


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((resources.files("gaitkeeper_client.insight") / "norms.toml").read_text("utf-8"))


def norm_range(parameter: str, *, sex: str = "", age: float | None = None, aid: str = "") -> NormRange | None:
    """The range of a parameter for this sex and age, the union over what is not known; None where none holds."""
    if not chosen_norm(sex=sex, age=age, aid=aid).ranges:
        return None
    wanted = _letter(sex)
    rows = [
        row
        for row in _table()["ranges"]
        if parameter in row["parameters"]
        and (not wanted or row["sex"] in (wanted, ""))
        and (age is None or row["age"][0] <= age < row["age"][1] + 1)
    ]
    if not rows:
        return None
    lows = [row["parameters"][parameter][0] for row in rows]
    highs = [row["parameters"][parameter][1] for row in rows]
    source = _table()["sources"][rows[0]["source"]]
    return NormRange(
        low=None if _open(lows) else min(lows),
        high=None if _open(highs) else max(highs),
        who=_who(rows, wanted),
        source=Source(source["text"], source["doi"]),
        checked=source["checked"],
        compared=source["compared"],
    )


def _letter(sex: str) -> str:
    first = sex.strip().lower()[:1]
    return first if first in ("f", "m") else ""


def _open(limits: list[float]) -> bool:
    return any(limit in (float("inf"), float("-inf")) for limit in limits)


def _who(rows: list[dict[str, Any]], wanted: str) -> str:
    named = (
        {"f": "norms.women", "m": "norms.men"}.get(wanted, "norms.adults_who")
        if any(row["sex"] for row in rows)
        else ""
    )
    low, high = min(row["age"][0] for row in rows), max(row["age"][1] for row in rows)
    return say("norms.who", people=say(named or "norms.adults_who"), low=low, high=high)
