"""Files that leave for other systems: whole or not at all, for the owner's eyes."""

from __future__ import annotations

from pathlib import Path

from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError


def write_file(path: Path, data: bytes) -> None:
    """Write a file durably; only its owner may read it. Raises ``exchange-unwritable``, ``disk-full``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, data)
    except OSError as error:
        raise GaitkeeperError("exchange-unwritable", path=path, detail=error.strerror or str(error)) from error
