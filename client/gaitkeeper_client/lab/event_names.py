"""What laboratories call a foot strike and a foot off."""

from __future__ import annotations

from collections.abc import Iterable

from gaitkeeper_shared.recording import EventType, GaitEvent, Side

_TYPES: dict[str, EventType] = {
    **dict.fromkeys(("footstrike", "heelstrike", "initialcontact", "hs", "fs", "ic", "on"), "foot_strike"),
    **dict.fromkeys(("footoff", "toeoff", "terminalcontact", "to", "fo", "off"), "foot_off"),
}
_SIDES: dict[str, Side] = {"left": "left", "l": "left", "right": "right", "r": "right"}
_SAME_S = 1e-3


def event_of(label: str, context: str) -> tuple[Side, EventType] | None:
    """Side and type from a label and a context, either of which may be empty or hold both; None for another event.

    ``Foot Strike`` with ``Left``, ``LHS`` alone, and ``RTO`` as a context without a label are all understood.
    """
    words = [_plain(label), _plain(context)]
    for first, second in ((words[0], words[1]), (words[1], words[0])):
        if first in _TYPES and second in _SIDES:
            return _SIDES[second], _TYPES[first]
    for word in words:
        for prefix in ("left", "right", "l", "r"):
            rest = word.removeprefix(prefix)
            if word.startswith(prefix) and rest in _TYPES:
                return _SIDES[prefix], _TYPES[rest]
    return None


def lacks_side(label: str, context: str) -> bool:
    """Whether a label and a context name a foot strike or a foot off and no foot (``Foot Strike`` with ``General``)."""
    return event_of(label, context) is None and (_plain(label) in _TYPES or _plain(context) in _TYPES)


def without_doubles(events: Iterable[GaitEvent]) -> tuple[GaitEvent, ...]:
    """Events in order of time; the same event under two names is kept once."""
    kept: list[GaitEvent] = []
    for event in sorted(events, key=lambda item: (item.time_s, item.side, item.type)):
        same = (
            before
            for before in reversed(kept)
            if (before.side, before.type) == (event.side, event.type) and event.time_s - before.time_s < _SAME_S
        )
        if next(same, None) is None:
            kept.append(event)
    return tuple(kept)


def _plain(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter.isalnum())
