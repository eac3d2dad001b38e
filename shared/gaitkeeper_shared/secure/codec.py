"""Frozen dataclasses as JSON bytes and back, strictly: known keys, exact types, bounded sizes; bytes as base64."""

from __future__ import annotations

import base64
import dataclasses
import json
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from gaitkeeper_shared.errors import GaitkeeperError

Kind = TypeVar("Kind")
_LONGEST_TEXT = 2_000
LATER = "later"
"""Metadata of a tuple that messages did not always have: an empty one is left out, so that older ones hold it too."""


def pack(value: Any) -> bytes:
    """A dataclass of texts, whole numbers, bytes, tuples, mappings and such dataclasses; equal values, equal bytes."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":")).encode("ascii")


def unpack(kind: type[Kind], data: bytes) -> Kind:
    """The inverse of :func:`pack`. Raises ``round-message-unusable``."""
    try:
        value: Kind = _typed(kind, json.loads(data))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise GaitkeeperError("round-message-unusable", why=f"its {kind.__name__} cannot be read") from error
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, str | int):
        return value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    fields = [(field, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return {field.name: _plain(item) for field, item in fields if not (field.metadata.get(LATER) and item == ())}


def _typed(kind: Any, value: Any) -> Any:
    if kind is bytes:
        return base64.b64decode(_expect(value, str), validate=True)
    if kind is str:
        text = _expect(value, str)
        # It may be printed: no line breaks, no control sequences for terminals.
        if len(text) > _LONGEST_TEXT or not text.isprintable():
            raise ValueError("no plain text")
        return text
    if kind is int:
        return _expect(value, int)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return tuple(_typed(arguments[0], item) for item in _expect(value, list))
    if origin is not None and issubclass(origin, Mapping):
        return {_typed(str, key): _typed(arguments[1], item) for key, item in _expect(value, dict).items()}
    table = _expect(value, dict)
    hints = typing.get_type_hints(kind)
    names = {field.name for field in dataclasses.fields(kind)}
    later = {field.name for field in dataclasses.fields(kind) if field.metadata.get(LATER)}
    if not names - later <= set(table) <= names:
        raise KeyError("unknown or missing keys")
    return kind(**{name: _typed(hints[name], table[name]) for name in table})


def _expect(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} was expected")
    return value
