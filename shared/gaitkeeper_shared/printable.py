"""Texts from elsewhere, made fit for a terminal and a log: without what moves a cursor, and without passwords."""

from __future__ import annotations

import re

_NAMED = re.compile(r"(?<=://)[^/\s]*@")


def printable(text: str, length: int = 500) -> str:
    """``text`` on one line, at most ``length`` characters, with a space for whatever is not printable."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:length])


def without_credentials(text: str) -> str:
    """``text`` with the user and the password taken out of each URL in it, as libraries put them into their errors."""
    return _NAMED.sub("", text)
