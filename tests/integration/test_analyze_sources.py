"""``gaitkeeper analyze`` and ``export`` on recordings that are no videos, as a newcomer types them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from lab_fixtures import WRITERS, walk

from gaitkeeper_shared.cli import main

TRUTH = walk(4.0)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, output and errors of the command itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["gaitkeeper", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return int(ended.value.code or 0), out, err


def test_analyze_takes_a_table_with_what_it_does_not_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = WRITERS["deeplabcut"][1](tmp_path / "walk_dlc.csv", TRUTH)
    status, _, errors = run(capsys, "analyze", table)
    assert (status, "--rate" in errors) == (2, True)
    status, output, _ = run(capsys, "analyze", table, "--rate", 100, "--json")
    document = json.loads(output)
    assert (status, document["status"], document["source"]["kind"]) == (0, "analysed", "deeplabcut")
    assert document["parameters"]["cadence"]["value"] == pytest.approx(104.0, rel=0.015)
    assert document["parameters"]["step_length"]["refused"]["code"] == "scale-unknown"
    assert json.loads((tmp_path / "walk_dlc-gait" / "analysis.json").read_text()) == document
    assert (tmp_path / "walk_dlc-gait" / "report.html").stat().st_size > 10_000
    status, output, _ = run(capsys, "analyze", table, "--rate", 100, "--height", 1.7)
    assert status == 0
    assert "step_length " in output
    assert "Withheld" in output


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--rate", "0"], "option-unusable"),
        (["--size", "big"], "option-unusable"),
        (["--mapping", "gone.toml"], "mapping-unreadable"),
        (["--rate", "30"], "option-does-not-apply"),
        (["--person", "2"], "person-unknown"),
    ],
)
def test_options_that_cannot_be_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: str
) -> None:
    path = WRITERS["trc"][1](tmp_path / "walk.trc", walk(0.5))
    status, output, errors = run(capsys, "analyze", path, *arguments, "--output", tmp_path / "out")
    assert (status, output) == (2, "")
    assert f"[{code}]" in errors
    assert not (tmp_path / "out").exists()


def test_a_folder_of_anything_else_is_no_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tmp_path, tmp_path / "gone.c3d"):
        status, _, errors = run(capsys, "analyze", path)
        assert status == 2
        assert "source-folder" in errors or "There is no file" in errors


def test_export_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = WRITERS["trc"][1](tmp_path / "walk.trc", TRUTH)
    status, output, _ = run(capsys, "export", path, "--to", "c3d", "--output", tmp_path / "out.c3d")
    assert (status, output.strip()) == (0, str(tmp_path / "out.c3d"))
    status, output, _ = run(capsys, "analyze", tmp_path / "out.c3d", "--json", "--output", tmp_path / "again")
    assert json.loads(output)["parameters"]["cadence"]["value"] == pytest.approx(104.0, rel=0.015)
    assert run(capsys, "export", path, "--to", "fbx")[0] == 2
    short = WRITERS["trc"][1](tmp_path / "short.trc", walk(0.5))
    status, _, errors = run(capsys, "export", short, "--to", "trc", "--output", tmp_path / "short_out.trc")
    assert (status, "export-refused" in errors) == (3, True)
    assert not (tmp_path / "short_out.trc").exists()
