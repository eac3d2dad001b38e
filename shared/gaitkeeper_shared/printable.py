"""Texts from other machines, made fit for a terminal: what is no printable character could move its cursor or lie."""

from __future__ import annotations


def printable(text: str, length: int = 500) -> str:
    """``text`` on one line, at most ``length`` characters, with a space for whatever is not printable."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:length])
