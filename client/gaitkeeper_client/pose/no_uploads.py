"""MediaPipe's library reports its use to its maker over the network, and offers no way to switch that off.

Found in 1.2.2 (and reported for 0.10.35, google-ai-edge/mediapipe issue 6291): a background thread looks up and calls
``play.googleapis.com``. A clinic's machine must not. The address stands once in the library; in this process's own copy
of that page of memory it is replaced by one that leads nowhere: port 1 of this very machine. The file is not changed. A
test runs an analysis without a network and counts what tried to leave.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from dataclasses import dataclass
from pathlib import Path

from gaitkeeper_shared.errors import GaitkeeperError

REPORTS_TO = b"https://play.googleapis.com/log\0"
NOWHERE = b"http://127.0.0.1:1/".ljust(len(REPORTS_TO) - 1, b"-") + b"\0"


@dataclass(frozen=True, slots=True)
class _Mapping:
    start: int
    end: int
    offset: int
    protection: int


def keep_silent(package: Path) -> None:
    """Silence the library of an installed MediaPipe package. Raises ``pose-reports-home``."""
    for library in sorted((package / "tasks" / "c").glob("*mediapipe.*")):
        if library.suffix in (".so", ".dylib", ".dll"):
            silence(library)


def silence(library: Path) -> None:
    """Load ``library`` and take its address book away. Raises ``pose-reports-home`` where that cannot be done.

    Nothing is to be done where the library does not hold the address. Linux only: elsewhere it is refused.
    """
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        places = _all(data, REPORTS_TO.rstrip(b"\0"))
    if not places:
        return
    if not sys.platform.startswith("linux"):
        raise GaitkeeperError("pose-reports-home", path=library)
    ctypes.CDLL(str(library))
    for place in places:
        _overwrite(library, place)


def _all(data: mmap.mmap, what: bytes) -> list[int]:
    found, at = [], data.find(what)
    while at >= 0:
        found.append(at)
        at = data.find(what, at + 1)
    return found


def _overwrite(library: Path, place: int) -> None:
    mapping = next((m for m in _mappings(library) if m.offset <= place < m.offset + (m.end - m.start)), None)
    if mapping is None:
        raise GaitkeeperError("pose-reports-home", path=library)
    address = mapping.start + place - mapping.offset
    now = ctypes.string_at(address, len(REPORTS_TO))
    if now == NOWHERE:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    page = address - address % mmap.PAGESIZE
    length = ctypes.c_size_t(address + len(NOWHERE) - page)
    writable = mmap.PROT_READ | mmap.PROT_WRITE
    if now != REPORTS_TO or libc.mprotect(ctypes.c_void_p(page), length, writable) != 0:
        raise GaitkeeperError("pose-reports-home", path=library)
    ctypes.memmove(address, NOWHERE, len(NOWHERE))
    libc.mprotect(ctypes.c_void_p(page), length, mapping.protection)


def _mappings(library: Path) -> list[_Mapping]:
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] == str(library.resolve()):
            start, end = (int(text, 16) for text in fields[0].split("-"))
            flags = zip("rwx", (mmap.PROT_READ, mmap.PROT_WRITE, mmap.PROT_EXEC), strict=True)
            protection = sum(flag for letter, flag in flags if letter in fields[1])
            found.append(_Mapping(start, end, int(fields[2], 16), protection))
    return found
