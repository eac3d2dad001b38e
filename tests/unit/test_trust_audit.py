"""The audit log: any edit or removal is found, a crash leaves no false alarm, processes do not disturb each other."""

from __future__ import annotations

import json
import multiprocessing
import resource
from pathlib import Path

import pytest

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.audit import AuditLog


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    made = AuditLog(tmp_path / "audit.log")
    for number in range(5):
        made.append("study-approved", study=f"study-{number}", number=number)
    return made


def test_entries_come_back_in_order(log: AuditLog) -> None:
    entries = list(log.entries())
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[3].facts["study"] == "study-3"
    assert log.verify() == log.head()
    assert log.head().sequence == 5


def test_every_single_changed_byte_is_found(log: AuditLog) -> None:
    original = log.path.read_bytes()
    for position in range(0, len(original), 7):
        changed = bytearray(original)
        changed[position] ^= 0x01
        log.path.write_bytes(bytes(changed))
        with pytest.raises(GaitkeeperError) as error:
            log.verify()
        assert error.value.code == "audit-broken", position
    log.path.write_bytes(original)
    log.verify()


@pytest.mark.parametrize("removed", range(5))
def test_every_removed_line_is_found(log: AuditLog, removed: int) -> None:
    lines = log.path.read_bytes().splitlines(keepends=True)
    del lines[removed]
    log.path.write_bytes(b"".join(lines))
    with pytest.raises(GaitkeeperError):
        log.verify()


def test_swapped_and_repeated_lines_are_found(log: AuditLog) -> None:
    lines = log.path.read_bytes().splitlines(keepends=True)
    for forged in ([lines[0], lines[2], lines[1], *lines[3:]], [*lines, lines[-1]], []):
        log.path.write_bytes(b"".join(forged))
        with pytest.raises(GaitkeeperError):
            log.verify()


def test_a_cut_tail_is_not_written_over(log: AuditLog) -> None:
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:3]))
    with pytest.raises(GaitkeeperError):
        log.append("innocent")


def test_a_removed_anchor_is_found(log: AuditLog) -> None:
    log.path.with_name("audit.log.anchor").unlink()
    with pytest.raises(GaitkeeperError):
        log.verify()


def test_a_crash_between_line_and_anchor_is_no_alarm(log: AuditLog) -> None:
    anchor = log.path.with_name("audit.log.anchor")
    before = anchor.read_bytes()
    log.append("last")
    anchor.write_bytes(before)
    assert log.verify().sequence == 6
    log.append("next")
    assert log.verify().sequence == 7


def test_a_torn_line_is_cut_when_the_log_goes_on(log: AuditLog) -> None:
    with log.path.open("ab") as file:
        file.write(b'{"at":"2026-')
    assert log.verify().sequence == 5
    log.append("next")
    assert [entry.event for entry in log.entries()][-1] == "next"
    assert log.verify().sequence == 6


def test_a_long_line_does_not_hide_the_one_before(log: AuditLog) -> None:
    log.append("long", text="x" * 200_000)
    log.append("after")
    assert log.verify().sequence == 7
    assert json.loads(log.path.read_bytes().splitlines()[-1])["event"] == "after"


def _write(path: Path, name: str) -> None:
    log = AuditLog(path)
    for number in range(20):
        log.append("tick", writer=name, number=number)


def test_processes_share_one_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(path, f"w{number}")) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert AuditLog(path).verify().sequence == 60


def test_a_full_disk_is_told_and_leaves_a_whole_log(log: AuditLog) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.path.stat().st_size + 40, limit[1]))
    try:
        with pytest.raises(GaitkeeperError) as error:
            log.append("too-much", text="x" * 500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert error.value.code == "disk-full"
    assert log.path.read_bytes()[-1:] != b"\n"  # a part of the line was written
    log.append("next")
    assert log.verify().sequence == 6
