"""TOML from bytes that may be anything: a table, or ``ValueError`` with words for it. Nothing else escapes."""

from __future__ import annotations

import tomllib
from typing import Any


def table_of(data: bytes) -> dict[str, Any]:
    """The table that ``data`` says. Raises ``ValueError`` for any other bytes, however deep or long."""
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text") from error
    except RecursionError as error:  # the standard library's parser calls itself for each bracket
        raise ValueError("it is nested too deeply") from error
