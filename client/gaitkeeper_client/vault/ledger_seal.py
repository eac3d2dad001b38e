"""What the site's key does for its ledger: a seal on each entry, and sealed updates.

An entry's hash holds all entries before it, so that a keyed hash of it stands for the ledger up to there: who can write
the files and does not have the key can damage them, and put all of them back to how they once were, but write no other
story. The seal's key comes from the identity secret, so that it outlives a rotation of the site's key. Updates, kept in
case an answer is lost, are sealed by a key that is rotated.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gaitkeeper_shared.trust.envelope import SealContext, seal, unseal

if TYPE_CHECKING:
    from gaitkeeper_client.vault.keys import SiteKey

_NAME_BYTES = 8


@dataclass(frozen=True, slots=True)
class LedgerKeys:
    """``entries``: makes the seals of entries; ``replies``: seals what is kept of answers."""

    entries: bytes = field(repr=False)
    replies: bytes = field(repr=False)

    @classmethod
    def of(cls, key: SiteKey) -> LedgerKeys:
        """The keys of a site's ledger."""
        return cls(key.identify("ledger/entries"), key.derive("ledger/replies"))

    def seal_of(self, entry_hash: str) -> str:
        """The seal of the entry with this hash."""
        return hmac.digest(self.entries, entry_hash.encode("ascii"), "sha256").hex()

    def holds(self, entry_hash: str, sealed: str) -> bool:
        """Whether a seal was made by these keys for this entry."""
        return hmac.compare_digest(self.seal_of(entry_hash).encode(), sealed.encode("utf-8", "replace"))

    def sealed_reply(self, content: bytes, part: str, place: tuple[str, str, int]) -> bytes:
        """A part of a kept reply, for its study, run and round alone; the key's name is before it."""
        return self._name + seal(self.replies, content, _context(part, place))

    def opened_reply(self, sealed: bytes, part: str, place: tuple[str, str, int]) -> bytes | None:
        """The inverse; None where it was sealed by another key, before a rotation. Raises ``envelope-damaged``."""
        if not hmac.compare_digest(sealed[:_NAME_BYTES], self._name):
            return None
        return unseal(self.replies, sealed[_NAME_BYTES:], _context(part, place), what="a reply that the ledger keeps")

    @property
    def _name(self) -> bytes:
        return hmac.digest(self.replies, b"name", "sha256")[:_NAME_BYTES]


def _context(part: str, place: tuple[str, str, int]) -> SealContext:
    return SealContext("ledger-reply", (part, place[0], place[1], str(place[2])))
