"""The parameters as the report shows them: a grouped table, left beside right, and what is withheld by reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from gaitkeeper_client.gait.analysis import Parameter
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.insight.context import PatientContext
from gaitkeeper_client.insight.norms import NormRange, chosen_norm, norm_range
from gaitkeeper_client.insight.wording import (
    ALWAYS_SHOWN,
    GROUPS,
    PAIRS,
    PARAMETERS,
    UNITS,
    number,
    side_name,
    span,
    title_of,
)
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.skeleton import SIDES

_ELSEWHERE = say("parameters_view.others")


class _Who(TypedDict):
    """What chooses a norm."""

    sex: str
    age: float | None
    aid: str


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """A line of the parameter table; ``refused`` is empty for a value, ``mark`` for one inside its norm.

    ``notes``: what asks for care when reading the value. ``wide``: the interval is wide. ``far``: of
    the limb behind, or compared with it.
    """

    title: str
    definition: str
    value: str
    unit: str
    interval: str
    n: str
    norm: str
    mark: str
    refused: str
    notes: tuple[str, ...] = ()
    wide: bool = False
    far: bool = False


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Lines under one heading."""

    title: str
    rows: tuple[ParameterRow, ...]


@dataclass(frozen=True, slots=True)
class SideValue:
    """One side's value with its interval; ``value`` is empty where it is withheld. ``wide``: the interval is wide."""

    value: str
    interval: str
    n: str
    wide: bool = False


@dataclass(frozen=True, slots=True)
class SidePair:
    """One quantity for both sides, and left less right where both are known."""

    title: str
    unit: str
    left: SideValue
    right: SideValue
    difference: str
    notes: tuple[str, ...]
    far: bool


@dataclass(frozen=True, slots=True)
class Withheld:
    """What is withheld for one reason."""

    reason: str
    titles: str


@dataclass(frozen=True, slots=True)
class ParametersView:
    """Everything about parameters."""

    groups: tuple[ParameterGroup, ...]
    pairs: tuple[SidePair, ...]
    withheld: tuple[Withheld, ...]
    norm_choice: str
    """Whose norms are shown beside the values, or why none."""
    norm_sources: tuple[str, ...]
    far: str
    """What the mark of far limbs means; empty where none is."""


def parameters_view(found: Mapping[str, Parameter], patient: PatientContext, aid: str = "") -> ParametersView:
    """The parameters of an analysis, whichever it has. ``aid``: what the patient walked with."""
    who: _Who = {"sex": patient.sex, "age": patient.age, "aid": aid}
    grouped = {name for names in GROUPS.values() for name in names}
    paired = {f"{stem}_{side}" for stem in PAIRS for side in SIDES}
    others = tuple(name for name in found if name not in grouped | paired)
    groups, sources = [], []
    for title, names in (*GROUPS.items(), (_ELSEWHERE, others)):
        shown = [name for name in names if name in found and _has_line(name, found[name])]
        norms = {name: norm_range(name, **who) for name in shown}
        sources += [norm.citation for norm in norms.values() if norm is not None]
        if shown:
            groups.append(ParameterGroup(title, tuple(_row(name, found[name], norms[name]) for name in shown)))
    pairs = tuple(pair for stem in PAIRS if (pair := _pair(stem, found)) is not None)
    far = next((note.message for one in found.values() for note in one.notes if note.code == _FAR), "")
    cited = tuple(dict.fromkeys(sources))
    return ParametersView(tuple(groups), pairs, _withheld(found), chosen_norm(**who).why, cited, far)


@dataclass(frozen=True, slots=True)
class Headline:
    """One of the values that a reader wants first. ``norm``, ``mark``: as in the table; empty where there is none."""

    title: str
    text: str
    norm: str
    mark: str


def headline(found: Mapping[str, Parameter], patient: PatientContext, aid: str = "") -> tuple[Headline, ...]:
    """The values at the top of the report, each with its norm."""
    shown = []
    for name in _FIRST:
        if (parameter := found.get(name)) is None:
            continue
        title, decimals = PARAMETERS[name]
        norm = norm_range(name, sex=patient.sex, age=patient.age, aid=aid)
        text = say("view.withheld")
        if parameter.value is not None:
            text = f"{number(parameter.value, decimals)} {UNITS.get(parameter.unit, parameter.unit)}".strip()
        told = "" if norm is None else say("parameters_view.norm", norm=_norm_text(norm, decimals))
        shown.append(Headline(title, text, told, _mark(parameter, norm)))
    return tuple(shown)


def surely_beyond(
    found: Mapping[str, Parameter], patient: PatientContext, aid: str = ""
) -> dict[str, tuple[str, ...]] | None:
    """The values that surely lie ``below`` and ``above`` their norms, by name; None where no norm holds for any."""
    norms = {name: norm_range(name, sex=patient.sex, age=patient.age, aid=aid) for name in PARAMETERS if name in found}
    if not any(norm is not None and found[name].value is not None for name, norm in norms.items()):
        return None
    beyond: dict[str, tuple[str, ...]] = {"below": (), "above": ()}
    for name, norm in norms.items():
        where, sure = _beyond(found[name], norm)
        if sure:
            beyond[where] += (PARAMETERS[name][0],)
    return beyond


_FIRST = ("walking_speed", "cadence", "symmetry_index", "double_support_percent")
_FAR, _WIDE = "far-limb", "wide-interval"


def _notes(parameter: Parameter) -> tuple[str, ...]:
    """Without those that would stand at every second line: they are marks."""
    return tuple(note.message for note in parameter.notes if note.code not in (_FAR, _WIDE))


def is_of_the_limb_behind(parameter: Parameter) -> bool:
    """Whether a value carries the caution that it is of the limb behind, or compared with it."""
    return _has(parameter, _FAR)


def _has(parameter: Parameter, code: str) -> bool:
    return any(note.code == code for note in parameter.notes)


def _has_line(name: str, parameter: Parameter) -> bool:
    return parameter.refused is None or name in ALWAYS_SHOWN or name not in PARAMETERS


def _withheld(found: Mapping[str, Parameter]) -> tuple[Withheld, ...]:
    """Parameters without a line of their own, by what the refusal says, the most of them first."""
    titles: dict[str, list[str]] = {}
    for name in (*PARAMETERS, *found):
        parameter = found.get(name)
        if parameter is None or parameter.refused is None or _has_line(name, parameter):
            continue
        said = titles.setdefault(_common(parameter.refused.message, name), [])
        if (title := PARAMETERS[name][0]) not in said:
            said.append(title)
    ordered = sorted(titles.items(), key=lambda item: -len(item[1]))
    return tuple(Withheld(reason, "; ".join(names)) for reason, names in ordered)


def _common(message: str, name: str) -> str:
    """A refusal without the parameter's name at its beginning, so that one reason is one."""
    title = DEFINITIONS[name].title if name in DEFINITIONS else title_of(name)
    return say("norms.it", rest=message.removeprefix(title)) if message.startswith(f"{title} ") else message


def _row(name: str, parameter: Parameter, norm: NormRange | None) -> ParameterRow:
    title, decimals = PARAMETERS.get(name, (title_of(name), 2))
    value = parameter.value if parameter.refused is None else None
    return ParameterRow(
        title=title,
        definition=DEFINITIONS[name].definition if name in DEFINITIONS else "",
        value=number(value, decimals),
        unit=UNITS.get(parameter.unit, parameter.unit),
        interval=_interval(parameter, decimals) if value is not None else "–",
        n=str(parameter.n) if parameter.n else "–",
        norm=_norm_text(norm, decimals),
        mark=_mark(parameter, norm) if value is not None else "",
        refused=parameter.refused.message if parameter.refused is not None else "",
        notes=_notes(parameter),
        wide=_has(parameter, _WIDE),
        far=is_of_the_limb_behind(parameter),
    )


def _interval(parameter: Parameter, decimals: int) -> str:
    if parameter.ci95 is None:
        return "–"
    low, high = parameter.ci95
    return span(number(low, decimals), number(high, decimals))


def _pair(stem: str, found: Mapping[str, Parameter]) -> SidePair | None:
    """Both sides of one quantity; None where neither has a value."""
    both = [found.get(f"{stem}_{side}") for side in SIDES]
    known = [one for one in both if one is not None and one.value is not None]
    if not known:
        return None
    decimals = PARAMETERS[f"{stem}_left"][1]
    values = [one.value if one is not None else None for one in both]
    difference = values[0] - values[1] if values[0] is not None and values[1] is not None else None
    notes = tuple(
        f"{side_name(side).capitalize()}: {text[:1].lower()}{text[1:]}"
        for side, one in zip(SIDES, both, strict=True)
        for text in (_notes(one) if one is not None else ())
    )
    left, right = (_side_value(one, decimals) for one in both)
    unit, far = UNITS.get(known[0].unit, known[0].unit), any(map(is_of_the_limb_behind, known))
    return SidePair(PAIRS[stem], unit, left, right, number(difference, decimals), notes, far)


def _side_value(parameter: Parameter | None, decimals: int) -> SideValue:
    if parameter is None or parameter.value is None:
        return SideValue("", "", "")
    interval = _interval(parameter, decimals)
    return SideValue(number(parameter.value, decimals), interval, str(parameter.n), _has(parameter, _WIDE))


def _norm_text(norm: NormRange | None, decimals: int) -> str:
    if norm is None:
        return "–"
    if norm.low is None:
        return say("parameters_view.up_to", high=number(norm.high, decimals))
    if norm.high is None:
        return say("parameters_view.from", low=number(norm.low, decimals))
    places = decimals if norm.high < 10 else 0
    return span(number(norm.low, places), number(norm.high, places))


def _mark(parameter: Parameter, norm: NormRange | None) -> str:
    where, sure = _beyond(parameter, norm)
    return say(f"parameters_view.{'' if sure else 'perhaps_'}{where}") if where else ""


def _beyond(parameter: Parameter, norm: NormRange | None) -> tuple[str, bool]:
    """On which side of its norm a value lies, and whether it surely does: only where the whole interval lies there."""
    if norm is None or parameter.value is None:
        return "", False
    low, high = parameter.ci95 or (parameter.value, parameter.value)
    if norm.low is not None and parameter.value < norm.low:
        return "below", high < norm.low
    if norm.high is not None and parameter.value > norm.high:
        return "above", low > norm.high
    return "", False
