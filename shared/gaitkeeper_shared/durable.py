"""Durable files whose errors a person can act on: a full disk (or quota) becomes the catalogue's ``disk-full``."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.durable import write_durable

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def full_disk_is_an_error(path: Path) -> Iterator[None]:
    """Turn "no space left" (also a quota or a file size limit) inside the block into ``disk-full``."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise GaitkeeperError("disk-full", path=path, detail=error.strerror) from error
        raise


def make_private_folder(path: Path) -> Path:
    """Create ``path`` and its parents; only the owner may enter the folder itself. Gives ``path`` back."""
    with full_disk_is_an_error(path):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def write_durably(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace ``path`` by ``data`` atomically and durably; on any error the old file stays and nothing is left beside.

    Raises ``disk-full``.
    """
    with full_disk_is_an_error(path):
        write_durable(path, data, mode=mode)


def is_temporary(name: str) -> bool:
    """Whether a file of this name is one that a kill left half-written; its folder's owner may remove it."""
    return name.startswith(".") and name.endswith(".tmp")
