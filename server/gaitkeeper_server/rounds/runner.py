"""The process that conducts one run: a Flower ServerApp against the coordinator's own SuperLink.

It exits with 0 when the run is over or paused, with 75 when it has to be started again over what passes (the SuperLink
was away, a disk was full), with anything else where something is wrong with the run itself or with this program;
whatever ends it, the journal tells the next one where to go on.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gaitkeeper_shared.cli import quiet_environment
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.processes import read_settings

if TYPE_CHECKING:
    from gaitkeeper_server.rounds.flower_task import OperatorAccess
    from gaitkeeper_server.rounds.journal import Journal
    from gaitkeeper_server.rounds.roster import Roster
    from gaitkeeper_shared.secure.identity import Membership

EXIT_AGAIN = 75
_EXIT_STUCK = 1
_FRESH_STARTS = 3
_BACK_WITHIN_S = 30.0
_log = logging.getLogger("gaitkeeper.rounds")


def conduct(
    journal_path: Path,
    run: str,
    operator_port: int,
    operator_secret: str,
    lock: Path,
    sign: Path,
    *,
    pause_s: float = 30.0,
) -> int:
    """Conduct ``run`` until it is over or paused. Returns the exit status of the process.

    ``sign``: the file where it leaves signs of life. ``pause_s``: before it ends over a disk that is busy or full.
    """
    from gaitkeeper_server.home import CoordinatorHome
    from gaitkeeper_server.rounds.control import PASSING
    from gaitkeeper_server.rounds.control_watch import leave_sign, with_signs
    from gaitkeeper_server.rounds.flower_task import OperatorAccess
    from gaitkeeper_server.rounds.journal import Journal
    from gaitkeeper_server.rounds.members import roster_of_members
    from gaitkeeper_server.store import CoordinatorStore
    from gaitkeeper_shared.secure.identity import Membership
    from gaitkeeper_shared.trust.certificates import load_certificate

    leave_sign(sign)
    try:
        journal = Journal(journal_path)
        record = journal.run(run)
        if record.state.terminal or record.paused_itself:
            return 0
        home = CoordinatorHome(journal_path.parent)
        access = OperatorAccess(operator_port, operator_secret, lock)
        study, _ = journal.study(run)
        roster = with_signs(roster_of_members(study, CoordinatorStore(home.store).enrolled_sites), sign)
        return _until_over(journal, run, access, Membership(load_certificate(home.root_certificate)), roster)
    except GaitkeeperError as error:
        _log.warning("the run %s is to be resumed: %s", run, error)
        if error.code not in PASSING:
            return _EXIT_STUCK
        if error.code != "timeout":
            time.sleep(pause_s)
    except OSError as error:
        # A read-only disk, no more files: this machine's trouble, not the run's.
        _log.warning("the run %s is to be resumed: %s", run, error)
        time.sleep(pause_s)
    return EXIT_AGAIN


def _until_over(journal: Journal, run: str, access: OperatorAccess, membership: Membership, roster: Roster) -> int:
    """Conduct, and go on where the SuperLink was started anew meanwhile: a new process would take seconds."""
    import httpx
    from flwr.supercore.run import RunNotRunningException

    from gaitkeeper_server.rounds.app import make_server_app
    from gaitkeeper_server.rounds.flower_task import flower_task
    from gaitkeeper_server.rounds.states import RunState

    for _ in range(_FRESH_STARTS):
        try:
            with flower_task(access, run) as (grid, context):
                make_server_app(journal, run, roster=roster, wire=True, membership=membership)(grid, context)
            state = journal.run(run).state
            return 0 if state.terminal or state is RunState.PAUSED else EXIT_AGAIN
        except (httpx.HTTPError, RunNotRunningException) as error:
            # A run that ended as failed is no exception here; this is trouble between two processes of this machine.
            _log.warning("the run %s is to be resumed: %s: %s", run, type(error).__name__, error)
            if not _listens(access.port):
                return EXIT_AGAIN
    # It was there each time, and would not have it.
    return _EXIT_STUCK


def _listens(port: int) -> bool:
    """Whether the SuperLink listens again within a while."""
    until = time.monotonic() + _BACK_WITHIN_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
        time.sleep(0.1)
    return False


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
        Path(settings["sign"]),
    )
    sys.exit(status)


if __name__ == "__main__":
    main()
