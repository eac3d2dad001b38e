"""What the system tells of a process (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path


def status_of(pid: int) -> dict[str, str]:
    """The lines of its status by name. Raises OSError where it is gone."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii", errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines)


def memory_mib(pid: int, what: str = "VmRSS") -> float:
    """Its memory: ``VmRSS`` resident, ``VmHWM`` at the most so far. Raises OSError or KeyError where it has ended."""
    return int(status_of(pid)[what].split()[0]) / 1024


def processor_s(pid: int) -> float:
    """Seconds of the processor that it has used. Raises OSError where it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
