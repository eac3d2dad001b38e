"""The whole mission with real parts, small: videos, three sites, two rounds, a signed release, a report."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.e2e.netless import UNSHARE

from gaitkeeper_shared.demo.stage import Stage
from gaitkeeper_shared.demo.story import MARKER, prepare_folder
from gaitkeeper_shared.errors import GaitkeeperError

DEADLINE_S = 540
CUT_OFF = [*UNSHARE, "--net", sys.executable, str(Path(__file__).with_name("netless.py"))]
"""A command after these and a file runs without a network; the file gets the number of packets that had no way out."""


def can_be_cut_off() -> bool:
    """Whether this machine lets us make a network namespace with a loopback."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run([*CUT_OFF, f"{folder}/left", "true"], capture_output=True, timeout=60, check=False)
        except FileNotFoundError:
            return False
    return done.returncode == 0


def processes_that_name(folder: Path) -> list[str]:
    """Command lines of running processes in which the folder stands (Linux)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if str(folder) in line:
            found.append(line)
    return found


@pytest.mark.e2e
@pytest.mark.slow
def test_the_demo_plays_from_video_to_report(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "gaitkeeper_shared.cli", "demo", "--directory", str(folder)]
    command += ["--patients", "2", "--rounds", "2"]
    cut_off = can_be_cut_off()
    if cut_off:
        command = [*CUT_OFF, str(tmp_path / "left"), *command]

    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    assert summary["run"]["state"] == "succeeded"
    trained = [item for item in summary["run"]["rounds"] if item["kind"] == "train"]
    assert [item["state"] for item in trained] == ["committed", "committed"]
    assert all({site["outcome"] for site in item["sites"]} == {"included"} for item in trained)
    assert set(summary["run"]["epsilon_spent"]) == {"north", "harbour", "valley"}
    assert all(0 < spent <= 8.0 for spent in summary["run"]["epsilon_spent"].values())
    assert [item["state"] for item in summary["deployments"]] == ["active"] * 3
    analysis = json.loads((folder / "report" / "analysis.json").read_text("utf-8"))
    assert analysis["status"] == "analysed"
    assert analysis["findings"]["status"] != "no_model"
    assert "DRAFT" in (folder / "report" / "report.html").read_text("utf-8")
    assert processes_that_name(folder) == []
    if not cut_off:
        pytest.skip("the demo played; that nothing phones home needs Linux with user and network namespaces")
    assert (tmp_path / "left").read_text() == "0", "packets to other machines were tried"


@pytest.mark.e2e
def test_an_attempt_to_phone_home_would_be_counted(tmp_path: Path) -> None:
    if not can_be_cut_off():
        pytest.skip("needs Linux with user and network namespaces")
    caller = "import socket; s = socket.socket(); s.connect_ex(('192.0.2.1', 443))"
    subprocess.run([*CUT_OFF, str(tmp_path / "left"), sys.executable, "-c", caller], timeout=60, check=True)
    assert int((tmp_path / "left").read_text()) > 0


@pytest.mark.e2e
def test_a_look_up_by_a_resolver_of_this_very_machine_would_be_counted(tmp_path: Path) -> None:
    if not can_be_cut_off():
        pytest.skip("needs Linux with user and network namespaces")
    stub = tmp_path / "resolv.conf"
    stub.write_text("nameserver 127.0.0.53\noptions timeout:1 attempts:1\n")
    as_with_systemd = 'mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@"'
    caller = "import socket\ntry: socket.getaddrinfo('gait.example', 443)\nexcept OSError: pass"
    command = [*UNSHARE, "sh", "-c", as_with_systemd, str(stub), *CUT_OFF, str(tmp_path / "left")]
    subprocess.run([*command, sys.executable, "-c", caller], timeout=60, check=True)
    assert int((tmp_path / "left").read_text()) > 0


def test_a_folder_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", "utf-8")

    with pytest.raises(GaitkeeperError, match="not made by the demo"):
        prepare_folder(tmp_path)

    assert [item.name for item in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_folder_of_an_earlier_demo_is_made_anew(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "demo")
    (tmp_path / "demo" / "summary.json").write_text("{}", "utf-8")

    prepare_folder(tmp_path / "demo")

    assert [item.name for item in (tmp_path / "demo").iterdir()] == [MARKER]


def test_a_step_that_fails_is_named_with_its_log(tmp_path: Path) -> None:
    from rich.console import Console

    with Stage(tmp_path, Console(quiet=True)) as stage, pytest.raises(GaitkeeperError) as caught:
        stage.run("coordinator", "study", "sign", str(tmp_path / "nothing.toml"), "--home", str(tmp_path / "none"))

    assert caught.value.code == "demo-step-failed"
    assert str(tmp_path / "logs") in str(caught.value)
