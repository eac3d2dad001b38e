"""What the operating system calls its users."""

from __future__ import annotations

import pwd


def name_now(uid: int) -> str | None:
    """What the user of a number is called on this machine; None where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return None


def name_or_number(uid: int) -> str:
    """The same for messages: ``uid 1234`` where there is no such user."""
    return name_now(uid) or f"uid {uid}"
