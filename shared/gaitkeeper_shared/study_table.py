"""A study's table into frozen dataclasses, strictly: every key is known, every value is of its field's type."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from gaitkeeper_shared.errors import GaitkeeperError


def build(kind: type[Any], table: Mapping[str, Any], prefix: str) -> Any:
    """A dataclass of ``kind`` from a table, its tables within too. Raises ``study-*`` naming the key."""
    hints = typing.get_type_hints(kind)
    known = {item.name: item for item in dataclasses.fields(kind)}
    for key in table:
        if key not in known:
            raise GaitkeeperError("study-unknown-key", key=prefix + key, known=", ".join(sorted(known)))
    values = {}
    for name, item in known.items():
        if name in table:
            values[name] = _convert(hints[name], table[name], prefix + name)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise GaitkeeperError("study-missing-key", key=prefix + name)
    return kind(**values)


def _convert(hint: Any, value: Any, key: str) -> Any:
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        require(isinstance(value, dict), key, value, "a table is expected here")
        return build(hint, value, f"{key}.")
    if origin is Literal:
        choices = typing.get_args(hint)
        require(value in choices, key, value, f"it must be one of {', '.join(map(repr, choices))}")
        return value
    if hint == tuple[float, ...]:
        numbers = isinstance(value, list) and all(type(item) in (int, float) for item in value)
        require(numbers, key, value, "a list of numbers is expected")
        return tuple(float(item) for item in value)
    if origin is tuple:
        require(
            isinstance(value, list) and all(isinstance(item, str) for item in value),
            key,
            value,
            "a list of texts is expected",
        )
        return tuple(value)
    if origin is not None and issubclass(origin, Mapping):
        texts = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
        require(texts, key, value, "a table of texts is expected")
        return types.MappingProxyType(dict(value))
    if hint is float:
        require(isinstance(value, int | float) and not isinstance(value, bool), key, value, "a number is expected")
        return float(value)
    require(type(value) is hint, key, value, f"a value of type {hint.__name__} is expected")
    return value


def require(condition: bool, key: str, value: Any, why: str) -> None:
    """Return only where ``condition`` holds. Raises ``study-bad-value``."""
    if not condition:
        raise GaitkeeperError("study-bad-value", key=key, value=value, why=why)
