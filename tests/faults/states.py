"""Faults of what is kept: disks, databases, backups, a second coordinator."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.faults.stage import BACK_S, MOMENT_S, SITES, Stage, Unavailable
from tests.faults.words import summary
from tests.integration.trust_fixtures import FREE_PORTS

SITE = SITES[0]


def _disks(stage: Stage) -> None:
    if not stage.disks:
        raise Unavailable("small file systems need the right to mount")


def site_disk_full(stage: Stage) -> str:
    """A site's disk is full when its ledger has to be charged; emptied, the site is back in the next round."""
    _disks(stage)
    trap = stage.trap(SITE, "asked")
    second = stage.trap("conductor", "committed")
    run = stage.begin()
    try:
        stage.wait(trap.hit, MOMENT_S)
        ballast = stage.fill(stage.folder / SITE / "ledger")
        trap.release()
        stage.wait(second.hit, MOMENT_S)
        ballast.unlink()
    finally:
        trap.release()
        second.release()
    return summary(stage.end_of(run))


def coordinator_disk_full(stage: Stage, moment: str) -> str:
    """The disk of the coordinator, its journal and logs among what lies there, is full for a while in a round."""
    _disks(stage)
    trap = stage.trap("conductor", moment)
    run = stage.begin()
    try:
        stage.wait(trap.hit, MOMENT_S)
        ballast = stage.fill(stage.home.path)
        trap.release()
        stage.pause(5.0)
        ballast.unlink()
    finally:
        trap.release()
    return summary(stage.end_of(run))


def site_disk_read_only(stage: Stage) -> str:
    """A site's disk can only be read for one round."""
    _disks(stage)
    second = stage.trap("conductor", "committed")
    folder = stage.folder / SITE / "ledger"
    with stage.read_only(folder):
        run = stage.begin()
        try:
            stage.wait(second.hit, MOMENT_S)
        except AssertionError:
            second.release()
            raise
    second.release()
    return summary(stage.end_of(run))


def journal_locked(stage: Stage, moment: str) -> str:
    """The coordinator's journal is locked by somebody at a state of the round, for some seconds."""
    trap = stage.trap("conductor", moment)
    run = stage.begin()
    journal = stage.home.path / "journal.sqlite"
    try:
        stage.wait(trap.hit, MOMENT_S)
        with _locked(journal):
            trap.release()
            stage.pause(5.0)
    finally:
        trap.release()
    return summary(stage.end_of(run))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a database as a careless copy or an open shell does: nobody else can write."""
    with contextlib.closing(sqlite3.connect(path, timeout=30.0, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            database.execute("ROLLBACK")


def store_locked(stage: Stage) -> str:
    """The coordinator's list of sites cannot be read for some seconds, while sites work."""
    trap = stage.trap(SITE, "charged")
    run = stage.begin()
    try:
        stage.wait(trap.hit, MOMENT_S)
        with _locked(stage.home.store):
            trap.release()
            stage.pause(5.0)
    finally:
        trap.release()
    return summary(stage.end_of(run))


def store_lost(stage: Stage, seconds: str) -> str:
    """The coordinator's list of sites is not there for a while; then it is put back as it was."""
    files = [stage.home.store.with_name(stage.home.store.name + end) for end in ("", "-wal", "-shm")]
    safe = stage.folder / "store-elsewhere"
    safe.mkdir(exist_ok=True)
    trap = stage.trap(SITE, "charged")
    run = stage.begin(grace_s=BACK_S)  # after long enough, sites' nodes are refused, end and start anew
    try:
        stage.wait(trap.hit, MOMENT_S)
        taken = [file for file in files if file.exists()]
        for file in taken:
            shutil.move(file, safe / file.name)
        stage.pause(float(seconds))
        for file in files:
            file.unlink(missing_ok=True)  # whoever asked for it meanwhile made an empty one
        for file in taken:
            shutil.move(safe / file.name, file)
    finally:
        trap.release()
    return summary(stage.end_of(run))


def superlink_files_lost(stage: Stage, when: str) -> str:
    """All files beside store, journal, keys and settings are gone: the folder of what runs, logs, temporary ones.

    ``when``: ``running``, or ``dead``, where the SuperLink is killed first.
    """
    trap = stage.trap(SITE, "charged")
    run = stage.begin(grace_s=BACK_S)
    try:
        stage.wait(trap.hit, MOMENT_S)
        if when == "dead":
            stage.kill("superlink")
        for folder in (stage.home.run, stage.home.logs, stage.temporary):
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    finally:
        trap.release()
    return summary(stage.end_of(run))


def ledger_of_old_backup(stage: Stage) -> str:
    """A site's ledger is put back to what it was a round ago: the site refuses from then on, and says why."""
    trap = stage.trap("conductor", "committed")
    run = stage.begin(rounds=3)
    copy = stage.folder / "old-ledger"
    try:
        stage.wait(trap.hit, MOMENT_S)
        stage.copy_ledger(SITE, copy)
        second = stage.trap("conductor", "committed", 2)
        trap.release()
        stage.wait(second.hit, MOMENT_S)
        newest = stage.folder / "newest-ledger"
        stage.copy_ledger(SITE, newest)
        stage.restore_ledger(SITE, copy)
        second.release()
        stage.wait(lambda: stage.journal.run(run).state.terminal, MOMENT_S)
    finally:
        trap.release()
        stage.restore_ledger(SITE, newest)
        shutil.rmtree(copy, ignore_errors=True)
        shutil.rmtree(newest, ignore_errors=True)
    return summary(stage.end_of(run))


def two_conductors(stage: Stage) -> str:
    """A second process conducts the same run of the same journal."""
    trap = stage.trap(SITE, "charged")
    run = stage.begin()
    try:
        stage.wait(trap.hit, MOMENT_S)
        stage.conduct(run, f"{run}-second")
        stage.pause(4.0)
    finally:
        trap.release()
    ended = summary(stage.end_of(run))
    stage.children.remove(f"{run}-second")
    return ended


def two_services(stage: Stage) -> str:
    """``gaitkeeper coordinator start`` twice on one home; the first is killed then, and a third one starts."""
    from gaitkeeper_server.daemon import is_running
    from gaitkeeper_server.enrolment.setup import create_coordinator
    from gaitkeeper_server.home import CoordinatorHome

    home = CoordinatorHome(stage.folder / "twice")
    create_coordinator(home, "twice", ("127.0.0.1",), ports=FREE_PORTS)
    command = [sys.executable, "-m", "gaitkeeper_shared.cli", "coordinator", "start", "--home", str(home.path)]
    ready, started = home.run / "superlink.ready", []
    try:
        for _ in range(2):
            ready.unlink(missing_ok=True)
            with (stage.folder / "twice.log").open("ab") as log:
                started.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))
            stage.wait(lambda: ready.exists() and is_running(home), MOMENT_S)
            if len(started) == 1:
                done = subprocess.run(command, capture_output=True, text=True, timeout=MOMENT_S, check=False)
                started[0].kill()
                started[0].wait(MOMENT_S)
    finally:
        for service in started:
            service.terminate()
            service.wait(MOMENT_S)
    traceback = ", with a traceback" if "Traceback" in done.stderr else ""
    known = "says that one runs" if "already runs on" in done.stderr else done.stderr[-200:]
    return f"exit {done.returncode}, {known}{traceback}; after a SIGKILL of the first the next one serves"
