"""Words that may quote a recording, sealed: a reader says what it stumbled over, and that may be a patient's name.

Whoever may see the recording's job reads them; the console's database and its backups hold them under the site's key.
"""

from __future__ import annotations

import base64

from gaitkeeper_client.vault.keys import SiteKey
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.printable import printable
from gaitkeeper_shared.trust.envelope import SealContext, seal, unseal

LONGEST = 1_000
_MARK = "sealed:"


class SealedWords:
    """Seals and opens the reasons of jobs."""

    def __init__(self, key: SiteKey) -> None:
        self._key = key.identify("console/words")

    def sealed(self, job: str, text: str | None) -> str | None:
        """The text as it is kept, on one line and not too long."""
        if not text:
            return text
        data = printable(text, LONGEST).encode("utf-8")
        return _MARK + base64.b64encode(seal(self._key, data, _context(job))).decode("ascii")

    def opened(self, job: str, kept: str | None) -> str | None:
        """The text again; None where it cannot be opened: the job itself is worth more than its reason."""
        if not kept or not kept.startswith(_MARK):
            return kept
        try:
            sealed = base64.b64decode(kept.removeprefix(_MARK))
            return unseal(self._key, sealed, _context(job), what=f"the reason of {job}").decode("utf-8")
        except (ValueError, GaitkeeperError):
            return None


def _context(job: str) -> SealContext:
    return SealContext("console-words", (job,))
