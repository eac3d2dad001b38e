"""How many threads a piece of work may use."""

from __future__ import annotations

import os


def threads_allowed() -> int:
    """As many as there are cores, or as the environment says: the workers of an ingest have one each."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() and int(said) > 0 else len(os.sched_getaffinity(0))
