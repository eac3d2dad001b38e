"""How a process of the console begins: told on standard input what it is for, and ending with whoever started it."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.settings import console_settings
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.keys import current_key
from gaitkeeper_shared.processes import read_settings


@dataclass(frozen=True, slots=True)
class Begun:
    """``given``: what else this process was told. ``stop``: set when it is to end."""

    console: Console
    given: Mapping[str, Any]
    stop: threading.Event


def begin() -> Begun:
    """Read what this process is told, and open the site."""
    given = read_settings()
    os.umask(0o077)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    home = SiteHome(Path(given["home"]))
    console = Console.of(home, current_key(home, given.get("passphrase")), console_settings(home))
    return Begun(console, given, stop)


def let_go_of_memory() -> None:
    """Give back to the system what an analysis leaves in pieces: the C library keeps it for a process that lives on.

    Measured over some twenty short videos in one process: without, it grows from 350 to 690 MiB; with, to 420.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return  # another C library than glibc


def told(home: SiteHome, passphrase: str | None, **more: str) -> dict[str, str]:
    """What :func:`begin` reads. The passphrase of a sealed key goes this way, never on a command line."""
    return {"home": str(home.path), **more} | ({} if passphrase is None else {"passphrase": passphrase})
