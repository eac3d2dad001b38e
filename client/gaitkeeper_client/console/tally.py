"""What became of what was watched, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """``kept``: files handed in, or walks kept. ``skipped``: what was passed over, by the code of the reason."""

    kept: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Count what another one counted, too."""
        self.kept += other.kept
        self.skipped += other.skipped

    def __str__(self) -> str:
        skipped = ", ".join(f"{count} {code}" for code, count in sorted(self.skipped.items()))
        return f"{self.kept} handed in" + (f"; skipped: {skipped}" if skipped else "")
