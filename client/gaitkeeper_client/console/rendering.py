"""The console's pages as HTML: every value is escaped, every asset is ours, every word is the catalogue's."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from gaitkeeper_client.insight.wording import UNITS
from gaitkeeper_client.language.errors import message_of, remedy_of
from gaitkeeper_client.language.texts import texts, worded
from gaitkeeper_shared import __version__


@cache
def _environment() -> Environment:
    folder = resources.files("gaitkeeper_client.console") / "templates"
    environment = Environment(
        loader=FileSystemLoader(str(folder)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = moment
    environment.filters["size"] = size
    environment.filters["worded"] = worded
    environment.filters["message"] = message_of
    environment.filters["remedy"] = remedy_of
    environment.filters["unit"] = lambda unit: UNITS.get(unit, unit)
    words = texts()
    environment.globals.update(version=__version__, words=words, script_words=json.dumps(words.group("script")))
    return environment


def page(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page; ``title``: the name of its text. ``who``: whose rights decide what the navigation shows, or None."""
    values["title"] = texts()(values["title"])
    return HTMLResponse(_environment().get_template(template).render(**values), status)


def moment(text: str | None) -> str:
    """A moment as people read it, in UTC."""
    return "" if not text else f"{text[:10]} {text[11:16]}"


def size(count: int) -> str:
    """A number of bytes."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"
