"""Children of a service: started anew when they die, told their settings over a pipe, gone when the service goes."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gaitkeeper_shared import processes
from gaitkeeper_shared.processes import ChildSpec, Supervisor

CHILD = """
import json, os, sys, time
from pathlib import Path
from gaitkeeper_shared.processes import read_settings
settings = read_settings()
with Path(settings["notes"]).open("a") as notes:
    notes.write(json.dumps({"pid": os.getpid(), "argv": sys.argv, "secret": settings["secret"]}) + "\\n")
if settings.get("exit") is not None:
    sys.exit(settings["exit"])
time.sleep(60)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a_child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def spec(place: Path, *, restart: bool = True, status: int | None = None) -> ChildSpec:
    settings = {"notes": str(place / "notes"), "secret": "open sesame", "exit": status}
    return ChildSpec("child", "a_child", settings, place / "child.log", restart)


def notes(place: Path) -> list[dict[str, object]]:
    path = place / "notes"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def until(condition: Callable[[], bool], tick: Callable[[], None] = lambda: None) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        tick()
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return state == "Z"


def test_a_killed_child_is_started_anew_and_its_secret_is_on_no_command_line(place: Path) -> None:
    children = Supervisor()
    try:
        children.add(spec(place))
        until(lambda: len(notes(place)) == 1, children.tick)
        first = notes(place)[0]
        command = (
            Path(f"/proc/{first['pid']}/cmdline").read_bytes() + Path(f"/proc/{first['pid']}/environ").read_bytes()
        )
        assert first["secret"] == "open sesame"
        assert b"sesame" not in command
        os.kill(int(str(first["pid"])), signal.SIGKILL)
        until(lambda: len(notes(place)) == 2, children.tick)
        (status,) = children.status()
        assert (status.starts, status.last_exit) == (2, -signal.SIGKILL)
    finally:
        children.stop()
    assert all(gone(int(str(item["pid"]))) for item in notes(place))


def test_a_child_that_is_to_run_once_runs_once(place: Path) -> None:
    children = Supervisor()
    try:
        children.add(spec(place, restart=False, status=7))
        until(lambda: children.ended("child") is not None, children.tick)
        assert children.ended("child") == 7
        for _ in range(20):
            children.tick()
        assert len(notes(place)) == 1
    finally:
        children.stop()


def test_a_child_whose_log_cannot_be_opened_is_started_later_and_the_reason_is_said_once(
    place: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(processes, "_LONGEST_PAUSE_S", 0.05)
    log = place / "child.log"
    log.mkdir()
    children = Supervisor()
    try:
        children.add(spec(place))
        with caplog.at_level(logging.WARNING):
            for _ in range(20):
                children.tick()
                time.sleep(0.02)
        assert not notes(place)
        assert children.status()[0].trouble
        assert [record.message for record in caplog.records if str(log) in record.message] == [caplog.messages[0]]
        log.rmdir()
        until(lambda: len(notes(place)) == 1, children.tick)
        assert not children.status()[0].trouble
    finally:
        children.stop()


def test_children_do_not_outlive_a_service_that_was_killed(place: Path) -> None:
    """SIGKILL leaves the service no time to end anybody: the closed pipe does."""
    service = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time, sys; from pathlib import Path\n"
            "from gaitkeeper_shared.processes import ChildSpec, Supervisor\n"
            "place = Path(sys.argv[1]); children = Supervisor()\n"
            "settings = {'notes': str(place / 'notes'), 'secret': ''}\n"
            "children.add(ChildSpec('child', 'a_child', settings, place / 'child.log'))\n"
            "children.tick(); time.sleep(60)",
            str(place),
        ]
    )
    try:
        until(lambda: len(notes(place)) == 1)
        service.kill()
        service.wait(10)
        until(lambda: gone(int(str(notes(place)[0]["pid"]))))
    finally:
        service.kill()
        service.wait(10)


@pytest.mark.parametrize("ended_by", ["tick", "remove", "stop"])
def test_a_child_that_died_before_it_read_its_settings_troubles_nobody(place: Path, ended_by: str) -> None:
    """What it did not read is still to be written when its pipe is closed."""
    children = Supervisor()
    children.add(ChildSpec("child", "this", {}, place / "child.log", restart=False))
    children.tick()
    process = children._children["child"].process
    assert process is not None
    process.wait(20)
    assert process.stdin is not None
    process.stdin.write(b"settings that nobody reads\n")
    if ended_by == "tick":
        children.tick()
        assert children.ended("child") == 0
    elif ended_by == "remove":
        children.remove("child")
    else:
        children.stop()
    assert process.stdin.closed
