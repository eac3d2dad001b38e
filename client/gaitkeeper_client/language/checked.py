"""A language that somebody wrote for their site, held against the English texts: a slip must not break a page at night.

A text may put the values of its English one in another order and leave some out; it may not ask for others. It may use
the marks of HTML that the English one has, and no more: what stands in the file ends in pages.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping
from typing import Any

_CODE = re.compile(r"[a-z]{2,3}")
_MARK = re.compile(r"<[^>]*>?")


def checked(code: str, tables: Mapping[str, Any], english: Mapping[str, str]) -> dict[str, str]:
    """The texts by name, ``group.name``. A ``ValueError`` names the first that cannot be used, and why.

    ``code``: of the language, two or three letters (ISO 639).
    """
    if not _CODE.fullmatch(code):
        raise ValueError("the file is to be called after its language: two or three small letters, such as de.toml")
    found: dict[str, str] = {}
    for group, rows in tables.items():
        if not isinstance(rows, dict):
            raise ValueError(f"{group} stands in no table")
        for name, text in rows.items():
            whole = f"{group}.{name}"
            if whole not in english:
                raise ValueError(f"there is no text {whole}")
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"{whole} is no text")
            _check(whole, text, english[whole])
            found[whole] = text
    return found


def _check(name: str, text: str, english: str) -> None:
    try:
        asked, given = dict(_fields(text)), dict(_fields(english))
    except ValueError as error:
        raise ValueError(f"the braces of {name} do not fit: {error}") from error
    if unknown := sorted(set(asked) - set(given)):
        raise ValueError(f"{name} has no value {{{unknown[0]}}}")
    if other := sorted(field for field, form in asked.items() if form != given[field]):
        raise ValueError(f"{name} writes {{{other[0]}}} otherwise than the English text")
    if foreign := [mark for mark in _MARK.findall(text) if mark not in _MARK.findall(english)]:
        raise ValueError(f"{name} has the mark {foreign[0]}, which its English text has not")


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """The values that a text asks for, each with how it is written: ``!r``, ``:.2f``."""
    for _, field, form, conversion in string.Formatter().parse(text):
        if field is not None:
            yield field, f"{conversion or ''}:{form}"
