"""Errors of the catalogue in the language of this process; the English ones stand in the catalogue itself.

A language file may hold them in the tables ``[messages]`` and ``[remedies]``, under the errors' codes.
"""

from __future__ import annotations

from gaitkeeper_client.language.texts import MESSAGES, REMEDIES, texts
from gaitkeeper_shared.errors import GaitkeeperError


def message_of(error: GaitkeeperError) -> str:
    """What is wrong and why, filled in."""
    return texts().table[f"{MESSAGES}.{error.code}"].format(**error.values)


def remedy_of(error: GaitkeeperError) -> str:
    """What to do, filled in."""
    return texts().table[f"{REMEDIES}.{error.code}"].format(**error.values)


def told(error: GaitkeeperError) -> str:
    """Both, as :class:`GaitkeeperError` says itself in English."""
    return f"{message_of(error)} {remedy_of(error)}".strip()
