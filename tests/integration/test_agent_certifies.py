"""A running site tests the explanations of a release that came: whole, killed in the middle, and too slow."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browser.stage import enrolled

from gaitkeeper_client.agent.chores import Chores, chore_status
from gaitkeeper_client.agent.status import site_status
from gaitkeeper_client.insight.certificates import digest_of, read_certificate
from gaitkeeper_client.insight.deployed import model_at
from gaitkeeper_client.vault.home import SiteHome

pytestmark = pytest.mark.long
PATIENCE_S = 240.0
COMMAND = [sys.executable, "-m", "gaitkeeper_shared.cli", "site"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> SiteHome:
    """A site that a consortium gave a release; the consortium is away by now, which stops no chore."""
    return enrolled(tmp_path_factory.mktemp("certified"))


@contextlib.contextmanager
def _running(home: SiteHome) -> Iterator[subprocess.Popen[bytes]]:
    with (home.path / "start.log").open("ab") as log:
        site = subprocess.Popen([*COMMAND, "start", "--home", str(home.path)], stdout=log, stderr=log)
    try:
        yield site
    finally:
        site.terminate()
        site.wait(60.0)


def _told(home: SiteHome) -> dict[str, Any]:
    """What ``site status`` says of the chore; empty where it says nothing."""
    words = [*COMMAND, "status", "--home", str(home.path), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    status: dict[str, Any] = json.loads(done.stdout)
    found = [one for one in status["chores"] if one["name"] == "certify"]
    return {**(found[0] if found else {}), "explanations": status["explanations"]}


def _until(found: Callable[[], bool], home: SiteHome) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < deadline, (home.path / "start.log").read_text()
        time.sleep(0.2)


def _state(home: SiteHome) -> str:
    told = chore_status(home, "certify")
    return "" if told is None else told.state


def _child(of: int) -> int:
    """The process that does a chore of a site."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and b"agent.chore" in (entry / "cmdline").read_bytes():
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == of:
                    return int(entry.name)
    raise AssertionError("no process does a chore")


def test_a_release_is_certified_by_the_running_site_also_after_a_death_in_the_middle(home: SiteHome) -> None:
    active = model_at(home)
    assert active is not None
    digest = digest_of(active.bundle)
    with _running(home) as site:
        _until(lambda: _state(home) == "running", home)
        child = _child(site.pid)
        assert (os.sched_getscheduler(child), os.getpriority(os.PRIO_PROCESS, child)) == (os.SCHED_IDLE, 19)
        assert _told(home)["state"] == "running"
        os.kill(child, signal.SIGKILL)
        _until(lambda: _state(home) == "failed", home)
        assert "signal 9" in _told(home)["detail"]
        assert site.poll() is None  # the site itself goes on
        assert read_certificate(home, digest) is None
    with _running(home) as site:
        _until(lambda: _state(home) == "running", home)
        site.kill()  # the machine loses its power: nothing is told by anybody
        site.wait(10.0)
        assert _told(home)["state"] == "failed"
    with _running(home):
        _until(lambda: _state(home) == "failed", home)  # what the dead one left is put right at the start
        _until(lambda: _state(home) == "done", home)
        told = _told(home)
        assert "release 1" in told["detail"]
        assert told["explanations"] in ("passed", "failed")
    found = read_certificate(home, digest)
    assert found is not None
    assert found.status == told["explanations"] == site_status(home).explanations
    assert found.walks > 0


def test_a_test_that_takes_too_long_is_ended_and_said(home: SiteHome) -> None:
    for certificate in (home.path / "certificates").glob("*.json"):
        certificate.unlink()
    with contextlib.closing(Chores(home, None, first_s=0.0, deadlines_s={"certify": 6.0, "send": 6.0})) as chores:
        deadline = time.monotonic() + PATIENCE_S
        while _state(home) != "failed":
            assert time.monotonic() < deadline
            chores.tick()
            time.sleep(0.05)
    told = chore_status(home, "certify")
    assert told is not None
    assert "not done after" in told.detail
    assert not list((home.path / "certificates").glob("*.json"))
