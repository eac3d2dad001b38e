"""One service on one home: a lock file that its holder's death releases, with the holder's process id in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from gaitkeeper_shared.accounts import name_or_number
from gaitkeeper_shared.durable import make_private_folder
from gaitkeeper_shared.errors import GaitkeeperError

_WITHIN_S = 1.0


def is_held(lock: Path) -> bool:
    """Whether somebody holds the lock now."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def hold(lock: Path, home: Path, taken: str) -> Iterator[None]:
    """Hold the lock until the block ends. Raises the catalogue error ``taken`` (home, pid) where another does, and
    ``home-of-another`` to root in a folder of somebody else's, who could not read what a service of root's leaves."""
    if os.geteuid() == 0 and home.exists() and (owner := home.stat().st_uid) != 0:
        raise GaitkeeperError("home-of-another", home=home, owner=name_or_number(owner))
    make_private_folder(lock.parent)
    with lock.open("a+", encoding="ascii") as file:
        deadline = time.monotonic() + _WITHIN_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                # Who only asks whether a service runs holds the lock for a moment.
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                file.seek(0)
                raise GaitkeeperError(taken, home=home, pid=file.read().strip() or "?") from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
