"""Traps: places in a process where a test holds it, to let a fault happen at exactly that moment.

A trap is a file; the process that comes to its place makes a second file and waits there until the first is gone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

HOLD_S = 90.0
"""A trap that was forgotten lets go after this."""


@dataclass(frozen=True, slots=True)
class Trap:
    """One place: ``who`` comes to ``moment`` of round ``number``."""

    folder: Path
    who: str
    moment: str
    number: int

    @property
    def _armed(self) -> Path:
        return self.folder / f"{self.who}-{self.moment}-{self.number}"

    @property
    def _hit(self) -> Path:
        return self._armed.with_suffix(".hit")

    def arm(self) -> Trap:
        """Set the trap."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._hit.unlink(missing_ok=True)
        self._armed.touch()
        return self

    def hit(self) -> bool:
        """Whether somebody is held there, or was."""
        return self._hit.exists()

    def release(self) -> None:
        """Let go, and hold nobody any more."""
        self._armed.unlink(missing_ok=True)

    def step_on(self) -> None:
        """In the process: come to the place."""
        if not self._armed.exists():
            return
        self._hit.touch()
        deadline = time.monotonic() + HOLD_S
        while self._armed.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
