"""The process that registers a run, with traps: its model stored but no version yet, and a version not yet noted."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from tests.faults.traps import Trap

from gaitkeeper_server.registry.registry import Registry
from gaitkeeper_server.rounds import publish
from gaitkeeper_server.rounds.journal import Journal

WHO = "registry"


def _trapped(owner: type, name: str, moment: str) -> None:
    """Hold the process right before a method."""
    original: Callable[..., Any] = getattr(owner, name)

    @wraps(original)
    def method(*arguments: Any, **named: Any) -> Any:
        Trap(Path(os.environ["FAULTS_FOLDER"]) / "traps", WHO, moment, 1).step_on()
        return original(*arguments, **named)

    setattr(owner, name, method)


def main() -> None:
    """Entry point of the child process."""
    _trapped(Registry, "_ensure_model", "stored")
    _trapped(Journal, "set_published", "versioned")
    publish.main()


if __name__ == "__main__":
    main()
