"""The command: real recordings in, kill -9 in between, and every one is stored exactly once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

DATA = Path(os.environ.get("GAITKEEPER_DATA", Path(__file__).parents[3] / "shared" / "data")) / "clinic-bvh"
WALKS = sorted(DATA.glob("Subject[ABC]*.bvh"))
HEADER = "patient,path,label,age,sex,height_m,recorded_at"
needs_walks = pytest.mark.skipif(not WALKS, reason=f"no recordings in {DATA}")


def gaitkeeper(home: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gaitkeeper_shared.cli", "site", *arguments, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "site"
    assert gaitkeeper(path, "init", "--name", "clinic-test").returncode == 0
    return path


def cohort(folder: Path, walks: list[Path], *more: str) -> Path:
    folder.mkdir(exist_ok=True)
    rows = [f"{path.stem.split('_')[0]},{path},ill,60,f,1.7,2020-01-01" for path in walks]
    (folder / "cohort.csv").write_text("\n".join((HEADER, *rows, *more)))
    return folder


def stored(home: Path) -> int:
    patients = json.loads(gaitkeeper(home, "patients", "--json").stdout)["patients"]
    return sum(patient["recordings"] for patient in patients)


@needs_walks
def test_a_folder_with_a_bad_file_then_a_single_file(home: Path, tmp_path: Path) -> None:
    folder = cohort(tmp_path / "cohort", WALKS[:3], "someone,cut.bvh,ill,,,,")
    (folder / "cut.bvh").write_bytes(WALKS[3].read_bytes()[:90_000])
    first = gaitkeeper(home, "ingest", str(folder), "--json")
    summary = json.loads(first.stdout)
    assert (summary["stored"], summary["failed"], first.returncode) == (3, 1, 2)
    (bad,) = [item for item in summary["outcomes"] if item["status"] == "failed"]
    assert bad["reasons"][0]["code"] == "lab-file-broken"
    single = gaitkeeper(home, "ingest", str(WALKS[3]), "--patient", "someone", "--label", "ill", "--height", "1.7")
    assert single.returncode == 0, single.stderr
    assert "1 stored" in single.stdout
    log = (home / "audit.log").read_text()
    assert log.count('"ingested"') == 4
    assert "Subject" not in log
    assert "someone" not in log
    assert gaitkeeper(home, "verify").returncode == 0


@needs_walks
def test_killed_at_any_moment_and_run_again(home: Path, tmp_path: Path) -> None:
    folder = cohort(tmp_path / "cohort", WALKS[:5])
    sealed = home / "vault" / "recordings"
    for wanted in (1, 3):
        command = [sys.executable, "-m", "gaitkeeper_shared.cli", "site", "ingest", str(folder), "--home", str(home)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 120
            while process.poll() is None and time.monotonic() < deadline and count(sealed) < wanted:
                time.sleep(0.01)
            workers = children(process.pid)
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)
        assert len(workers) >= 2
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()], "workers outlive their ingest"
        assert gaitkeeper(home, "verify").returncode == 0
    before = stored(home)
    summary = json.loads(gaitkeeper(home, "ingest", str(folder), "--json").stdout)
    assert summary["already_stored"] == before
    assert summary["stored"] == 5 - before
    assert stored(home) == len(list(sealed.iterdir())) == 5


def count(folder: Path) -> int:
    return len(list(folder.glob("*.sealed"))) if folder.exists() else 0


def children(pid: int) -> list[int]:
    """Processes whose parent is ``pid``, from /proc."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found.append(int(status.parent.name))
    return found


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (HEADER.replace(",label", "") + "\np,walk.bvh,60,f,1.7,", "cohort-missing-column"),
        (HEADER + "\np,walk.bvh,x,60,f,1.7,\nq,gone.bvh,x,,,,", "cohort-bad-row"),
        (HEADER + "\np,walk.bvh,x,60,f,170,", "cohort-bad-row"),
        (HEADER, "cohort-empty"),
    ],
)
def test_a_broken_cohort_stores_nothing(home: Path, tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "walk.bvh").write_text("HIERARCHY")
    (tmp_path / "cohort.csv").write_text(text)
    result = gaitkeeper(home, "ingest", str(tmp_path / "cohort.csv"))
    assert result.returncode == 2
    assert code in result.stderr
    assert "Traceback" not in result.stderr
    assert count(home / "vault" / "recordings") == 0


def test_what_cannot_be_ingested_is_said(home: Path, tmp_path: Path) -> None:
    video = tmp_path / "walk.mp4"
    video.write_bytes(b"")
    for arguments, code in (
        ([str(video)], "ingest-patient-needed"),
        ([str(video), "--height", "1.7"], "ingest-options-without-patient"),
        ([str(video), "--patient", "p", "--height", "170"], "ingest-bad-option"),
        ([str(tmp_path)], "ingest-nothing"),
        ([str(tmp_path / "gone.mp4"), "--patient", "p"], "ingest-nothing"),
    ):
        result = gaitkeeper(home, "ingest", *arguments)
        assert (result.returncode, code in result.stderr) == (2, True), result.stderr
    empty = gaitkeeper(home, "ingest", str(video), "--patient", "p")
    assert empty.returncode == 2
    assert "Traceback" not in empty.stderr + empty.stdout
    assert count(home / "vault" / "recordings") == 0


def test_a_wrong_passphrase_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "site"
    made = gaitkeeper(home, "init", "--name", "clinic-test", "--passphrase", input="correct horse battery\n")
    assert made.returncode == 0, made.stderr
    wrong = gaitkeeper(home, "patients", input="wrong horse battery\n")
    assert wrong.returncode == 2
    assert "passphrase-wrong" in wrong.stderr
    assert gaitkeeper(home, "patients", input="correct horse battery\n").returncode == 0
