"""Ingest meets crashes, hangs, bad files, a full disk and readers beside it, and loses nothing."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ingest_fixtures import obey, signatures

from gaitkeeper_client.vault.home import SiteHome, create_home
from gaitkeeper_client.vault.ingest import IngestSummary, Source, ingest
from gaitkeeper_client.vault.keys import SiteKey, create_key
from gaitkeeper_client.vault.records import PatientFacts
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_client.vault.workers import Job, run_jobs
from gaitkeeper_shared.errors import GaitkeeperError


def make_site(folder: Path) -> tuple[SiteHome, SiteKey]:
    home = SiteHome(folder)
    key = create_key(home)
    create_home(home, "clinic-test", "file")
    return home, key


def sources(folder: Path, *words: str) -> list[Source]:
    """One file for each word, each of a patient of its own."""
    found = []
    for number, word in enumerate(words):
        path = folder / f"{number}.walk"
        path.write_text(f"{word} {number}")
        found.append(Source(path, PatientFacts(f"patient-{number}", "healthy")))
    return found


def run(home: SiteHome, key: SiteKey, given: list[Source]) -> IngestSummary:
    with Vault.open(home, key) as vault:
        return ingest(home, vault, given, workers=2, analyse=obey)


def test_one_bad_file_does_not_stop_the_rest(tmp_path: Path) -> None:
    home, key = make_site(tmp_path / "site")
    words = ("walk", "crash", "walk", "fail", "refuse", "walk", "crash", "walk")
    given = sources(tmp_path, *words)
    given.append(Source(tmp_path / "gone.walk", PatientFacts("patient-gone")))
    summary = run(home, key, given)
    counts = {name: summary.count(name) for name in ("stored", "already_stored", "refused", "failed")}
    assert counts == {"stored": 4, "already_stored": 0, "refused": 1, "failed": 4}
    by_path = {outcome.path.name: outcome for outcome in summary.outcomes}
    assert by_path["1.walk"].reasons[0][0] == by_path["6.walk"].reasons[0][0] == "ingest-crashed"
    assert by_path["3.walk"].reasons[0][0] == "lab-file-unreadable"
    assert by_path["4.walk"].reasons == (("not-walking", "Nobody walks."),)
    assert by_path["gone.walk"].reasons[0][0] == "ingest-nothing"
    assert summary.exit_status == 4
    again = run(home, key, [given[0], given[2], given[4]])
    assert (again.count("already_stored"), again.count("refused"), again.exit_status) == (2, 1, 0)
    assert run(home, key, [given[4]]).exit_status == 3


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_as_many_files_are_analysed_at_once_as_there_are_cores(tmp_path: Path) -> None:
    """Each file's analysis waits for as many processes as there are cores: fewer would all be one too few."""
    home, key = make_site(tmp_path / "site")
    cores = len(os.sched_getaffinity(0))
    given = sources(tmp_path, *["meet"] * (2 * cores))
    with Vault.open(home, key) as vault:
        summary = ingest(home, vault, given, analyse=obey)
    assert summary.count("stored") == 2 * cores
    assert len(signatures(tmp_path)) == cores
    assert str(os.getpid()) not in signatures(tmp_path)


def test_a_hanging_file_is_given_up(tmp_path: Path) -> None:
    paths = [source.path for source in sources(tmp_path, "hang", "walk", "walk")]
    jobs = iter([Job(number, path, None) for number, path in enumerate(paths)])
    start = time.monotonic()
    results = {result.number: result for result in run_jobs(jobs, workers=2, analyse=obey, deadline_s=8.0)}
    assert time.monotonic() - start < 60.0
    assert results[0].error is not None
    assert results[0].error.code == "ingest-stalled"
    assert results[1].recording is not None
    assert results[2].recording is not None


def test_a_conflict_with_the_vault_stores_nothing(tmp_path: Path) -> None:
    home, key = make_site(tmp_path / "site")
    given = sources(tmp_path, "walk", "walk")
    run(home, key, given[:1])
    (tmp_path / "other.walk").write_text("walk other")
    changed = Source(tmp_path / "other.walk", PatientFacts("patient-0", "ataxic"))
    with pytest.raises(GaitkeeperError) as caught:
        run(home, key, [given[1], changed])
    assert caught.value.code == "vault-patient-conflict"
    with Vault.open(home, key) as vault:
        assert [patient.patient_id for patient in vault.patients()] == ["patient-0"]


READER = """
import sys, time
from pathlib import Path
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.keys import unlock
from gaitkeeper_client.vault.store import Vault
home, most, end = SiteHome(Path(sys.argv[1])), 0, time.monotonic() + 60
print("ready", flush=True)
while most < 8 and time.monotonic() < end:
    with Vault.open(home, unlock(home)) as vault:
        read = sum(len(list(vault.recordings(patient.pseudonym))) for patient in vault.patients())
    assert read >= most
    most = read
sys.exit(0 if most == 8 else 1)
"""


def test_training_reads_while_ingest_writes(tmp_path: Path) -> None:
    home, key = make_site(tmp_path / "site")
    Vault.open(home, key).close()
    command = [sys.executable, "-c", READER, str(home.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        summary = run(home, key, sources(tmp_path, *["walk"] * 8))
        _, errors = reader.communicate(timeout=90)
    assert summary.count("stored") == 8
    assert reader.returncode == 0, errors
    with Vault.open(home, key) as vault:
        assert vault.verify() == ()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", bytes(disk), b"tmpfs", 0, b"size=1m") != 0:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    yield disk
    libc.umount2(bytes(disk), 2)


def test_a_full_disk_leaves_a_sound_vault_and_a_rerun_goes_on(small_disk: Path, tmp_path: Path) -> None:
    home, key = make_site(small_disk / "site")
    given = sources(tmp_path, *["large"] * 5)  # 0.4 MiB each
    with pytest.raises(GaitkeeperError) as caught:
        run(home, key, given)
    assert caught.value.code == "disk-full"
    assert caught.value.exit_status == 4
    with Vault.open(home, key) as vault:
        assert vault.verify() == ()
        stored = len(vault.patients())
    assert 1 <= stored < 5
    assert not list(home.path.rglob("*.tmp"))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(b"tmpfs", bytes(small_disk), b"tmpfs", 32, b"size=16m") == 0  # 32: remount, larger
    summary = run(home, key, given)
    assert (summary.count("stored"), summary.count("already_stored")) == (5 - stored, stored)
    with Vault.open(home, key) as vault:
        assert vault.verify() == ()
