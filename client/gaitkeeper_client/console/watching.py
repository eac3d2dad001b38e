"""The running watch: looks at its folders, hands in, lets workers analyse, and keeps its cameras' processes up."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gaitkeeper_client.console.child import told
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.folder import WatchedFolder
from gaitkeeper_client.console.schedule import read_schedule
from gaitkeeper_client.console.serve import working
from gaitkeeper_client.console.settings import camera_source
from gaitkeeper_client.console.tally import Tally
from gaitkeeper_client.console.worker import work
from gaitkeeper_shared.background import in_background
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.processes import ChildSpec, Supervisor
from gaitkeeper_shared.single import hold, is_held


def watch_folders(
    console: Console,
    folders: Sequence[Path],
    schedule: Path,
    say: Callable[[str], object],
    *,
    every_s: float,
    once: bool,
    cameras: Sequence[str] = (),
    passphrase: str | None = None,
) -> Tally:
    """Watch until SIGINT or SIGTERM, or (``once``) until what lies there is analysed; what was done.

    The schedule is read anew at each look. Raises ``schedule-*`` and ``watch-folder`` at the first look; later ones are
    said and passed over, as a share that is away for a while comes back. Raises ``watch-running``, ``camera-unknown``.
    """
    os.umask(0o077)
    stop = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    watched = [WatchedFolder(console, folder) for folder in folders]
    read_schedule(schedule)
    for name in cameras:  # a wrong name ends the command, not a process in the background
        camera_source(console.home, name)
    with (
        hold(console.home.run / "watch.lock", console.home.path, "watch-running"),
        _analysing(console, once, passphrase),
        _cameras(console, cameras, schedule, passphrase),
    ):
        for turn in range(2 if once else 10**12):
            if turn and stop.wait(every_s):
                break
            try:
                slots = read_schedule(schedule)
                done = sum(folder.look(slots) for folder in watched)
            except GaitkeeperError as error:
                if turn == 0:
                    raise
                say(str(error))
                continue
            if done:
                say(f"{done} handed in")
        if once:
            _work_off(console)
    total = Tally()
    for folder in watched:
        total.add(folder.tally)
    return total


@contextlib.contextmanager
def _analysing(console: Console, once: bool, passphrase: str | None) -> Iterator[None]:
    """Workers of our own, where no console keeps some up already."""
    if once or is_held(console.home.run / "console.lock"):
        yield
        return
    with working(console, passphrase):
        yield


@contextlib.contextmanager
def _cameras(console: Console, names: Sequence[str], schedule: Path, passphrase: str | None) -> Iterator[None]:
    """A process for each camera, started again where it dies, for as long as the block lasts."""
    if not names:
        yield
        return
    children = Supervisor()
    for name in names:
        settings = told(console.home, passphrase, camera=name, schedule=str(schedule.absolute()))
        log = console.home.logs / f"camera-{name}.log"
        children.add(ChildSpec(name, "gaitkeeper_client.console.camera_worker", settings, log))

    def keep_up(stop: threading.Event) -> None:
        while not stop.wait(0.2):
            children.tick()
        children.stop()

    with in_background(keep_up, "cameras", patience_s=30.0):
        yield


def _work_off(console: Console) -> None:
    worker = f"console-worker-{secrets.token_hex(6)}"
    lock = console.home.run / f"{worker}.lock"
    with hold(lock, console.home.path, "watch-running"):
        try:
            work(console, worker, threading.Event(), until_empty=True)
        finally:
            lock.unlink(missing_ok=True)
