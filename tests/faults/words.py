"""A run's end in one line, to be held against what was expected."""

from __future__ import annotations

from tests.faults.stage import Ended

INCLUDED = "included"


def summary(ended: Ended) -> str:
    """``succeeded``, or the state and who was not included in which round, such as
    ``degraded: round 1 clinic-a failed (update-unusable)``."""
    words = [
        f"round {number} {site} {outcome}"
        for number, outcomes in enumerate(ended.rounds, start=1)
        for site, outcome in sorted(outcomes.items())
        if outcome != INCLUDED
    ]
    return str(ended.record.state) + (": " + "; ".join(words) if words else "")
