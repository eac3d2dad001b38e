"""What the audit log saw of clinicians and their statements: a second witness beside the vault.

A clinician's signature holds for as long as their key is kept somewhere; that they were one when they signed is told by
the order of the log alone, not by the time that a statement says of itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaitkeeper_shared.trust.audit import AuditLog

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome

DECIDING, DECIDED = "report-deciding", "report-decided"
"""Before a statement is kept, and when it is."""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """``keys``: key ids that came as a clinician's. ``withdrawn``: by key id, the line of the log that took it back.

    ``said``: by report and number of a statement, by the SHA-256 of what was about to be kept as that, the line that
    told of it; under no SHA-256 where an older version told none. ``kept``: by report, the highest number that was
    kept.
    """

    keys: frozenset[str]
    withdrawn: Mapping[str, int]
    said: Mapping[tuple[str, int], Mapping[str, int]]
    kept: Mapping[str, int]

    def line_of(self, report: str, number: int, sha256: str) -> int:
        """The line that told of a statement before it was kept; 0 where none did."""
        lines = self.said.get((report, number), {})
        return lines.get(sha256, lines.get("", 0) if set(lines) <= {""} else 0)


def witnessed(home: SiteHome) -> Witnessed:
    """Read the log. Raises ``audit-broken``."""
    keys: set[str] = set()
    withdrawn: dict[str, int] = {}
    said: dict[tuple[str, int], dict[str, int]] = {}
    kept: dict[str, int] = {}
    for entry in AuditLog(home.audit_log).entries():
        if entry.event == "clinician-added":
            keys.add(str(entry.facts.get("key")))
        elif entry.event == "clinician-withdrawn":
            withdrawn.setdefault(str(entry.facts.get("key")), entry.sequence)
        elif entry.event in (DECIDING, DECIDED):
            report, number = str(entry.facts.get("report")), entry.facts.get("statement")
            if not isinstance(number, int):
                continue
            lines = said.setdefault((report, number), {})
            if entry.event == DECIDING or not lines:  # an older version told when it was kept, and no SHA-256
                lines.setdefault(str(entry.facts.get("sha256", "")), entry.sequence)
            if entry.event == DECIDED:
                kept[report] = max(number, kept.get(report, 0))
    return Witnessed(frozenset(keys), withdrawn, said, kept)
