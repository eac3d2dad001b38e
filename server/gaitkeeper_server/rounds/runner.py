"""The process that conducts one run: a Flower ServerApp against the coordinator's own SuperLink.

It exits with 0 when the run is in a terminal state, with 75 when it has to be started again (the SuperLink was away);
whatever ends it, the journal tells the next one where to go on.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from gaitkeeper_shared.cli import quiet_environment
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.processes import read_settings

EXIT_AGAIN = 75
_log = logging.getLogger("gaitkeeper.rounds")


def conduct(
    journal_path: Path, run: str, operator_port: int, operator_secret: str, lock: Path, *, pause_s: float = 30.0
) -> int:
    """Conduct ``run`` to its end. Returns the exit status of the process.

    ``pause_s``: before it ends over a disk that is busy or full.
    """
    import httpx
    from flwr.supercore.run import RunNotRunningException

    from gaitkeeper_server.home import CoordinatorHome
    from gaitkeeper_server.rounds.app import make_server_app
    from gaitkeeper_server.rounds.flower_task import OperatorAccess, flower_task
    from gaitkeeper_server.rounds.journal import Journal
    from gaitkeeper_shared.secure.identity import Membership
    from gaitkeeper_shared.trust.certificates import load_certificate

    access = OperatorAccess(operator_port, operator_secret, lock)
    try:
        journal = Journal(journal_path)
        if journal.run(run).state.terminal:
            return 0
        with flower_task(access) as (grid, context):
            root = load_certificate(CoordinatorHome(journal_path.parent).root_certificate)
            make_server_app(journal, run, wire=True, membership=Membership(root))(grid, context)
        return 0 if journal.run(run).state.terminal else EXIT_AGAIN
    except (httpx.HTTPError, RunNotRunningException, GaitkeeperError) as error:
        # A run that ended as failed is no exception here; this is trouble between two processes of this machine.
        _log.warning("the run %s is to be resumed: %s: %s", run, type(error).__name__, error)
        if isinstance(error, GaitkeeperError) and error.code == "journal-unavailable":
            time.sleep(pause_s)
        return EXIT_AGAIN


def main() -> None:
    """Entry point of the child process."""
    quiet_environment()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("httpx", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # flwr prints by a handler of its own.
    logging.getLogger("flwr").propagate = False
    settings = read_settings()
    status = conduct(
        Path(settings["journal"]),
        settings["run"],
        settings["operator_port"],
        settings["operator_secret"],
        Path(settings["lock"]),
    )
    sys.exit(status)


if __name__ == "__main__":
    main()
