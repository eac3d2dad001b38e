"""The error catalogue: every error that a person may meet has a code, a message, a remedy and an exit status.

The entries are data (``catalogue/*.toml``, one file per concern), so that the help page, the tests and later a
translation read the same table. Code raises ``GaitkeeperError("code", name=value, ...)``; an unknown code or a missing
value is a programming error and raises ``KeyError`` at once.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

EXIT_OK = 0
EXIT_BAD_INPUT = 2
"""What was given cannot be used: no such file, a broken study, a wrong passphrase."""
EXIT_REFUSED = 3
"""The input was understood and a result withheld on purpose, with reasons."""
EXIT_FAILED = 4
"""Something that should have worked did not: a full disk, a server out of reach, a deadline passed."""


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One row of the catalogue; ``message`` and ``remedy`` are ``str.format`` templates."""

    code: str
    message: str
    remedy: str
    exit_status: int


@cache
def catalogue() -> dict[str, CatalogueEntry]:
    """Every entry by its code. Raises ``ValueError`` where two files define one code."""
    entries: dict[str, CatalogueEntry] = {}
    folder = resources.files("gaitkeeper_shared") / "catalogue"
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if not file.name.endswith(".toml"):
            continue
        for code, row in tomllib.loads(file.read_text("utf-8")).items():
            if code in entries:
                raise ValueError(f"{file.name} defines {code!r} a second time")
            entries[code] = CatalogueEntry(code, row["message"], row["remedy"], int(row["exit"]))
    return entries


class GaitkeeperError(Exception):
    """An error of the catalogue, with the values that fill its templates.

    ``code`` is stable and may be relied on by programs; ``message`` says what is wrong and why, ``remedy`` what to do.
    """

    def __init__(self, code: str, **values: Any) -> None:
        entry = catalogue()[code]
        self.code = code
        self.values = values
        self.message = entry.message.format(**values)
        self.remedy = entry.remedy.format(**values)
        self.exit_status = entry.exit_status
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process pools; the default would call __init__ with the message as code.
        return (_rebuild, (self.code, self.values))


def _rebuild(code: str, values: dict[str, Any]) -> GaitkeeperError:
    return GaitkeeperError(code, **values)
