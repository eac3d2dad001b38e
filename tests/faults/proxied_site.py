"""A site's service as ``gaitkeeper site run`` has it, with the application of the fault matrix: HOME is its folder."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from gaitkeeper_client.agent.supervisor import SiteService
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.cli import quiet_environment


def main(folder: Path) -> None:
    """Run until SIGTERM."""
    quiet_environment()
    SiteService(SiteHome(folder), print, application=f"tests.faults.application:{folder.name}").run(threading.Event())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
