"""A process that analyses queued recordings, one after another, until the console ends it or its parent dies.

Started by the console with its settings on standard input; the passphrase of a sealed key comes that way, too.
"""

from __future__ import annotations

import os
import secrets
import threading

from gaitkeeper_client.console.child import begin, let_go_of_memory
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.jobs import Job
from gaitkeeper_client.console.processing import process
from gaitkeeper_client.vault.workers import JOB_DEADLINE_S
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.single import hold

IDLE_S = 0.3
_LATE = 3


def main() -> None:
    """Work until SIGTERM."""
    begun = begin()
    worker, home = f"console-worker-{secrets.token_hex(6)}", begun.console.home
    lock = home.run / f"{worker}.lock"
    with hold(lock, home.path, "console-running"):
        try:
            work(begun.console, worker, begun.stop)
        finally:
            lock.unlink(missing_ok=True)


def work(console: Console, worker: str, stop: threading.Event, *, until_empty: bool = False) -> None:
    """Take jobs and do them. ``until_empty``: return when none waits, instead of waiting for the next."""
    while not stop.is_set():
        job = console.queue.take(worker)
        if job is None:
            if until_empty:
                return
            stop.wait(IDLE_S)
            continue
        late = _watch(console, job)
        try:
            process(console, job)
        finally:
            late.cancel()
            let_go_of_memory()


def _watch(console: Console, job: Job) -> threading.Timer:
    """A recording that takes for ever ends with this process; the console starts another one."""

    def end() -> None:
        error = GaitkeeperError("console-job-late", minutes=JOB_DEADLINE_S / 60.0)
        console.queue.end(job.id, "failed", error=error)
        os._exit(_LATE)

    timer = threading.Timer(JOB_DEADLINE_S, end)
    timer.daemon = True
    timer.start()
    return timer


if __name__ == "__main__":
    main()
