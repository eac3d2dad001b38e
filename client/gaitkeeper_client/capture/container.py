"""What a video file's own structure says, before any decoder is asked: is it whole, and what is it?

A decoder shows the first half of a file that was cut off while it was copied without a word. The containers say how
long they should be, so a cut is found exactly and at once. Formats: ISO base media (ISO/IEC 14496-12: MP4, MOV) and
RIFF (AVI); other containers are left to the decoder.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from gaitkeeper_shared.errors import GaitkeeperError

_BLOCK = 1 << 20
_EBML = b"\x1a\x45\xdf\xa3"
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, read in blocks, so that memory does not grow with the file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_folder(path: Path) -> str:
    """One SHA-256 of the files in a folder, their names and contents in order of name; folders in it do not count."""
    digest = hashlib.sha256()
    for file in sorted(item for item in path.iterdir() if item.is_file()):
        digest.update(f"{sha256_of(file)} {file.name}\n".encode())
    return digest.hexdigest()


def looks_like_video(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a common video container."""
    return head[4:8] in _FIRST_BOXES or (head[:4] == b"RIFF" and head[8:11] == b"AVI") or head[:4] == _EBML


def check_there(path: Path) -> os.stat_result:
    """What the system says of a path. Raises ``video-not-found`` or ``video-unreadable`` (a loop of links, a name that
    is too long, a folder that may not be entered)."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise GaitkeeperError("video-not-found", path=path) from error
    except OSError as error:
        raise GaitkeeperError("video-unreadable", path=path, detail=error.strerror or str(error)) from error


def check_exists(path: Path) -> None:
    """Raise ``video-not-found``, ``video-unreadable``, ``not-a-video`` (a folder, a pipe) or ``video-empty``."""
    found = check_there(path)
    if not stat.S_ISREG(found.st_mode):
        raise GaitkeeperError("not-a-video", path=path, detail="it is not a file")
    if found.st_size == 0:
        raise GaitkeeperError("video-empty", path=path)


def check_container(path: Path) -> None:
    """Raise a catalogue error if the file is missing, empty, unreadable or shorter than its own structure says."""
    check_exists(path)
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            head = file.read(16)
            if head[4:8] in _FIRST_BOXES:
                _check_boxes(path, file, size)
            elif head[:4] == b"RIFF" and head[8:11] == b"AVI":
                _check_riff(path, head, size)
    except OSError as error:
        raise GaitkeeperError("video-unreadable", path=path, detail=error.strerror or str(error)) from error


def _check_boxes(path: Path, file: BinaryIO, size: int) -> None:
    offset, found = 0, set()
    while offset + 8 <= size:
        file.seek(offset)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1 and len(header) == 16:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:  # the last box reaches to the end of the file
            length = size - offset
        if length < 8:
            break
        found.add(kind)
        if offset + length > size:
            missing = offset + length - size
            raise GaitkeeperError("video-truncated", path=path, detail=f"its last {missing} bytes are missing")
        offset += length
    if b"moov" not in found:
        raise GaitkeeperError("video-truncated", path=path, detail="its index ('moov') is missing")


def presented_seconds(path: Path) -> float | None:
    """How long an ISO media file says it is shown (edit lists, as a phone's trimming leaves them, shorten it)."""
    with path.open("rb") as file:
        size, offset = path.stat().st_size, 0
        while offset + 8 <= size:
            file.seek(offset)
            header = file.read(16)
            length, kind = int.from_bytes(header[:4], "big"), header[4:8]
            if length == 1:
                length = int.from_bytes(header[8:16], "big")
            if kind == b"moov":
                file.seek(offset)
                return _movie_seconds(file.read(min(length, _BLOCK)))
            if length < 8:
                break
            offset += length
    return None


def _movie_seconds(moov: bytes) -> float | None:
    at = moov.find(b"mvhd")
    if at < 0 or len(moov) < at + 36:
        return None
    wide = moov[at + 4] == 1
    clock = at + 24 if wide else at + 16
    ticks = int.from_bytes(moov[clock : clock + 4], "big")
    duration = int.from_bytes(moov[clock + 4 : clock + (12 if wide else 8)], "big")
    return duration / ticks if ticks and duration else None


def _check_riff(path: Path, head: bytes, size: int) -> None:
    missing = int.from_bytes(head[4:8], "little") + 8 - size
    if missing > 0:
        raise GaitkeeperError("video-truncated", path=path, detail=f"its last {missing} bytes are missing")
