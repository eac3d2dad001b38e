"""What a running site does by itself: in processes that give way, with deadlines, and told in its status."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from console_fixtures import make_console, small_recording
from exchange_fixtures import fhir_double

from gaitkeeper_client.agent.chores import Chores, ChoreStatus, chore_status, keep_status
from gaitkeeper_client.agent.status import site_status
from gaitkeeper_client.consortium.release_store import Pointer, SignedDocument, write_pointer
from gaitkeeper_client.exchange.outbox import Outbox
from gaitkeeper_client.exchange.sending import queue
from gaitkeeper_client.exchange.server import FhirServer, name_server
from gaitkeeper_client.gait.analysis import Analysis, Parameter
from gaitkeeper_client.insight.context import PatientContext
from gaitkeeper_client.signing.kept import save
from gaitkeeper_client.vault.consent import Consent
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.records import PatientFacts, RecordingFacts

PATIENCE_S = 60.0


@pytest.fixture
def site(tmp_path: Path) -> tuple[SiteHome, str]:
    console = make_console(tmp_path / "site")
    came = RecordingFacts("8" * 64, "x.mp4", "2026-01-01T00:00:00+00:00")
    speed = {"walking_speed": Parameter("m/s", 1.1, (1.0, 1.2), 9)}
    walk = Analysis("analysed", (), {"sha256": "ab" * 32}, speed, (), (), {}, small_recording())
    with console.vault() as vault:
        patient = PatientFacts("patient-1", consent=Consent(frozenset({"care"})))
        who = PatientContext(vault.add(patient, small_recording(), came).pseudonym)
        return console.home, save(console.home, vault, who, walk, None).report.id


def _ticked(chores: Chores, until: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not until():
        assert time.monotonic() < deadline
        chores.tick()
        time.sleep(0.02)


def test_the_outbox_is_emptied_by_a_process_that_gives_way_and_the_status_says_so(site: tuple[SiteHome, str]) -> None:
    home, report = site
    with fhir_double() as double, contextlib.closing(Chores(home, None, first_s=0.0)) as chores:
        seen: list[tuple[int, int]] = []
        double.after = lambda: seen.extend(_scheduling())
        name_server(home, FhirServer(double.url))
        queue(home, [report])
        assert site_status(home).waiting_reports == 1
        _ticked(chores, lambda: (told := chore_status(home, "send")) is not None and told.state == "done")
        assert any(url.startswith("DiagnosticReport") for url in double.stored)
    assert seen == [(os.SCHED_IDLE, 19)]
    found = site_status(home)
    assert found.waiting_reports == 0
    assert [(one.name, one.state, one.detail) for one in found.chores] == [("send", "done", "1 delivered.")]
    assert [post.state for post in Outbox.of(home).posts()] == ["delivered"]
    keep_status(home, ChoreStatus("send", "running", found.chores[0].at, ""))
    assert site_status(home).chores[0].state == "failed"  # of a site that was killed


def test_a_chore_that_is_late_is_ended_and_one_that_fails_says_why(site: tuple[SiteHome, str]) -> None:
    home, _ = site
    write_pointer(home, Pointer(SignedDocument(b"{}", b"{}"), 1, 1, "2026-01-01T00:00:00+00:00", True))
    with contextlib.closing(Chores(home, None, first_s=0.0, deadlines_s={"certify": 0.0, "send": 0.0})) as chores:
        _ticked(chores, lambda: (told := chore_status(home, "certify")) is not None and "not done" in told.detail)
    with contextlib.closing(Chores(home, None, first_s=0.0)) as chores:
        (home.run / "chore-certify.json").unlink()
        _ticked(chores, lambda: (told := chore_status(home, "certify")) is not None and told.state == "failed")
    told = chore_status(home, "certify")
    assert told is not None
    assert "enrol" in told.detail  # this site never was: its release is nobody's


def _scheduling() -> list[tuple[int, int]]:
    """How the kernel schedules the processes of this test's chores."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and b"gaitkeeper_client.agent.chore" in _command(folder):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid():
                number = int(folder.name)
                found.append((os.sched_getscheduler(number), os.getpriority(os.PRIO_PROCESS, number)))
    return found


def _command(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:
        return b""
