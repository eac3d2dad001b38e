"""The words that people read, by name: English in ``en/*.toml``, other languages beside it or in a file of the site's.

English is complete; another language may lack texts, which then come in English. ``GAITKEEPER_LANGUAGE`` names the
language of a process: that of a folder here (``de``), or a file (``/etc/gaitkeeper/de.toml``), which is held against
the English texts before a word of it is used. Numbers and units are written as in :mod:`..insight.wording`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from markupsafe import Markup

from gaitkeeper_client.language.checked import checked
from gaitkeeper_shared.errors import GaitkeeperError, catalogue

LANGUAGE_VARIABLE = "GAITKEEPER_LANGUAGE"
DEFAULT = "en"
MESSAGES, REMEDIES = "messages", "remedies"
"""Tables of the errors' texts, by their codes; the English ones are those of the catalogue."""
_FILE = ".toml"


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
        return Markup(self.table[name]).format(**values)  # noqa: S704 - ours, or held against ours when it was read

    def group(self, name: str) -> dict[str, str]:
        """All texts of one table of the file, by their names in it."""
        return {key.partition(".")[2]: text for key, text in self.table.items() if key.partition(".")[0] == name}

    def has(self, name: str) -> bool:
        """Whether there is a text of this name."""
        return name in self.table


def texts(language: str | None = None) -> Texts:
    """The texts of a language; of one that is not there, English. ``None``: what the environment says.

    Raises ``language-file`` for a file that cannot be used.
    """
    wanted = language or os.environ.get(LANGUAGE_VARIABLE) or DEFAULT
    if wanted.endswith(_FILE):
        return _texts_of(Path(wanted))
    name = wanted.split(".")[0].split("_")[0].lower()
    return _texts(name if name in languages() else DEFAULT)


def say(name: str, /, **values: object) -> str:
    """A text of the language that this process speaks, filled in."""
    return texts()(name, **values)


def say_all(group: str) -> dict[str, str]:
    """All texts of one table of the file, in the language that this process speaks."""
    return texts().group(group)


def worded(value: str) -> str:
    """What is kept as a code or comes from a list (``front-or-rear``, ``female``), in words; anything else as it is."""
    key = value.strip().lower().replace(" ", "_").replace("-", "_")
    return texts().table.get(f"coded.{key}", value)


@cache
def languages() -> frozenset[str]:
    """The languages that there are."""
    folder = resources.files("gaitkeeper_client.language")
    return frozenset(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("_"))


@cache
def _texts(language: str) -> Texts:
    return Texts(language, {**_english(), **(_read(language) if language != DEFAULT else {})})


@cache
def _texts_of(file: Path) -> Texts:
    english = _english()
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
        found = checked(file.name.removesuffix(_FILE), tables, english)
    except (OSError, ValueError) as error:
        raise GaitkeeperError("language-file", path=file, detail=error) from error
    return Texts(file.name.split(".")[0].split("_")[0].lower(), {**english, **found})


@cache
def _english() -> dict[str, str]:
    """What stands in the files, and the errors' texts."""
    found = _read(DEFAULT)
    for code, entry in catalogue().items():
        found |= {f"{MESSAGES}.{code}": entry.message, f"{REMEDIES}.{code}": entry.remedy}
    return found


def _read(language: str) -> dict[str, str]:
    folder = resources.files("gaitkeeper_client.language") / language
    found: dict[str, str] = {}
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if file.name.endswith(_FILE):
            for group, rows in tomllib.loads(file.read_text("utf-8")).items():
                found |= {f"{group}.{name}": text for name, text in rows.items()}
    return found
