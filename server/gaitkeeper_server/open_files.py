"""So many files and connections may a process have open at a time; by habit 1,024, and more where it asks."""

from __future__ import annotations

import resource
from pathlib import Path

SUPERLINK_FILES = 10_200
"""What the process that sites connect to asks for: 10,000 connections, and files of its own."""
SERVICES_FILES = 6_000
"""What the coordinator's own process asks for: its two ports' connections, and files of its own."""


def raise_open_files(wanted: int) -> int:
    """Ask for ``wanted`` open files; how many there may be now, which the system may hold below that."""
    present, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    if present == resource.RLIM_INFINITY or present >= files:
        return wanted if present == resource.RLIM_INFINITY else present
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return files


def most_open_files(pid: int | None = None) -> int | None:
    """How many files a process (this one, if None) could have open once it asks; None: without a bound, or unknown."""
    if pid is None:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return None if most == resource.RLIM_INFINITY else most
    try:
        lines = Path(f"/proc/{pid}/limits").read_text("ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("Max open files"):
            hard = line.split()[4]
            return int(hard) if hard.isdigit() else None
    return None
