"""A real deployment on loopback without the command: SuperLink, nodes and executors as child processes."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from flwr.supercore.primitives.asymmetric import generate_key_pairs, private_key_to_bytes, public_key_to_bytes
from tests.unit.rounds_fixtures import STUDY, weights

from gaitkeeper_server.enrolment.setup import DEFAULT_PORTS, create_coordinator
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.rounds.flower_task import OperatorAccess
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.states import RunRecord
from gaitkeeper_server.store import CoordinatorStore
from gaitkeeper_shared.ports import free_port
from gaitkeeper_shared.processes import ChildSpec, Supervisor
from gaitkeeper_shared.trust.certificates import new_request, pem, read_request
from gaitkeeper_shared.trust.clock import iso, utc_now
from gaitkeeper_shared.trust.keys import new_tls_key

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Deployment:
    """One coordinator's SuperLink and any number of sites with a made-up application.

    Who needs other sites overrides what is asked of each: its application, its node, the address that it calls.
    """

    conductor_module = "gaitkeeper_server.rounds.runner"

    folder: Path
    children: Supervisor = field(default_factory=Supervisor)
    secret: str = field(default_factory=lambda: secrets.token_hex(32))

    def __post_init__(self) -> None:
        self.home = CoordinatorHome(self.folder / "coordinator")
        ports = dict.fromkeys(DEFAULT_PORTS, 0)
        create_coordinator(self.home, "test", ("127.0.0.1",), bind="127.0.0.1", ports=ports)
        self.config = self.home.config()
        self.store = CoordinatorStore(self.home.store)
        self.journal = Journal(self.home.path / "journal.sqlite")
        self.access = OperatorAccess(self.config.control_port, self.secret, self.home.run / "claim.lock")

    def start_superlink(self) -> None:
        """Start it and wait until it answers."""
        ready = self.home.run / "superlink.ready"
        settings = {"home": str(self.home.path), "operator_secret": self.secret, "ready": str(ready)}
        log = self.home.logs / "superlink.log"
        self.children.add(ChildSpec("superlink", "gaitkeeper_server.rounds.superlink", settings, log))
        self.wait(ready.exists, 60)

    def enrol(self, site: str) -> Path:
        """Admit a site, also one that was revoked; the path of its node's new key."""
        key, public = generate_key_pairs()
        path = self.folder / site / "node.key"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(private_key_to_bytes(key))
        token = secrets.token_hex(8)
        self.store.invite(site, token, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
        request = read_request(new_request(new_tls_key(), site))
        certificate = pem(self.home.authority().issue_site(request, site))
        assert self.store.enrol(token, "key", certificate, public_key_to_bytes(public), iso(utc_now()))
        return path

    def application_of(self, site: str) -> str:
        """The application that a site's executor runs."""
        return "tests.e2e.made_up_application:app"

    def node_module_of(self, site: str) -> str:
        """The module that is a site's node."""
        return "gaitkeeper_client.agent.node"

    def fleet_address_of(self, site: str) -> str:
        """Where a site's node calls the coordinator."""
        return self.config.address(self.config.fleet_port)

    def start_site(self, site: str, key: Path) -> None:
        """Start a site's node and executor."""
        link = {"runtime_port": free_port(), "runtime_secret": secrets.token_hex(16)}
        node = {
            **link,
            "fleet_address": self.fleet_address_of(site),
            "root_certificate": str(self.home.root_certificate),
            "node_key": str(key),
            "ready": str(key.with_name("node.ready")),
            "identity": str(key.with_name("node.number")),
        }
        executor = {
            **link,
            "application": self.application_of(site),
            "audit_log": str(key.with_name("audit.log")),
            "ready": str(key.with_name("executor.ready")),
        }
        self.children.add(ChildSpec(f"{site}-node", self.node_module_of(site), node, key.with_name("node.log")))
        os.environ["MADE_UP_SITE"] = site
        os.environ["PYTHONPATH"] = str(ROOT)
        log = key.with_name("executor.log")
        self.children.add(ChildSpec(f"{site}-executor", "gaitkeeper_client.agent.executor", executor, log))
        self.children.tick()

    def start_run(self, run: str, rounds: int) -> None:
        """Enter a run and start its conductor."""
        study = STUDY.replace(b"rounds = 3", b"rounds = %d" % rounds).replace(b"deadline_s = 0.6", b"deadline_s = 40.0")
        self.journal.request_run(run, study, [site.name for site in self.store.enrolled_sites()], weights())
        self.start_conductor(run)

    def start_conductor(self, run: str) -> None:
        """Start the process that conducts a run of the journal."""
        self.conduct(run, run)

    def conduct(self, run: str, child: str) -> None:
        """Start a process, named ``child``, that conducts a run."""
        settings = {
            "journal": str(self.home.path / "journal.sqlite"),
            "run": run,
            "operator_port": self.access.port,
            "operator_secret": self.secret,
            "lock": str(self.access.lock),
            "sign": str(self.home.run / f"{child}.sign"),
        }
        log = self.home.logs / f"{child}.log"
        self.children.add(ChildSpec(child, self.conductor_module, settings, log))

    def finish(self, run: str, seconds: float) -> RunRecord:
        """Wait until a run has ended."""
        self.wait(lambda: self.journal.run(run).state.terminal, seconds)
        return self.journal.run(run)

    def wait(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for something, keeping the children up."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.children.tick()
            if time.monotonic() > deadline:
                logs = "\n".join(f"{p.name}: {p.read_text()[-1500:]}" for p in sorted(self.folder.rglob("*.log")))
                raise AssertionError(f"not within {seconds:.0f} s\n{logs}")
            time.sleep(0.02)

    def pid(self, name: str) -> int:
        """The process of a child that runs."""
        pid = next(child.pid for child in self.children.status() if child.name == name)
        assert pid is not None
        return pid
