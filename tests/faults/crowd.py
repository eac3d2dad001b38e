"""A coordinator as it is deployed, and a crowd of sites that all answer at once: what a round takes of it.

The coordinator is ``gaitkeeper coordinator start``: its SuperLink and its conductor are processes of their own, over
TLS, with a key for each site. The sites are threads with Flower's own Fleet connection (``crowd_sites``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO

import numpy as np
from flwr.supercore.primitives.asymmetric import generate_key_pairs, private_key_to_bytes, public_key_to_bytes
from rich.console import Console
from tests.bench.sites import study_of_many
from tests.faults.page import write_part
from tests.faults.readings import memory_mib, processor_s
from tests.faults.served import children, coordinator, until
from tests.faults.workers import begin_worker
from tests.integration.trust_fixtures import FREE_PORTS
from tests.measured import commit

from gaitkeeper_server.daemon import journal_path
from gaitkeeper_server.enrolment.invitations import admit, invite
from gaitkeeper_server.enrolment.setup import create_coordinator
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.states import RunState
from gaitkeeper_shared.trust.certificates import new_request
from gaitkeeper_shared.trust.keys import new_tls_key

SITES_A_PROCESS = 250
ROUNDS = 2
LARGE = 4_000_000
"""Bytes of an update of the larger model."""
CONNECT_S, RUN_S = 1800.0, 3600.0
REST_S, IDLE_S = 4.0, 25.0
"""A site's question is held for up to 20 s."""
RUN = "crowd"


@dataclass(slots=True)
class Seen:
    """Resident memory (MiB) and processor time (s) of one process, looked at over and over."""

    peak_mib: float = 0.0
    last_mib: float = 0.0
    processor_s: float = 0.0

    def look(self, pid: int) -> None:
        """Look once; a process that is gone is left as it was."""
        with contextlib.suppress(OSError, KeyError):
            self.last_mib, self.processor_s = memory_mib(pid), processor_s(pid)
            self.peak_mib = max(self.peak_mib, self.last_mib)


@dataclass(slots=True)
class Watch:
    """The coordinator's children, looked at ten times a second."""

    home: CoordinatorHome
    seen: dict[str, Seen] = field(default_factory=dict)

    def run(self, over: threading.Event) -> None:
        """Look until it is over."""
        while not over.wait(0.1):
            for name, pid in children(self.home).items():
                self.seen.setdefault(name, Seen()).look(pid)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a crowd took. Memory in MiB, times in seconds; ``rounds`` are the rounds' seconds in order."""

    sites: int
    update: int
    connect_s: float
    rounds: tuple[float, ...]
    unread: int
    link_bare: float
    link_connected: float
    link_peak: float
    link_after: float
    link_idle_share: float
    link_processor_s: float
    conductor_peak: float
    conductor_processor_s: float
    journal_per_reply: float
    phases: tuple[tuple[float, float, float, float], ...]
    """By round, from its start: when the first and the last site had its order, the first and the last had answered."""


def enrol(home: CoordinatorHome, folder: Path, count: int) -> list[tuple[str, Path]]:
    """Members, each with a certificate and a key for its node. Names and files of the keys."""
    made = []
    for number in range(count):
        name = f"site-{number:04d}"
        key, public = generate_key_pairs()
        path = folder / f"{name}.key"
        path.write_bytes(private_key_to_bytes(key))
        admit(home, invite(home, name).token, new_request(new_tls_key(), name), public_key_to_bytes(public))
        made.append((name, path))
    return made


@dataclass(slots=True)
class Crowd:
    """The processes with the sites, and what they told."""

    workers: list[subprocess.Popen[str]]
    told: dict[str, list[tuple[str, float]]] = field(default_factory=dict)

    def listen(self) -> None:
        """Read what they tell, each in a thread of its own."""
        for worker in self.workers:
            assert worker.stdout is not None
            threading.Thread(target=self._read, args=(worker.stdout,), daemon=True).start()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            event = json.loads(line)
            self.told.setdefault(event["what"], []).append((event["site"], event["at"]))

    def ended(self) -> bool:
        """Whether one of the processes is gone, and the sites in it with it."""
        return any(worker.poll() is not None for worker in self.workers)

    def count(self, what: str) -> int:
        """How often it was told."""
        return len(self.told.get(what, ()))


@contextmanager
def crowd(home: CoordinatorHome, sites: Sequence[tuple[str, Path]]) -> Iterator[Crowd]:
    """All sites connected to the coordinator, until the block ends."""
    config, workers = home.config(), []
    for first in range(0, len(sites), SITES_A_PROCESS):
        asked = {
            "address": config.address(config.fleet_port),
            "root": str(home.root_certificate),
            "first": first,
            "sites": [(name, str(key)) for name, key in sites[first : first + SITES_A_PROCESS]],
        }
        workers.append(begin_worker("tests.faults.crowd_sites", asked))
    made = Crowd(workers)
    try:
        made.listen()
        until(lambda: made.count("connected") >= len(sites) or made.ended(), CONNECT_S)
        if made.ended():
            raise RuntimeError("a process with sites ended")
        yield made
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def measure(sites: int, update: int, folder: Path) -> Measured:
    """One crowd with a model of ``update`` bytes."""
    home = CoordinatorHome(folder / "coordinator")
    create_coordinator(home, "many", ("127.0.0.1",), ports=FREE_PORTS)
    members = enrol(home, folder, sites)
    journal, watch, over = Journal(journal_path(home)), Watch(home), threading.Event()
    with coordinator(home):
        thread = threading.Thread(target=watch.run, args=(over,))
        thread.start()
        try:
            time.sleep(REST_S)
            link = watch.seen["superlink"]
            bare, started = link.last_mib, time.monotonic()
            with crowd(home, members) as present:
                connect_s = time.monotonic() - started
                time.sleep(REST_S)
                idle, connected = _idle_share(link), link.last_mib
                before = link.processor_s
                _play(journal, [name for name, _ in members], update)
                worked = link.processor_s - before
                time.sleep(REST_S)
                after = link.last_mib
        finally:
            over.set()
            thread.join()
    conductor = watch.seen[f"run-{RUN}"]
    rounds, phases = _timed(journal, present)
    return Measured(
        sites,
        update,
        connect_s,
        rounds,
        _most_unread(home, present),
        bare,
        connected,
        link.peak_mib,
        after,
        idle,
        worked / ROUNDS,
        conductor.peak_mib,
        conductor.processor_s / ROUNDS,
        journal_path(home).stat().st_size / (sites * ROUNDS),
        phases,
    )


def _idle_share(process: Seen) -> float:
    before, since = process.processor_s, time.monotonic()
    time.sleep(IDLE_S)
    return (process.processor_s - before) / (time.monotonic() - since)


def _play(journal: Journal, names: Sequence[str], update: int) -> None:
    study = study_of_many("crowd", ROUNDS, len(names))
    journal.request_run(RUN, study, names, {"weights": np.zeros(update // 4, np.float32)})
    until(lambda: journal.run(RUN).state.terminal, RUN_S, every_s=0.5)
    record = journal.run(RUN)
    if record.state is not RunState.SUCCEEDED:
        raise RuntimeError(f"the run {record.state}: {record.detail}")


def _timed(journal: Journal, told: Crowd) -> tuple[tuple[float, ...], tuple[tuple[float, float, float, float], ...]]:
    seconds, phases = [], []
    for item in journal.rounds(RUN):
        begun, ended = (
            datetime.fromisoformat(moment or "").timestamp() for moment in (item.started_at, item.finished_at)
        )
        seconds.append(ended - begun)
        asked, answered = (
            sorted(at - begun for _, at in told.told[what] if begun <= at <= ended) for what in ("asked", "answered")
        )
        phases.append((asked[0], asked[-1], answered[0], answered[-1]))
    return tuple(seconds), tuple(phases)


def _most_unread(home: CoordinatorHome, told: Crowd) -> int:
    """How many replies lay whole in the SuperLink at most, not yet in the journal."""
    with sqlite3.connect(journal_path(home)) as database:
        rows = database.execute("SELECT received_at FROM replies").fetchall()
    taken = [(datetime.fromisoformat(row[0]).timestamp(), -1) for row in rows]
    come = [(at, 1) for _, at in told.told["answered"]]
    most = lying = 0
    for _, step in sorted(taken + come):
        lying += step
        most = max(most, lying)
    return most


def _words(found: Sequence[Measured]) -> str:
    lines = [
        f"Commit {commit()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}, {ROUNDS} rounds each.",
        "",
        "| sites | update kB | round s | replies unread | SuperLink MiB bare | connected | most | after | "
        "idle share of a core | s of processor a round | conductor MiB most | s of processor a round | "
        "journal kB a reply |",
        "| --- " * 13 + "|",
    ]
    for item in found:
        cells = (
            f"{item.sites:,}",
            f"{item.update / 1000:,.0f}",
            ", ".join(f"{seconds:.1f}" for seconds in item.rounds),
            f"{item.unread:,}",
            f"{item.link_bare:.0f}",
            f"{item.link_connected:.0f}",
            f"{item.link_peak:.0f}",
            f"{item.link_after:.0f}",
            f"{item.link_idle_share:.2f}",
            f"{item.link_processor_s:.1f}",
            f"{item.conductor_peak:.0f}",
            f"{item.conductor_processor_s:.1f}",
            f"{item.journal_per_reply / 1000:.0f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    """Measure, print, and write the page's part."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults crowd",
        description="A deployed coordinator, and ever more sites that all answer at once: time and memory of a round.",
    )
    parser.add_argument(
        "--sites",
        type=int,
        nargs="+",
        default=[10, 100, 1000],
        help="how many, one after the other (default: 10 100 1000)",
    )
    parser.add_argument("--update", type=int, default=200_000, help="bytes of an update (default: %(default)d)")
    parser.add_argument(
        "--large", type=int, nargs="*", default=[10, 100], help=f"how many with {LARGE} bytes (default: 10 100)"
    )
    asked = parser.parse_args(words)
    console = Console(width=200)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: processes and folders go
    cases = [(sites, asked.update) for sites in asked.sites] + [(sites, LARGE) for sites in asked.large]
    found = []
    for sites, update in cases:
        with tempfile.TemporaryDirectory(prefix="gaitkeeper-crowd-") as name:
            found.append(measure(sites, update, Path(name)))
        console.print(found[-1], markup=False, highlight=False, soft_wrap=True)
        write_part("crowd", _words(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
