"""The process of ``gaitkeeper analyze --json VIDEO --output FOLDER``; prints its own peak memory in MiB at the end."""

from __future__ import annotations

import sys

from tests.bench.video import peak_mib

from gaitkeeper_shared.cli import main


def run() -> None:
    """Run the command as its user does."""
    recording, folder = sys.argv[1:]
    sys.argv = ["gaitkeeper", "analyze", recording, "--height", "1.70", "--output", folder, "--json"]
    try:
        main()
    except SystemExit as stop:
        if stop.code:
            raise
    print(peak_mib())


if __name__ == "__main__":
    run()
