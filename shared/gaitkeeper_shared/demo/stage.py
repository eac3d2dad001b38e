"""Runs the demo's commands and servers, as a person would type them, and ends every process it started."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console

from gaitkeeper_shared.errors import GaitkeeperError

_POLL_S = 0.1
_END_S = 15.0
READY = "ready"
"""The word by which a server of ours says, on a line of its output, that it may be talked to."""


class Stage:
    """A folder with logs, the commands that ran and the servers that still run. Use it as a context manager."""

    def __init__(self, folder: Path, console: Console) -> None:
        self.folder = folder
        self.console = console
        self._logs = folder / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._servers: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._count = 0
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_servers()

    def tell(self, headline: str, text: str) -> None:
        """A step of the story."""
        self.console.print(f"\n[bold cyan]{headline}[/]")
        self.console.print(text)

    def _start(self, arguments: Sequence[str]) -> tuple[subprocess.Popen[bytes], Path, str]:
        shown = "gaitkeeper " + shlex.join(arguments)
        self.console.print(f"  [dim]$ {shown}[/]", highlight=False, soft_wrap=True)
        self._count += 1
        log = self._logs / f"{self._count:02d}-{'-'.join(word for word in arguments[:2] if word.isalpha())}.log"
        command = [sys.executable, "-m", "gaitkeeper_shared.cli", *arguments]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "120"},
            )
        return process, log, shown

    def run(self, *arguments: str, deadline_s: float = 120.0) -> str:
        """Run one command to its end and return its output. Raises ``demo-step-failed`` or ``timeout``."""
        return self.run_together([arguments], deadline_s=deadline_s)[0]

    def run_together(self, commands: Sequence[Sequence[str]], *, deadline_s: float = 120.0) -> list[str]:
        """Run several commands at the same time, as three clinics would; their outputs, in order."""
        started = [self._start(arguments) for arguments in commands]
        deadline = time.monotonic() + deadline_s
        outputs = []
        try:
            for process, log, shown in started:
                try:
                    status = process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired as error:
                    hint = f"Its output so far is in {log}."
                    raise GaitkeeperError("timeout", what=f"'{shown}'", seconds=deadline_s, hint=hint) from error
                output = log.read_text("utf-8", errors="replace")
                if status != 0:
                    detail = " ".join(output.strip().splitlines()[-3:])
                    raise GaitkeeperError("demo-step-failed", command=shown, status=status, detail=detail, log=log)
                outputs.append(output)
        finally:
            for process, _, _ in started:
                if process.poll() is None:
                    process.terminate()
                _end(process)
        return outputs

    def serve(self, *arguments: str, deadline_s: float = 90.0) -> None:
        """Start a server and wait for its ready line. It ends with the stage."""
        self.serve_together([arguments], deadline_s=deadline_s)

    def serve_together(self, commands: Sequence[Sequence[str]], *, deadline_s: float = 90.0) -> None:
        """Start several servers at the same time and wait until each says that it is ready."""
        started = [self._start(arguments) for arguments in commands]
        self._servers += [(shown, process) for process, _, shown in started]
        deadline = time.monotonic() + deadline_s
        for process, log, shown in started:
            while not _says_ready(log):
                if process.poll() is not None:
                    what = f"ended with status {process.returncode} before it was ready"
                    raise GaitkeeperError("demo-server-not-ready", command=shown, what=what, log=log)
                if time.monotonic() > deadline:
                    what = f"was not ready within {deadline_s:.0f} s"
                    raise GaitkeeperError("demo-server-not-ready", command=shown, what=what, log=log)
                time.sleep(_POLL_S)

    def end_servers(self) -> None:
        """Ask every server to end, the last started first, and see to it that it does."""
        for _, process in reversed(self._servers):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for _, process in reversed(self._servers):
            _end(process)
        self._servers.clear()


def _says_ready(log: Path) -> bool:
    text = log.read_text("utf-8", errors="replace").lower()
    return any(READY in line.split() or f"{READY}." in line.split() for line in text.splitlines())


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait a while for a process that was asked to end; then kill its whole session, so that no child stays."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    try:
        os.killpg(process.pid, signal.SIGKILL)  # the session's id is the first process'
    except ProcessLookupError:
        return
    process.wait(_END_S)
