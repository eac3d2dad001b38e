"""JSON back into the typed frozen value that it was written from, by the value's own annotations; strict.

Whatever is missing, unknown or of another type is a ``ValueError`` that names the place; the caller turns it into an
error of the catalogue. Arrays of numbers come back as NumPy arrays, with NaN where null was written.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import numpy as np

T = TypeVar("T")


def from_json(kind: type[T], value: Any, where: str = "") -> T:
    """``value`` as a ``kind``, a dataclass. Raises ``ValueError``."""
    return typing.cast("T", _read(kind, value, where or kind.__name__))


def _read(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _union(arguments, value, where)
    if origin is Literal:
        if value not in arguments or type(value) not in {type(item) for item in arguments}:
            raise ValueError(f"{where}: {value!r} is not one of {', '.join(map(repr, arguments))}")
        return value
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is np.ndarray:
        return np.array([np.nan if item is None else _number(item, where) for item in _list(value, where)])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise ValueError(f"{where}: a table was expected")
        return {key: _read(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    return _plain(kind, value, where)


def _plain(kind: Any, value: Any, where: str) -> Any:
    if kind is float:
        return _number(value, where)
    if kind is type(None) and value is None:
        return None
    if kind in (int, str, bool) and type(value) is kind:
        return value
    raise ValueError(f"{where}: {type(value).__name__} where {getattr(kind, '__name__', kind)} was expected")


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{where}: a number was expected")
    return float(value)


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where}: a list was expected")
    return list(value)


def _union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    others = [kind for kind in kinds if kind is not type(None)]
    for kind in others[:-1]:
        try:
            return _read(kind, value, where)
        except ValueError:
            continue
    return _read(others[-1], value, where)


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    items = _list(value, where)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_read(kinds[0], item, f"{where}[{number}]") for number, item in enumerate(items))
    if len(items) != len(kinds):
        raise ValueError(f"{where}: {len(items)} values where {len(kinds)} were expected")
    return tuple(_read(kind, item, where) for kind, item in zip(kinds, items, strict=True))


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: a table was expected")
    hints = _hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind) if item.init}
    if unknown := sorted(set(value) - set(fields)):
        raise ValueError(f"{where}: unknown {', '.join(unknown)}")
    without = (dataclasses.MISSING, dataclasses.MISSING)
    needed = {name for name, item in fields.items() if (item.default, item.default_factory) == without}
    if missing := sorted(needed - set(value)):
        raise ValueError(f"{where}: {', '.join(missing)} missing")
    return kind(**{name: _read(hints[name], item, f"{where}.{name}") for name, item in value.items()})


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
