"""The words of pages, by name, from one TOML file per language (``locale/en.toml``).

English is complete; another language is one more file, and may lack texts, which then come in English.
``GAITKEEPER_LANGUAGE`` names the language of a page that does not say; the console's pages are in it, too. Numbers and
units are written as in :mod:`.wording`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from markupsafe import Markup

LANGUAGE_VARIABLE = "GAITKEEPER_LANGUAGE"
DEFAULT = "en"


@dataclass(frozen=True, slots=True)
class Texts:
    """One language's texts over English. ``texts(name, **values)`` fills a text in; an unknown name is a KeyError."""

    language: str
    table: Mapping[str, str]

    def __call__(self, name: str, /, **values: object) -> str:
        """The text of this name with ``values`` in its braces."""
        text = self.table[name]
        return text.format(**values) if values else text

    def marked(self, name: str, /, **values: object) -> Markup:
        """A text that holds marks of HTML, as ours may, for a page; ``values`` are escaped."""
        return Markup(self.table[name]).format(**values)  # noqa: S704 - the catalogue is part of the installation

    def group(self, name: str) -> dict[str, str]:
        """All texts of one table of the file, by their names in it."""
        return {key.partition(".")[2]: text for key, text in self.table.items() if key.partition(".")[0] == name}

    def has(self, name: str) -> bool:
        """Whether there is a text of this name."""
        return name in self.table


def texts(language: str | None = None) -> Texts:
    """The texts of a language; of one that is not there, English. ``None``: what the environment says."""
    wanted = (language or os.environ.get(LANGUAGE_VARIABLE) or DEFAULT).split(".")[0].split("_")[0].lower()
    return _texts(wanted if wanted in languages() else DEFAULT)


def say(name: str, /, **values: object) -> str:
    """A text of the language that this process speaks, filled in."""
    return texts()(name, **values)


def say_all(group: str) -> dict[str, str]:
    """All texts of one table of the file, in the language that this process speaks."""
    return texts().group(group)


@cache
def languages() -> frozenset[str]:
    """The languages that there are."""
    names = (entry.name for entry in (resources.files("gaitkeeper_client.insight") / "locale").iterdir())
    return frozenset(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


@cache
def _texts(language: str) -> Texts:
    return Texts(language, {**_read(DEFAULT), **_read(language)})


def _read(language: str) -> dict[str, str]:
    file = resources.files("gaitkeeper_client.insight") / "locale" / f"{language}.toml"
    tables = tomllib.loads(file.read_text("utf-8"))
    return {f"{group}.{name}": text for group, rows in tables.items() for name, text in rows.items()}
