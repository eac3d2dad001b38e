"""The running site: Flower's node, the warm executor, the release puller, chores; kept up, and ended together.

Only this process knows the passphrase of a sealed key, and the executor, which gets it over a pipe. A watch on both
children starts what died again; a node whose executor died starts again with it, since it would wait for a reply that
nobody will give: the coordinator asks once more, and the ledger makes the second answer the first one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from gaitkeeper_client.agent.chores import Chores
from gaitkeeper_client.consortium.connection import CoordinatorConnection, KeyFiles
from gaitkeeper_client.vault.home import HOME_VARIABLE, SiteHome
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.ports import free_port
from gaitkeeper_shared.processes import ChildSpec, Supervisor
from gaitkeeper_shared.single import hold, is_held

_TICK_S = 0.1
_PULL_S, _PULL_AWAY_S, _PULL_FULL_S = 2.0, 60.0, 300.0
"""Between questions for orders; the longest pause while nobody answers; on a full disk."""
_RENEW_S = 3600.0
_NODE, _EXECUTOR = "node", "executor"


@dataclass(frozen=True, slots=True)
class CoordinatorContact:
    """How the last call to the coordinator went; ``release``: what became of the newest order."""

    reachable: bool
    at: str
    detail: str
    release: str


def is_running(home: SiteHome) -> bool:
    """Whether the site's service runs now."""
    return is_held(home.run / "site.lock")


def _only_one(home: SiteHome) -> AbstractContextManager[None]:
    """Two services on one home would do everything twice."""
    return hold(home.run / "site.lock", home.path, "site-running")


def backed_off(failures: int) -> float:
    """Seconds to wait after so many failures in a row, the first counted: ever longer, up to a minute."""
    return min(_PULL_S * 2.0 ** min(failures, 10), _PULL_AWAY_S)


class SiteService:
    """The service of one home. ``run`` blocks until ``stop`` is set or a signal comes."""

    def __init__(
        self,
        home: SiteHome,
        say: Callable[[str], None],
        *,
        passphrase: str | None = None,
        application: str = "gaitkeeper_client.training.app:app",
    ) -> None:
        self._home, self._say = home, say
        self._passphrase, self._application = passphrase, application
        self._connection = CoordinatorConnection.load(home)
        self._children = Supervisor(self._write_status)
        self._chores = Chores(home, passphrase)
        self._contact: CoordinatorContact | None = None
        self._ready = {name: home.run / f"{name}.ready" for name in (_NODE, _EXECUTOR)}

    def run(self, stop: threading.Event) -> None:
        """Serve until ``stop``; then end every child."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        # The installed application finds its home there.
        os.environ[HOME_VARIABLE] = str(self._home.path)
        os.umask(0o077)  # for this process and its children: nothing here is anybody else's
        with _only_one(self._home):
            puller = threading.Thread(target=self._pull_releases, args=(stop,), name="releases", daemon=True)
            try:
                self._start_children()
                puller.start()
                self._say(
                    f"Site {self._connection.site} is starting; its coordinator is {self._connection.coordinator}."
                )
                self._watch(stop)
            finally:
                stop.set()
                self._chores.close()
                self._children.stop()
                (self._home.run / "site.json").unlink(missing_ok=True)

    def _start_children(self) -> None:
        for path in self._ready.values():
            path.unlink(missing_ok=True)
        files = KeyFiles(self._home.keys)
        link = {"runtime_port": free_port(), "runtime_secret": secrets.token_hex(32)}
        node = {
            **link,
            "fleet_address": self._connection.fleet_address,
            "root_certificate": str(files.root_certificate),
            "node_key": str(files.node_key),
            "ready": str(self._ready[_NODE]),
            "identity": str(self._home.run / "node.number"),
        }
        executor: dict[str, Any] = {
            **link,
            "application": self._application,
            "audit_log": str(self._home.audit_log),
            "ready": str(self._ready[_EXECUTOR]),
        }
        if self._passphrase is not None:
            executor["passphrase"] = self._passphrase
        logs = self._home.logs
        self._children.add(ChildSpec(_NODE, "gaitkeeper_client.agent.node", node, logs / "node.log"))
        self._children.add(ChildSpec(_EXECUTOR, "gaitkeeper_client.agent.executor", executor, logs / "executor.log"))

    def _watch(self, stop: threading.Event) -> None:
        told = False
        executor_starts = 1
        written = 0.0
        while not stop.wait(_TICK_S):
            self._children.tick()
            self._chores.tick()
            starts = next(child.starts for child in self._children.status() if child.name == _EXECUTOR)
            if starts > executor_starts:
                executor_starts = starts
                self._children.restart(_NODE)
            if not told and all(path.exists() for path in self._ready.values()):
                told = True
                self._say("The site is ready. Stop it with Ctrl-C or SIGTERM.")
            if time.monotonic() - written > 1.0:
                written = time.monotonic()
                self._write_status()

    def _pull_releases(self, stop: threading.Event) -> None:
        """Follow the coordinator's orders and renew the certificate, for as long as the site runs."""
        from gaitkeeper_client.consortium.enrol import renew_if_due
        from gaitkeeper_client.consortium.releases import pull_once

        next_renewal, failures = 0.0, 0
        while not stop.is_set():
            failures += 1
            pause = backed_off(failures)
            try:
                if time.monotonic() >= next_renewal:
                    renew_if_due(self._home)
                    next_renewal = time.monotonic() + _RENEW_S
                outcome = pull_once(self._home)
                words = outcome.state + (f" {outcome.message}" if outcome.message else "")
                self._contact = CoordinatorContact(True, _now(), "", words)
                failures, pause = 0, _PULL_S
            except GaitkeeperError as error:
                self._contact = CoordinatorContact(False, _now(), str(error), "")
                if error.code == "disk-full":  # every try would fetch a whole model for nothing
                    pause = _PULL_FULL_S
            except Exception as error:
                # The puller must not die of what nobody foresaw: the site would miss a roll-back.
                self._contact = CoordinatorContact(False, _now(), type(error).__name__, "")
            # Jitter, so that the sites of a consortium do not come all at once after an outage.
            stop.wait(pause * (0.5 + secrets.randbelow(1000) / 1000))

    def _write_status(self) -> None:
        status = {
            "pid": os.getpid(),
            "at": _now(),
            "ready": all(path.exists() for path in self._ready.values()),
            "children": [asdict(child) for child in self._children.status()],
            "coordinator": asdict(self._contact) if self._contact is not None else None,
        }
        # A full disk must not end the service over what is only to be looked at.
        with contextlib.suppress(OSError, GaitkeeperError):
            write_durably(self._home.run / "site.json", json.dumps(status, indent=1).encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
