"""What the coordinator's service does where a conductor or the SuperLink cannot: stop, pause, start anew, and tell."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.rounds_fixtures import SITES, STUDY, weights

from gaitkeeper_server import daemon
from gaitkeeper_server.daemon import CoordinatorService, journal_path
from gaitkeeper_server.enrolment.setup import create_coordinator
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.rounds import control_watch
from gaitkeeper_server.rounds.control_watch import Answers, Stillness
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.states import Outcome, RoundState, RunState, Wish
from gaitkeeper_shared import processes
from gaitkeeper_shared.ports import free_port
from gaitkeeper_shared.processes import ChildSpec

CONDUCTOR = """
import sys, time
from pathlib import Path
from gaitkeeper_shared.processes import read_settings
settings = read_settings()
told = Path(settings["journal"]).with_name("told").read_text()
if told.isdigit():
    sys.exit(int(told))
while True:
    Path(settings["sign"]).touch()
    time.sleep(0.05)
"""
SERVER = """
from http.server import BaseHTTPRequestHandler, HTTPServer
from gaitkeeper_shared.processes import read_settings
HTTPServer(("127.0.0.1", read_settings()["port"]), BaseHTTPRequestHandler).serve_forever()
"""
RUN = "run-one"


class Stage:
    """A service that is ticked by hand; its conductors do as they are told."""

    def __init__(self, folder: Path) -> None:
        self.home = CoordinatorHome(folder / "coordinator")
        ports = {"enrolment": 0, "site": 0, "fleet": 0, "control": free_port()}
        create_coordinator(self.home, "test", ("127.0.0.1",), ports=ports)
        self.journal = Journal(journal_path(self.home))
        self.journal.request_run(RUN, STUDY, SITES, weights())
        self.said: list[str] = []
        self.service = CoordinatorService(self.home, self.said.append)
        # Publishing is another matter.
        self.service._publish = lambda record: None  # type: ignore[method-assign]

    def tell(self, what: str) -> None:
        (self.home.path / "told").write_text(what)

    @property
    def state(self) -> RunState:
        return self.journal.run(RUN).state

    @property
    def pid(self) -> int | None:
        return next((item.pid for item in self.service._children.status() if item.name == f"run-{RUN}"), None)

    def ends(self) -> int:
        return sum(self.service._children.ends(f"run-{RUN}").values())

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline
            self.service._tick()
            time.sleep(0.02)

    def at_work(self) -> int:
        """Tick until the conductor has left a sign; its process."""
        self.until((self.home.run / f"run-{RUN}.sign").exists)
        assert self.pid is not None
        return self.pid


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    (tmp_path / "a_conductor.py").write_text(CONDUCTOR)
    (tmp_path / "a_server.py").write_text(SERVER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(daemon, "_CONDUCTOR", "a_conductor")
    monkeypatch.setattr(processes, "_FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(processes, "_LONGEST_PAUSE_S", 0.05)
    made = Stage(tmp_path)
    yield made
    made.service._children.stop()


def test_a_conductor_that_ends_again_and_again_pauses_its_run_and_an_operator_may_resume_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "_FRUITLESS_ENDS", 3)
    # What passes does not count, however often: it is told, and the run is tried again.
    stage.tell("75")
    stage.until(lambda: bool(stage.service._conducted) and stage.ends() >= 4)
    assert not stage.journal.run(RUN).state.terminal
    assert stage.state is RunState.REQUESTED
    assert len([line for line in stage.said if RUN in line]) == 1
    stage.tell("1")
    stage.until(lambda: stage.state is RunState.PAUSED)
    record = stage.journal.run(RUN)
    assert record.paused_itself
    assert "ended 3 times" in record.detail
    for _ in range(5):
        stage.service._tick()
    assert stage.pid is None

    stage.tell("works")
    stage.journal.set_wish(RUN, Wish.GO)
    stage.at_work()
    assert stage.state is RunState.REQUESTED


def test_stop_and_pause_are_done_also_where_the_conductor_hangs_or_there_is_none(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "_STOP_WITHIN_S", 0.2)
    stage.tell("works")
    stage.journal.set_wish(RUN, Wish.PAUSE)
    stage.service._tick()
    assert (stage.state, stage.pid) == (RunState.PAUSED, None)
    assert not stage.journal.run(RUN).paused_itself

    stage.journal.set_wish(RUN, Wish.GO)
    pid = stage.at_work()
    stage.journal.open_round(RUN, 1, SITES)
    stage.journal.record_dispatched(RUN, 1, SITES[:2])
    os.kill(pid, signal.SIGSTOP)
    stage.journal.set_wish(RUN, Wish.STOP)
    stage.until(lambda: stage.state.terminal)
    assert stage.state is RunState.STOPPED
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert [item.state for item in stage.journal.rounds(RUN)] == [RoundState.ABANDONED]
    words = [item.outcome for item in stage.journal.outcomes(RUN, 1)]
    assert words == [Outcome.LATE, Outcome.LATE, Outcome.ABSENT]


def test_a_conductor_without_a_sign_of_life_is_started_anew_and_one_that_works_is_not(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "longest_stillness_s", lambda study: 2.0)
    stage.tell("works")
    first = stage.at_work()
    for _ in range(60):
        stage.service._tick()
        time.sleep(0.05)
    assert stage.pid == first
    os.kill(first, signal.SIGSTOP)
    stage.until(lambda: stage.pid not in (None, first))
    assert stage.ends() == 1


def test_a_superlink_that_does_not_answer_is_started_anew(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.journal.set_wish(RUN, Wish.PAUSE)
    port = stage.home.config().control_port
    children = stage.service._children
    children.add(ChildSpec("superlink", "a_server", {"port": port}, stage.home.logs / "superlink.log"))

    def pid() -> int | None:
        return next(item.pid for item in children.status() if item.name == "superlink")

    stage.until(lambda: control_watch.answers(port, 5.0))
    first = pid()
    assert first is not None
    stage.service._superlink = Answers(port, every_s=0.05, within_s=1.5, times=2)
    stage.service._superlink.start()
    for _ in range(20):
        stage.service._tick()
        time.sleep(0.02)
    assert pid() == first
    os.kill(first, signal.SIGSTOP)
    with caplog.at_level(logging.WARNING):
        stage.until(lambda: pid() not in (None, first) and control_watch.answers(port, 5.0))
    stage.service._superlink.stop()
    assert "does not answer" in caplog.text


def test_a_machine_that_stood_still_is_no_conductor_that_hangs(tmp_path: Path) -> None:
    still = Stillness(tmp_path / "sign")
    (tmp_path / "sign").touch()
    seen = [still.look(moment, 0) for moment in (0.0, 0.1, 0.2, 5000.0, 5000.1)]
    assert seen == pytest.approx([0.0, 0.1, 0.2, 1.2, 1.3])
    # A new life of the process, and a sign, begin anew.
    assert still.look(5000.2, 1) == 0.0
    assert still.look(5000.3, 1) > 0.0
    os.utime(tmp_path / "sign", ns=(1, 1))
    assert still.look(5000.4, 1) == 0.0
    assert still.counts()
    # Where a file cannot be touched, nobody who could not either is still; nor is he at once when it can be again.
    nowhere = Stillness(tmp_path / "later" / "sign")
    assert [nowhere.look(moment, 0) for moment in (0.0, 0.5)] == [0.0, 0.5]
    assert not nowhere.counts()
    assert nowhere.look(0.6, 0) == pytest.approx(0.1)


def test_a_service_outlives_a_conductors_log_that_cannot_be_opened(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.tell("works")
    log = stage.home.logs / f"run-{RUN}.log"
    log.mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            stage.service._tick_or_wait()
            time.sleep(0.02)
    assert caplog.text.count("cannot be started") == 1
    assert not stage.state.terminal
    log.rmdir()
    stage.at_work()


def test_a_run_whose_study_this_version_cannot_read_pauses(stage: Stage) -> None:
    with stage.journal.writing() as database:
        database.execute("UPDATE runs SET study = x'00'")
    stage.service._tick()
    assert stage.journal.run(RUN).paused_itself
