"""A process that does one chore of a running site, and ends: told on standard input which."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gaitkeeper_client.agent.chores import ChoreName, ChoreState, ChoreStatus, keep_status
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.cli import quiet_environment
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.processes import read_settings

if TYPE_CHECKING:
    from gaitkeeper_client.vault.keys import SiteKey

_FAILED = 1
Done = tuple[ChoreState, str]


def main() -> None:
    """Do what the settings say. Exit status 1: it has to be tried again."""
    given = read_settings()
    os.umask(0o077)
    _step_back()
    quiet_environment()
    from gaitkeeper_client.vault.keys import current_key

    home, name = SiteHome(Path(given["home"])), given["chore"]
    keep(home, name, "running", "")
    try:
        state, detail = _WORK[name](home, current_key(home, given.get("passphrase")))
    except GaitkeeperError as error:
        failed(home, name, str(error))
        sys.exit(_FAILED)
    except Exception as error:
        failed(home, name, type(error).__name__)  # its own words may hold what is a patient's
        raise
    keep(home, name, state, detail)


def failed(home: SiteHome, name: ChoreName, detail: str) -> None:
    """Write down that a chore failed, and why. Raises ``disk-full``."""
    keep(home, name, "failed", detail)


def keep(home: SiteHome, name: ChoreName, state: ChoreState, detail: str) -> None:
    """Write down how a chore stands now. Raises ``disk-full``."""
    keep_status(home, ChoreStatus(name, state, datetime.now(UTC).isoformat(timespec="seconds"), detail))


def _step_back() -> None:
    """Only what nobody else wants of the processor, and one thread of it: a round comes first."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _certify(home: SiteHome, key: SiteKey) -> Done:
    from gaitkeeper_client.explained.at_site import certify_active

    try:
        done = certify_active(home, key=key)
    except GaitkeeperError as error:
        if error.code == "certify-no-release":
            return "nothing", "no release is active"
        raise
    return "done", f"release {done.version}: {done.certificate.status}"


def _send(home: SiteHome, key: SiteKey) -> Done:
    from gaitkeeper_client.exchange.sending import send_due
    from gaitkeeper_client.vault.store import Vault

    with Vault.open(home, key) as vault:
        done = send_due(home, vault)
    counts = {
        "delivered": done.delivered,
        "taken back": done.retracted,
        "to be tried again": done.later,
        "refused": done.refused,
        "no longer there": done.gone,
    }
    told = ", ".join(f"{len(reports)} {word}" for word, reports in counts.items() if reports)
    return ("done", f"{told}. {done.message}".strip()) if told else ("nothing", "nothing waited")


_WORK: Mapping[str, Callable[[SiteHome, SiteKey], Done]] = {"certify": _certify, "send": _send}

if __name__ == "__main__":
    main()
