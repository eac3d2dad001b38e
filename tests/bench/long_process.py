"""``gaitkeeper analyze`` as in :mod:`tests.bench.analyze_process`, with its memory while it looks at a long video.

Where a progress bar would be, its memory is noted in ``memory.json`` in the folder of the results: rows of frames done,
resident MiB and highest resident MiB so far. Nothing else is changed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import analyze_process
from tests.bench.video import peak_mib, resident_mib

import gaitkeeper_client.cli.output as output

EVERY = 300
"""Frames between two rows."""


def run() -> None:
    """Run the command as its user does."""
    rows: list[tuple[int, float, float]] = []

    @contextmanager
    def noted(_: str) -> Iterator[Callable[[int, int], None]]:
        yield lambda done, _: rows.append((done, resident_mib(), peak_mib())) if done % EVERY == 1 else None

    output.progress = noted  # type: ignore[assignment]  # the same for its caller
    analyze_process.run()
    Path(sys.argv[sys.argv.index("--output") + 1], "memory.json").write_text(json.dumps(rows), "utf-8")


if __name__ == "__main__":
    run()
