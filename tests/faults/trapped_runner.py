"""The conductor's process with traps at the states of a round: right after the journal has them, durably."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from tests.faults.traps import Trap

from gaitkeeper_server.rounds import runner
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.states import RoundState


def _trapped(name: str, moment_of: Callable[..., tuple[str, int]]) -> None:
    original = getattr(Journal, name)

    @wraps(original)
    def method(self: Journal, *arguments: Any, **named: Any) -> Any:
        result = original(self, *arguments, **named)
        moment, number = moment_of(*arguments)
        folder = Path(self._path).parent.parent / "traps"
        Trap(folder, "conductor", moment, number).step_on()
        return result

    setattr(Journal, name, method)


def main() -> None:
    """Entry point of the child process."""
    _trapped("open_round", lambda run, number, *_: (str(RoundState.INVITED), number))
    _trapped("record_dispatched", lambda run, number, *_: (str(RoundState.DISPATCHED), number))
    _trapped("set_round_state", lambda run, number, state: (str(state), number))
    _trapped("commit_round", lambda run, number, *_: (str(RoundState.COMMITTED), number))
    runner.main()


if __name__ == "__main__":
    main()
