"""Files that are whole or not there: written beside their place, flushed, renamed, and the folder flushed too."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write_durable(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put ``data`` at ``path`` atomically and durably, with permission bits ``mode`` from the first byte on.

    Raises ``OSError`` (a full or read-only disk); the old file then still stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def write_private(path: Path, data: bytes) -> None:
    """As :func:`write_durable`, readable by the owner alone: for keys."""
    write_durable(path, data, mode=0o600)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
