"""Child processes that a service keeps alive: started anew with growing pauses, and gone when the service goes.

A child gets its settings, secrets among them, as one JSON line on its standard input, never on a command line or in the
environment. The pipe stays open; when the service dies, even by SIGKILL, the child reads its end and ends too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_STEADY_S = 60.0
"""A child that lived this long has earned its first, short pause again."""
_log = logging.getLogger("gaitkeeper.processes")


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to run: a Python module of ours, its settings, the file that receives its output."""

    name: str
    module: str
    settings: Mapping[str, Any]
    log: Path
    restart: bool = True


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    next_start: float = 0.0
    pause_s: float = _FIRST_PAUSE_S
    starts: int = 0
    last_exit: int | None = None
    ends: Counter[int] = field(default_factory=Counter)
    trouble: str = ""

    @property
    def pid(self) -> int | None:
        """Of its process; None while none runs."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """A child as a status file shows it. ``trouble``: why it cannot be started, empty where it can."""

    name: str
    pid: int | None
    starts: int
    last_exit: int | None
    trouble: str = ""


@dataclass(slots=True)
class Supervisor:
    """Starts children, watches them, restarts them, ends them. Not for use from several threads, but ``stop`` is."""

    on_change: Callable[[], None] = lambda: None
    _children: dict[str, _Child] = field(default_factory=dict)

    def add(self, spec: ChildSpec) -> None:
        """Add a child; it starts at the next ``tick``."""
        self._children[spec.name] = _Child(spec)

    def names(self) -> tuple[str, ...]:
        """The names of all children."""
        return tuple(self._children)

    def remove(self, name: str, *, patience_s: float = 5.0) -> None:
        """End a child and forget it. ``patience_s``: for it to end by itself before it is killed."""
        child = self._children.pop(name, None)
        if child is not None and child.process is not None:
            _end([child.process], patience_s)

    def restart(self, name: str) -> None:
        """Kill a child; it starts again at the next ``tick``."""
        child = self._children[name]
        if child.process is not None:
            _end([child.process], patience_s=0.5)

    def status(self) -> tuple[ChildStatus, ...]:
        """Every child as it is now."""
        return tuple(
            ChildStatus(child.spec.name, child.pid, child.starts, child.last_exit, child.trouble)
            for child in self._children.values()
        )

    def tick(self) -> None:
        """Notice the dead, start what has to run. Call it a few times a second."""
        changed = False
        for child in list(self._children.values()):
            if child.process is not None and child.process.poll() is not None:
                self._bury(child)
                changed = True
            ended = child.last_exit is not None and not child.spec.restart
            if child.process is None and not ended and time.monotonic() >= child.next_start:
                _start_or_wait(child)
                changed = True
        if changed:
            self.on_change()

    def ended(self, name: str) -> int | None:
        """Exit status of a child that is not to be restarted and has ended; None while it runs."""
        child = self._children[name]
        return None if child.process is not None else child.last_exit

    def alive(self, name: str) -> bool:
        """Whether a child runs now."""
        return self._children[name].pid is not None

    def ends(self, name: str) -> Mapping[int, int]:
        """How often a child has ended since it was added, by its exit status (negative: the signal that ended it)."""
        return self._children[name].ends

    def stop(self) -> None:
        """End every child: SIGTERM, a few seconds, SIGKILL."""
        processes = [child.process for child in self._children.values() if child.process is not None]
        self._children.clear()
        _end(processes)

    def _bury(self, child: _Child) -> None:
        assert child.process is not None
        child.last_exit = child.process.returncode
        child.ends[child.last_exit] += 1
        _close_pipe(child.process)
        child.process = None
        lived = time.monotonic() - child.started_at
        child.pause_s = _FIRST_PAUSE_S if lived >= _STEADY_S else min(child.pause_s * 2, _LONGEST_PAUSE_S)
        child.next_start = time.monotonic() + child.pause_s


def _start_or_wait(child: _Child) -> None:
    """Start a child, or try again after a pause: a disk that is full or read-only, files or processes that have run
    out, pass, and the service has other children."""
    try:
        _start(child)
    except OSError as error:
        child.next_start = time.monotonic() + child.pause_s
        child.pause_s = min(child.pause_s * 2, _LONGEST_PAUSE_S)
        if child.trouble != (why := str(error)):
            child.trouble = why
            _log.warning("%s cannot be started: %s. It is tried again.", child.spec.name, why)
        return
    if child.trouble:
        _log.warning("%s could be started again.", child.spec.name)
        child.trouble = ""


def _start(child: _Child) -> None:
    child.spec.log.parent.mkdir(parents=True, exist_ok=True)
    with child.spec.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", child.spec.module],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    child.process, child.started_at, child.starts = process, time.monotonic(), child.starts + 1
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(dict(child.spec.settings)).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        # It died at once; the next tick says so.
        return


def _end(processes: Sequence[subprocess.Popen[bytes]], patience_s: float = 5.0) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + patience_s
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            # One that waits for a disk that does not answer dies when the disk does; it is not waited for.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5.0)
        _close_pipe(process)


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        # What one that died at once never read is still to be written.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def read_settings() -> dict[str, Any]:
    """In a child: its settings; from now on the child ends when the service that started it is gone."""
    # Unbuffered: a thread that waits inside sys.stdin would hold its lock, and Python aborts over that when it ends.
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    settings: dict[str, Any] = json.loads(line)
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    return settings


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    # A graceful end may hang on a peer that is gone as well.
    time.sleep(5.0)
    os._exit(1)
