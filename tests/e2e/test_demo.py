"""The whole mission with real parts, small: videos, three sites, two rounds, a signed release, a report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gaitkeeper_shared.demo.stage import Stage
from gaitkeeper_shared.demo.story import MARKER, prepare_folder
from gaitkeeper_shared.errors import GaitkeeperError

DEADLINE_S = 540


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

    done = subprocess.run(
        [*command, "--patients", "2", "--rounds", "2"], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )

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
