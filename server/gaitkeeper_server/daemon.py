"""The coordinator's service: keeps the SuperLink and our gRPC services up, and a conductor for every open run.

Whatever dies is started again; what a run has reached is in the journal, so that the same run goes on. The service
itself may be killed too: its children end with it, and the next start finds the runs that were open.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from gaitkeeper_server.enrolment.setup import renew_server_certificate
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.rounds import control
from gaitkeeper_server.rounds.control_watch import Answers, Stillness, longest_stillness_s, sign_file
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.runner import EXIT_AGAIN
from gaitkeeper_server.rounds.states import RunRecord, RunState, Wish
from gaitkeeper_server.services import start_services
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.processes import ChildSpec, Supervisor
from gaitkeeper_shared.single import hold, is_held

_SUPERLINK_DEADLINE_S = 90.0
_TICK_S = 0.1
_FRUITLESS_ENDS = 12
"""Ends of a conductor, with growing pauses, without a round in between, after which its run is paused. Those over what
passes (a disk that is full, a SuperLink that is away) do not count, and are only told."""
_STOP_WITHIN_S = 15.0
"""A conductor heeds an operator's stop within a second, unless it hangs or waits for a SuperLink that does."""
_SUPERLINK, _REGISTRY = "superlink", "registry"
_CONDUCTOR = "gaitkeeper_server.rounds.runner"
_log = logging.getLogger("gaitkeeper.coordinator")
_PORT_WITHIN_S = 8.0
"""The children of a coordinator that was killed end within seconds; until then they hold its ports."""
_PUBLISH_FIRST_S, _PUBLISH_LONGEST_S = 15.0, 3600.0
_PUBLISH_WITHIN_S = 600.0
_PUBLISH_TOLD = 4
"""Fruitless tries to register a run's model after which the operator is told."""


def journal_path(home: CoordinatorHome) -> Path:
    """Where a coordinator's journal lies."""
    return home.path / "journal.sqlite"


def is_running(home: CoordinatorHome) -> bool:
    """Whether a service runs on this home now."""
    return is_held(home.run / "coordinator.lock")


def _only_one(home: CoordinatorHome) -> AbstractContextManager[None]:
    """Two services on one home would do everything twice."""
    return hold(home.run / "coordinator.lock", home.path, "coordinator-running")


@dataclass(slots=True)
class _Conducted:
    """What the service knows of a run's conductor: ``committed`` rounds, and the ends that it had before the last."""

    still: Stillness
    longest_s: float
    committed: int = -1
    fruitless_from: int = 0
    passing_from: int = 0
    told: bool = False
    stop_since: float | None = None


class CoordinatorService:
    """The service of one home. ``run`` blocks until ``stop`` is set or a signal comes."""

    def __init__(self, home: CoordinatorHome, say: Callable[[str], None]) -> None:
        self._home, self._say = home, say
        self._config = home.config()
        self._journal = Journal(journal_path(home))
        self._secret = secrets.token_hex(32)
        self._children = Supervisor(self._write_status)
        self._superlink = Answers(self._config.control_port)
        self._conducted: dict[str, _Conducted] = {}
        self._trouble, self._untold = "", False
        self._publishing: dict[str, tuple[int, float]] = {}
        self._registry_since = 0.0

    def run(self, stop: threading.Event) -> None:
        """Serve until ``stop``; then end every child."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        os.umask(0o077)  # for this process and its children: nothing here is anybody else's
        with _only_one(self._home):
            renew_server_certificate(self._home)
            self._check_ports()
            services = start_services(self._home)
            try:
                self._start_superlink(stop)
                if not stop.is_set():
                    config = self._config
                    self._say(
                        f"Coordinator {config.name}: enrolment {services.enrolment_address}, "
                        f"sites {services.site_address}, Flower {config.bound(config.fleet_port)}."
                    )
                    self._say("The coordinator is ready. Stop it with Ctrl-C or SIGTERM.")
                self._superlink.start()
                while not stop.wait(_TICK_S):
                    self._tick_or_wait()
            finally:
                self._superlink.stop()
                self._children.stop()
                services.stop()
                (self._home.run / "coordinator.json").unlink(missing_ok=True)

    def _check_ports(self) -> None:
        """Flower's ports, before its process is started for nothing. Raises ``port-taken``."""
        config = self._config
        for what, host, port in (
            ("Flower", config.bind, config.fleet_port),
            ("operator's", "127.0.0.1", config.control_port),
        ):
            error = _why_taken(host, port)
            if error is not None:
                raise GaitkeeperError(
                    "port-taken",
                    what=what,
                    address=f"{host}:{port}",
                    detail=error.strerror or error,
                    config=self._home.config_file,
                ) from error

    def _tick_or_wait(self) -> None:
        try:
            self._tick()
            self._trouble = ""
        except (GaitkeeperError, OSError) as error:
            if isinstance(error, GaitkeeperError) and error.code not in control.PASSING:
                raise
            # A busy or full disk passes; the runs are in the journal.
            if str(error) != self._trouble:
                self._trouble = str(error)
                _log.warning("%s", error)
            time.sleep(1.0)

    def _start_superlink(self, stop: threading.Event) -> None:
        ready = self._home.run / "superlink.ready"
        ready.unlink(missing_ok=True)
        log = self._home.logs / "superlink.log"
        settings = {"home": str(self._home.path), "operator_secret": self._secret, "ready": str(ready)}
        self._children.add(ChildSpec(_SUPERLINK, "gaitkeeper_server.rounds.superlink", settings, log))
        # MLflow takes seconds to make its database; a first run should not wait for it.
        if not (self._home.path / "mlflow" / "mlflow.sqlite").exists() and not os.environ.get("MLFLOW_TRACKING_URI"):
            self._start_registry("")
        deadline = time.monotonic() + _SUPERLINK_DEADLINE_S
        while not ready.exists() and not stop.is_set():
            self._children.tick()
            if time.monotonic() > deadline:
                raise GaitkeeperError(
                    "coordinator-part-failed", part="The Flower SuperLink", seconds=_SUPERLINK_DEADLINE_S, log=log
                )
            time.sleep(0.05)

    def _tick(self) -> None:
        self._children.tick()
        if self._untold:
            self._write_status()
        if self._superlink.hangs():
            _log.warning("the SuperLink does not answer; it is ended and started anew")
            self._children.restart(_SUPERLINK)
        for record in self._journal.runs():
            if not record.state.terminal:
                self._tend(record, f"run-{record.run}")
                continue
            self._dismiss(record)
            if record.published:
                self._publishing.pop(record.run, None)
            else:
                self._publish(record)

    def _tend(self, record: RunRecord, name: str) -> None:
        """Do what an operator wants of an open run, also where its conductor cannot, and keep it conducted."""
        conducted = record.run in self._conducted
        at_work = conducted and self._children.alive(name)
        if record.wish is Wish.STOP:
            if not at_work or self._heeds_no_stop(record):
                self._dismiss(record)
                control.stop(self._journal, record.run)
        elif record.state is RunState.PAUSED:
            self._dismiss(record)
        elif record.wish is Wish.PAUSE and not at_work:
            self._dismiss(record)
            control.pause_as_asked(self._journal, record.run)
        elif not conducted:
            self._conduct(record, name)
        else:
            self._watch(record, name)

    def _conduct(self, record: RunRecord, name: str) -> None:
        sign = sign_file(self._home.run, name)
        settings = {
            "journal": str(journal_path(self._home)),
            "run": record.run,
            "operator_port": self._config.control_port,
            "operator_secret": self._secret,
            "lock": str(self._home.run / "claim.lock"),
            "sign": str(sign),
        }
        try:
            study, _ = self._journal.study(record.run)
        except GaitkeeperError as error:
            if error.code in control.PASSING:
                raise
            # Another version's, perhaps: going back to that one mends it.
            control.pause_itself(self._journal, record.run, error.message)
            return
        self._conducted[record.run] = _Conducted(Stillness(sign), longest_stillness_s(study))
        self._children.add(ChildSpec(name, _CONDUCTOR, settings, self._home.logs / f"{name}.log"))

    def _dismiss(self, record: RunRecord) -> None:
        """End a run's conductor, where it has one."""
        if self._conducted.pop(record.run, None) is not None:
            name = f"run-{record.run}"
            # It has nothing to tidy up, and may be one that hangs.
            self._children.remove(name, patience_s=0.5)
            sign_file(self._home.run, name).unlink(missing_ok=True)

    def _heeds_no_stop(self, record: RunRecord) -> bool:
        conducted, moment = self._conducted[record.run], time.monotonic()
        if conducted.stop_since is None:
            conducted.stop_since = moment
        return moment - conducted.stop_since >= _STOP_WITHIN_S

    def _watch(self, record: RunRecord, name: str) -> None:
        """Pause a run whose conductor ends again and again, and end one that hangs: it is started anew."""
        conducted, ends = self._conducted[record.run], self._children.ends(name)
        total, passing = sum(ends.values()) - ends[0], ends[EXIT_AGAIN]
        if record.committed != conducted.committed:
            conducted.committed, conducted.told = record.committed, False
            conducted.fruitless_from, conducted.passing_from = total - passing, passing
        log = self._home.logs / f"{name}.log"
        if total - passing - conducted.fruitless_from >= _FRUITLESS_ENDS:
            why = GaitkeeperError("conductor-fruitless", ends=_FRUITLESS_ENDS, log=log, run=record.run)
            _log.warning("the run %s pauses: %s", record.run, why)
            self._dismiss(record)
            control.pause_itself(self._journal, record.run, why.message)
        elif passing - conducted.passing_from >= _FRUITLESS_ENDS and not conducted.told:
            conducted.told = True
            self._say(f"The run {record.run} waits, and is tried again and again: its conductor cannot work. See {log}")
        elif conducted.still.look(time.monotonic(), total) >= conducted.longest_s and conducted.still.counts():
            _log.warning("the conductor of the run %s hangs; it is ended and started anew", record.run)
            self._children.restart(name)

    def _publish(self, record: RunRecord) -> None:
        """Have the registry's process publish a run: one run at a time, after ever longer pauses where it fails."""
        if _REGISTRY in self._children.names():
            if self._children.ended(_REGISTRY) is None and time.monotonic() - self._registry_since < _PUBLISH_WITHIN_S:
                return
            self._children.remove(_REGISTRY)
        tries, not_before = self._publishing.get(record.run, (0, 0.0))
        if time.monotonic() < not_before:
            return
        if tries == _PUBLISH_TOLD:
            self._say(
                f"The run {record.run} could not be registered {tries} times; it is tried again, ever more rarely."
                f" See {self._home.logs / 'registry.log'}"
            )
        self._publishing[record.run] = (
            tries + 1,
            time.monotonic() + min(_PUBLISH_FIRST_S * 2**tries, _PUBLISH_LONGEST_S),
        )
        self._start_registry(record.run)

    def _start_registry(self, run: str) -> None:
        settings = {"home": str(self._home.path), "journal": str(journal_path(self._home)), "run": run}
        spec = ChildSpec(
            _REGISTRY, "gaitkeeper_server.rounds.publish", settings, self._home.logs / "registry.log", restart=False
        )
        self._registry_since = time.monotonic()
        self._children.add(spec)

    def _write_status(self) -> None:
        status = {
            "pid": os.getpid(),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "ports": {
                "enrolment": self._config.enrolment_port,
                "site": self._config.site_port,
                "fleet": self._config.fleet_port,
                "control": self._config.control_port,
            },
            "children": [asdict(child) for child in self._children.status()],
            "unpublished": {run: tries for run, (tries, _) in self._publishing.items() if tries > _PUBLISH_TOLD},
        }
        # A full disk must not end the service over what is only to be looked at; it is written when there is room.
        self._untold = True
        with contextlib.suppress(OSError, GaitkeeperError):
            write_durably(self._home.run / "coordinator.json", json.dumps(status, indent=1).encode())
            self._untold = False


def _why_taken(host: str, port: int) -> OSError | None:
    """Why a port cannot be opened, None where it can; one that somebody is about to give up is waited for."""
    deadline = time.monotonic() + _PORT_WITHIN_S
    while True:
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
            return None
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                return error
        time.sleep(0.2)
