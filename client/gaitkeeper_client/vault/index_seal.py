"""The seal over the whole index: a keyed hash of each of its bytes, in ``index.seal`` beside it.

SQLite's own check does not notice a changed byte in a row's unused part or in a free page, and a sealed record does not
notice that another record was removed. The seal does. It says ``writing`` for the length of a write, so that a kill in
between is told from damage: then the next opening looks into every record and seals anew.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Literal

from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError

_FORMAT = "gaitkeeper.index-seal/1"
NAME = "index.seal"
State = Literal["sealed", "writing"]


class IndexSeal:
    """The seal of the index in ``folder``; ``key``: derived from the site's key for this alone."""

    def __init__(self, folder: Path, key: bytes, vault_id: str) -> None:
        self.path = folder / NAME
        self._key, self._vault_id = key, vault_id

    def begin(self) -> None:
        """Say that a write is under way, durably."""
        self._write("writing", "-")

    def end(self, image: bytes) -> None:
        """Seal the index as it is now, durably."""
        self._write("sealed", hashlib.sha256(image).hexdigest())

    def state(self) -> State:
        """What the seal says; ``writing`` where there is none yet. Raises ``vault-damaged``."""
        return self._read()[0]

    def holds(self, image: bytes) -> bool:
        """Whether the index is the one that was sealed. Raises ``vault-damaged`` where the seal itself is broken."""
        state, digest = self._read()
        return state == "sealed" and hmac.compare_digest(digest, hashlib.sha256(image).hexdigest())

    def _write(self, state: State, digest: str) -> None:
        write_durably(self.path, self._line(state, digest))

    def _line(self, state: str, digest: str) -> bytes:
        text = f"{_FORMAT} {self._vault_id} {state} {digest}"
        return f"{text} {hmac.digest(self._key, text.encode(), 'sha256').hex()}\n".encode()

    def _read(self) -> tuple[State, str]:
        try:
            line = self.path.read_bytes()
        except FileNotFoundError:
            return "writing", "-"
        parts = line.decode("ascii", errors="replace").split(" ")
        if len(parts) != 5 or parts[2] not in ("sealed", "writing") or self._line(parts[2], parts[3]) != line:
            raise GaitkeeperError("vault-damaged", path=self.path, detail="it is not as it was written")
        return ("sealed" if parts[2] == "sealed" else "writing"), parts[3]
