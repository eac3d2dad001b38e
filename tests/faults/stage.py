"""The stage of the fault matrix: a real coordinator and three sites on loopback, each behind a relay, with ledgers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from tests.e2e.federation_fixtures import ROOT, Deployment
from tests.faults.application import ledger_of, step_of
from tests.faults.relay import Relay
from tests.faults.traps import Trap
from tests.unit.rounds_fixtures import STUDY, weights

from gaitkeeper_server.rounds.aggregate import mean_of_updates
from gaitkeeper_server.rounds.states import Outcome, RoundState, RunRecord

SITES = ("clinic-a", "clinic-b", "clinic-c")
DEADLINE_S = 180.0
"""Of a round, where the cell is not about deadlines: a busy machine needs long to start everything anew."""
RUN_S = 480.0
BACK_S = 120.0
"""The grace where processes are killed: a busy machine needs that long to start them anew."""
MOMENT_S = 120.0
"""For a process to come to the moment that a cell waits for."""
DISK_BYTES, COORDINATOR_DISK_BYTES = 24 << 20, 96 << 20
_NO_EVALUATION = b"[evaluation]\nholdout = 0.0\n"


class ViolationError(AssertionError):
    """Something that must hold after every fault did not."""


class Unavailable(Exception):  # noqa: N818 - no error of the software
    """This machine cannot show the fault; the text says why."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: its record, and by round what became of each site (``included`` or outcome and code)."""

    record: RunRecord
    rounds: tuple[dict[str, str], ...]


class Stages:
    """The stages of one command, one after the other, each in a folder of its own. As a context, it leaves neither a
    process nor a folder behind, however the command ends; but the folder of a stage on which something went wrong."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._present: Stage | None = None

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: whoever holds something lets it go
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.strike(keep=kind is not None and issubclass(kind, Exception))

    def present(self) -> Stage:
        """The stage that stands, or a new one."""
        if self._present is None:
            self._present = Stage(Path(tempfile.mkdtemp(prefix="gaitkeeper-faults-")))
            self._present.start()
        return self._present

    def strike(self, *, keep: bool = False) -> None:
        """End what runs on the stage that stands; ``keep`` its folder and say where it is."""
        stage, self._present = self._present, None
        if stage is None:
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        try:
            stage.stop()
            if keep:
                self._say(f"what it left behind: {stage.folder}")
            else:
                shutil.rmtree(stage.folder, ignore_errors=True)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.default_int_handler)


class Stage(Deployment):
    """One coordinator, three sites. ``disks``: whether coordinator and sites have small file systems of their own."""

    disks = False
    conductor_module = "tests.faults.trapped_runner"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.traps = self.folder / "traps"
        self.temporary = self.folder / "temporary"
        self._runs = 0
        self.modules: dict[str, str] = {}
        self.relays: dict[str, Relay] = {}
        self.keys: dict[str, Path] = {}

    def start(self) -> None:
        """Enrol and start everything."""
        os.environ["FAULTS_FOLDER"] = str(self.folder)
        os.environ["PYTHONPATH"] = str(ROOT)
        os.environ["TMPDIR"] = str(self.temporary)
        self.temporary.mkdir()
        self._move_to_own_disk(self.home.path)
        self.keys = {site: self.enrol(site) for site in SITES}
        for site in SITES:
            self.relays[site] = Relay(("127.0.0.1", self.config.fleet_port))
            self._mount(self.folder / site / "ledger")
            ledger_of(self.folder / site)
        self.start_superlink()
        for site, key in self.keys.items():
            self.start_site(site, key)
        self.wait_for_sites()

    def stop(self) -> None:
        """End every process and give back what was mounted."""
        self.children.stop()
        for relay in self.relays.values():
            relay.close()
        shutil.copytree(self.home.logs, self.folder / "logs", dirs_exist_ok=True)  # the coordinator's disk goes
        for folder in (self.home.path, *(self.folder / site / "ledger" for site in SITES)):
            subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)

    def _move_to_own_disk(self, folder: Path) -> None:
        before = folder.with_name(f"{folder.name}.before")
        folder.rename(before)
        self._mount(folder, COORDINATOR_DISK_BYTES)
        shutil.copytree(before, folder, dirs_exist_ok=True)
        shutil.rmtree(before)

    def _mount(self, folder: Path, size: int = DISK_BYTES) -> None:
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        self.disks = subprocess.run(command, capture_output=True, check=False).returncode == 0

    def application_of(self, site: str) -> str:
        """A real ledger, training that is made up."""
        return f"tests.faults.application:{site}"

    def node_module_of(self, site: str) -> str:
        """The usual node, unless a cell put another in its place."""
        return self.modules.get(site, super().node_module_of(site))

    def fleet_address_of(self, site: str) -> str:
        """Each site calls through its relay."""
        return f"127.0.0.1:{self.relays[site].port}"

    def stop_site(self, site: str) -> None:
        """End a site's processes, in order."""
        for part in ("node", "executor"):
            self.children.remove(f"{site}-{part}")
            self.keys[site].with_name(f"{part}.ready").unlink(missing_ok=True)

    def wait_for_sites(self, sites: Sequence[str] = SITES) -> None:
        """Until nodes and executors of ``sites`` are up."""
        ready = [self.keys[site].with_name(f"{part}.ready") for site in sites for part in ("node", "executor")]
        self.wait(lambda: all(path.exists() for path in ready), 90)

    # -- runs

    def begin(self, rounds: int = 2, deadline_s: float = DEADLINE_S, grace_s: float = 15.0) -> str:
        """Enter a run of a study of its own and start its conductor. Returns the run's name."""
        self._runs += 1
        run = f"run-{self._runs:02d}"
        study = STUDY.replace(b'"rounds"', b'"%s"' % run.encode()).replace(b"rounds = 3", b"rounds = %d" % rounds)
        waits = b"deadline_s = %.1f\ngrace_s = %.1f" % (deadline_s, grace_s)
        study = study.replace(b"deadline_s = 0.6", waits) + _NO_EVALUATION
        self.journal.request_run(run, study, [site.name for site in self.store.enrolled_sites()], weights())
        self.start_conductor(run)
        return run

    def trap(self, who: str, moment: str, number: int = 1) -> Trap:
        """Arm a trap."""
        return Trap(self.traps, who, moment, number).arm()

    def wish(self, site: str, what: str, number: int = 1) -> None:
        """Have a site misbehave in a round."""
        (self.folder / site / f"wish-{what}-{number}").touch()

    def pause(self, seconds: float) -> None:
        """Let time pass, with the children kept up."""
        end = time.monotonic() + seconds
        with contextlib.suppress(AssertionError):
            self.wait(lambda: time.monotonic() >= end, seconds + 1)

    def kill(self, *names: str) -> None:
        """SIGKILL, all at once."""
        pids = [self.pid(name) for name in names]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for name in names:
            if name.endswith("-executor"):
                # What the site's own service does: a node must not wait for the reply of a dead executor.
                self.children.restart(name.replace("-executor", "-node"))
        if "superlink" in names:
            (self.home.run / "superlink.ready").unlink(missing_ok=True)

    def everything(self, run: str) -> tuple[str, ...]:
        """All processes: those of one machine, as it were."""
        return (run, "superlink", *(f"{site}-{part}" for site in SITES for part in ("node", "executor")))

    def end_of(self, run: str, seconds: float = RUN_S) -> Ended:
        """Wait for the end of a run, and check what must hold whatever happened. Raises :class:`ViolationError`."""
        record = self.finish(run, seconds)
        rounds = []
        for item in self.journal.rounds(run):
            outcomes = self.journal.outcomes(run, item.number)
            rounds.append({o.site: str(o.outcome) + (f" ({o.code})" if o.code else "") for o in outcomes})
            if missing := set(record.sites) - {outcome.site for outcome in outcomes}:
                raise ViolationError(f"round {item.number} says nothing of {', '.join(sorted(missing))}")
        self._check_weights(record)
        self._check_ledgers(record)
        self.children.remove(run)
        return Ended(record, tuple(rounds))

    def _check_weights(self, record: RunRecord) -> None:
        """Each committed round is bitwise what its recorded replies give, and holds the steps of who was included."""
        total = np.float32(0)
        checkpoints = iter(self.journal.checkpoints(record.run, 1))
        for item in self.journal.rounds(record.run):
            if item.state is not RoundState.COMMITTED or item.number > record.rounds:
                continue
            found = next(checkpoints)
            mean = mean_of_updates(self.journal.each_reply(record.run, item.number))
            if any(found[name].tobytes() != mean[name].tobytes() for name in found):
                raise ViolationError(f"round {item.number} is not what its recorded replies give")
            outcomes = self.journal.outcomes(record.run, item.number)
            steps = [step_of(o.site) for o in outcomes if o.outcome is Outcome.INCLUDED]
            total += np.float32(np.mean(steps))
            if not np.allclose(found["bias"], total, rtol=1e-5):
                raise ViolationError(f"round {item.number} has {found['bias'][0]}, its sites give {total}")

    def _check_ledgers(self, record: RunRecord) -> None:
        """Nobody is charged twice for a round, and nobody counts who was not charged."""
        for site in SITES:
            charged: dict[int, int] = {}
            for entry in ledger_of(self.folder / site).entries:
                if entry.key.run == record.run and entry.kind == "train":
                    charged[entry.key.round] = charged.get(entry.key.round, 0) + 1
            if twice := [number for number, count in charged.items() if count > 1]:
                raise ViolationError(f"{site} was charged twice for round {twice[0]}")
            for item in self.journal.rounds(record.run):
                for outcome in self.journal.outcomes(record.run, item.number):
                    counted = outcome.site == site and outcome.outcome is Outcome.INCLUDED
                    if counted and item.number <= record.rounds and item.number not in charged:
                        raise ViolationError(f"{site} counts in round {item.number} without a charge")

    # -- disks

    def fill(self, folder: Path) -> Path:
        """Fill a small file system to its last byte; the file that does it."""
        ballast = folder / "ballast"
        with ballast.open("wb", buffering=0) as file:  # what a buffer holds would not fit when it is closed
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"\0" * size) == size:
                        pass
        return ballast

    @contextlib.contextmanager
    def read_only(self, folder: Path) -> Iterator[None]:
        """A file system that can only be read for a while."""
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True, capture_output=True)
        try:
            yield
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True, capture_output=True)

    def copy_ledger(self, site: str, to: Path) -> None:
        """What a backup of the machine's disk holds of a ledger."""
        shutil.copytree(self.folder / site / "ledger", to, dirs_exist_ok=True)

    def restore_ledger(self, site: str, copy: Path) -> None:
        """Put an old copy in the place of the ledger."""
        for path in (self.folder / site / "ledger").iterdir():
            path.unlink()
        shutil.copytree(copy, self.folder / site / "ledger", dirs_exist_ok=True)
