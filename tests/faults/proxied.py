"""A site whose only way out is an HTTP proxy: everything that it does with its coordinator, in network namespaces.

The site's namespace has a line to the proxy and no route to anywhere else; the coordinator's address lies behind the
proxy. What does not go through it fails, and the kernel counts it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.outcomes import ROOT
from tests.faults.stage import Stage, Unavailable
from tests.integration.trust_fixtures import model_of, new_site
from tests.unit.rounds_fixtures import STUDY, weights

from gaitkeeper_server.daemon import journal_path
from gaitkeeper_server.enrolment.example import example_study
from gaitkeeper_server.enrolment.invitations import invite
from gaitkeeper_server.enrolment.setup import create_coordinator
from gaitkeeper_server.enrolment.studies import sign_study
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.releases.deployments import deploy, deployments
from gaitkeeper_server.releases.publish import publish
from gaitkeeper_server.rounds.journal import Journal

SITE = "clinic-a"
_PROXY, _SITE_ADDRESS, _COORDINATOR = "10.81.0.1", "10.81.0.2", "10.82.0.1"
_PROXY_PORT = 3128
_PORTS = {"enrolment": 7440, "site": 7441, "fleet": 443, "control": 7443}
_CLI = (sys.executable, "-m", "gaitkeeper_shared.cli")
_WITHOUT_ROUTE = "from tests.e2e.netless import without_route; print(without_route())"


@dataclass
class _World:
    """Two namespaces with a line between them, and what runs in them."""

    folder: Path
    inside: str = field(default_factory=lambda: f"gk-site-{os.getpid()}")
    outside: str = field(default_factory=lambda: f"gk-coordinator-{os.getpid()}")
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def make(self, *, route: bool) -> None:
        """``route``: from the site to the coordinator, past the proxy. Raises :class:`Unavailable` where this machine
        does not let us."""
        line = ("link", "add", "out", "netns", self.inside, "type", "veth", "peer", "name", "in", "netns", self.outside)
        commands = [
            ("netns", "add", self.inside),
            ("netns", "add", self.outside),
            line,
            *(("-n", name, "link", "set", "lo", "up") for name in (self.inside, self.outside)),
            ("-n", self.inside, "address", "add", f"{_SITE_ADDRESS}/24", "dev", "out"),
            ("-n", self.inside, "link", "set", "out", "up"),
            ("-n", self.outside, "address", "add", f"{_PROXY}/24", "dev", "in"),
            ("-n", self.outside, "address", "add", f"{_COORDINATOR}/32", "dev", "lo"),
            ("-n", self.outside, "link", "set", "in", "up"),
            *([("-n", self.inside, "route", "add", f"{_COORDINATOR}/32", "via", _PROXY)] if route else []),
        ]
        for command in commands:
            if subprocess.run(["ip", *command], capture_output=True, check=False).returncode != 0:
                raise Unavailable("network namespaces need the right to make them")

    def start(self, namespace: str, command: tuple[str, ...], environment: Mapping[str, str] | None = None) -> None:
        """Start something that runs until the end."""
        with (self.folder / "proxied.log").open("ab") as log:
            full = ["ip", "netns", "exec", namespace, *command]
            everything = os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {})
            self.running.append(subprocess.Popen(full, stdout=log, stderr=log, env=everything, cwd=ROOT))

    def ask(self, namespace: str, command: tuple[str, ...], environment: Mapping[str, str] | None = None) -> str:
        """Run something to its end; what it printed."""
        done = subprocess.run(
            ["ip", "netns", "exec", namespace, *command],
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
            cwd=ROOT,
            check=False,
        )
        if done.returncode not in (0, 4):
            raise AssertionError(f"{' '.join(command[2:])}: {done.stderr[-600:]}")
        return done.stdout

    def end(self) -> None:
        """Leave nothing."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
        for name in (self.inside, self.outside):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@contextlib.contextmanager
def _world(folder: Path, *, route: bool) -> Iterator[_World]:
    made = _World(folder)
    try:
        made.make(route=route)
        yield made
    finally:
        made.end()


def proxied(stage: Stage, exception: str = "") -> str:
    """Enrolment, two rounds, a release and the doctor through a proxy; what went past it. ``exception``: what stands in
    ``no_proxy``; the coordinator can then be reached without the proxy, too."""
    folder = stage.folder / f"proxied-{'by-exception' if exception else 'only'}"
    folder.mkdir()
    home = CoordinatorHome(folder / "coordinator")
    create_coordinator(home, "far-away", (_COORDINATOR,), bind=_COORDINATOR, ports=_PORTS)
    site, log = new_site(folder / SITE, SITE), folder / "proxy.log"
    by_proxy = dict.fromkeys(("http_proxy", "https_proxy"), f"http://{_PROXY}:{_PROXY_PORT}")
    by_proxy |= {"no_proxy": exception} if exception else {}
    with _world(folder, route=bool(exception)) as world:
        world.start(world.outside, (*_CLI, "coordinator", "start", "--home", str(home.path)))
        proxy = (sys.executable, "-m", "tests.faults.proxy", _PROXY, str(_PROXY_PORT), str(log))
        world.start(world.outside, proxy)
        _wait(lambda: log.exists() and (home.run / "superlink.ready").exists(), 120)
        letter = folder / "invitation"
        letter.write_text(invite(home, SITE).to_text())
        world.ask(world.inside, (*_CLI, "site", "enrol", str(letter), "--home", str(site.path)), by_proxy)
        faults = by_proxy | {"FAULTS_FOLDER": str(folder / "played")}
        (folder / "played" / SITE).mkdir(parents=True)
        world.start(world.inside, (sys.executable, "-m", "tests.faults.proxied_site", str(site.path)), faults)
        trained = _train(home)
        _release(home, folder)
        doctor = world.ask(world.inside, (*_CLI, "site", "doctor", "--json", "--home", str(site.path)), by_proxy)
        past = world.ask(world.inside, (sys.executable, "-c", _WITHOUT_ROUTE)).strip()
    asked = {line.partition(" ")[2] for line in log.read_text("ascii").splitlines()}
    known = {f"{_COORDINATOR}:{port}": port for name, port in _PORTS.items() if name != "control"}
    ports = ", ".join(str(port) for port in sorted(known[target] for target in asked & set(known))) or "nothing"
    others = f", and {', '.join(sorted(asked - set(known)))}" if asked - set(known) else ""
    return (
        f"enrolled; {trained}; release active; doctor {_seen(doctor)}; by proxy {ports}{others}; {past} packets past it"
    )


def _train(home: CoordinatorHome) -> str:
    """Two rounds; how the run ended."""
    study = STUDY.replace(b"rounds = 3", b"rounds = 2").replace(b"quorum = 2", b"quorum = 1")
    study = study.replace(b"deadline_s = 0.6", b"deadline_s = 60.0") + b"[evaluation]\nholdout = 0.0\n"
    journal = Journal(journal_path(home))
    journal.request_run("by-proxy", study, [SITE], weights())
    _wait(lambda: journal.run("by-proxy").state.terminal, 120)
    record = journal.run("by-proxy")
    return str(record.state) + (f" ({record.detail})" if record.detail else "")


def _release(home: CoordinatorHome, folder: Path) -> None:
    """Until the site runs a release."""
    path = folder / "walks.toml"
    path.write_text(example_study("walks"))
    study = sign_study(home, path)
    publish(home, 1, model_of(study), study="walks", study_hash=study.hash)
    deploy(home, 1)
    _wait(lambda: deployments(home)[0].state == "active", 60)


def _seen(report: str) -> str:
    """Whether the doctor finds the way to each port well."""
    verdicts = [row["verdict"] for row in json.loads(report) if row["what"] in ("site port", "rounds port")]
    return "well" if verdicts == ["well", "well"] else str(verdicts)


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds:.0f} s")
        time.sleep(0.1)
