"""Notices processes that hang: alive, and doing nothing. A death is noticed by who started them.

A machine that stood still, was asleep or very busy is no process that hangs. So nothing here compares two times of the
clock: what counts is how often somebody looked, with a pause in between, and saw nothing.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flwr.serverapp import Grid

    from gaitkeeper_server.rounds.roster import Presence, Roster
    from gaitkeeper_shared.study import Study

_LONGEST_STEP_S = 1.0
"""What one look can add to a stillness, however long ago the look before was."""
_LEAST_STILLNESS_S = 600.0
_ASK_EVERY_S, _ASK_WITHIN_S, _ASK_TIMES = 5.0, 15.0, 6
_STARTS_SLOWER = 5


def sign_file(run_folder: Path, name: str) -> Path:
    """Where a conductor leaves its signs of life: the file's time of change."""
    return run_folder / f"{name}.sign"


def leave_sign(path: Path) -> None:
    """Leave a sign of life. Never raises: a disk that cannot take it is not the conductor's fault."""
    with contextlib.suppress(OSError):
        path.touch()


def with_signs(roster: Roster, path: Path) -> Roster:
    """A roster that leaves a sign of life each time somebody asks it who is there: every two seconds in any round."""

    def asked(grid: Grid) -> Mapping[str, Presence]:
        leave_sign(path)
        return roster(grid)

    return asked


def longest_stillness_s(study: Study) -> float:
    """How long the conductor of a run may leave no sign of life before it is taken for one that hangs."""
    federation = study.federation
    return max(_LEAST_STILLNESS_S, federation.deadline_s, federation.stage_deadline_s)


@dataclass(slots=True)
class Stillness:
    """How long a file was not touched, as seen by one who looks again and again."""

    path: Path
    _seen: tuple[object, ...] = ()
    _still_s: float = 0.0
    _looked: float = 0.0

    def look(self, moment: float, life: int) -> float:
        """Look, and say for how many seconds nothing has changed. ``life``: a number for each life of the process."""
        seen = (life, self._touched())
        step = min(moment - self._looked, _LONGEST_STEP_S)
        self._still_s = self._still_s + step if seen == self._seen else 0.0
        self._seen, self._looked = seen, moment
        return self._still_s

    def counts(self) -> bool:
        """Whether the stillness says something of the process: where the file cannot be touched, it begins anew."""
        try:
            self.path.touch()
        except OSError:
            self._still_s = 0.0
            return False
        return True

    def _touched(self) -> int:
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return 0


class Answers:
    """Asks a port of this machine, again and again and in a thread of its own, whether anybody answers there.

    A process that was stopped, or whose loop hangs, still takes connections: its kernel does that. So a line of HTTP is
    asked, and anything that comes back is an answer.
    """

    def __init__(
        self,
        port: int,
        *,
        every_s: float = _ASK_EVERY_S,
        within_s: float = _ASK_WITHIN_S,
        times: int = _ASK_TIMES,
    ) -> None:
        self._port, self._every_s, self._within_s, self._times = port, every_s, within_s, times
        self._missed, self._limit, self._stop = 0, times, threading.Event()

    def start(self) -> None:
        """Begin to ask."""
        threading.Thread(target=self._ask_on, name="superlink-answers", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()

    def hangs(self) -> bool:
        """Whether it was asked that often in vain since it answered last, or since this was said last."""
        if self._missed < self._limit:
            return False
        # One that was started anew takes a while to answer, on a busy machine a long one.
        self._missed, self._limit = 0, self._times * _STARTS_SLOWER
        return True

    def _ask_on(self) -> None:
        while not self._stop.wait(self._every_s):
            asked_at = time.monotonic()
            if answers(self._port, self._within_s):
                self._missed, self._limit = 0, self._times
                continue
            self._missed += 1
            # Nobody listens yet: that is said at once, and has to last as long as a silence to count as one.
            self._stop.wait(max(0.0, asked_at + self._within_s - time.monotonic()))


def answers(port: int, within_s: float) -> bool:
    """Whether whoever listens on a port of this machine answers a line of HTTP with anything at all."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=within_s) as asked:
            asked.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return bool(asked.recv(1))
    except OSError:
        return False
