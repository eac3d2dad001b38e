"""The fault matrix as data: every cell can be run, and the page tells what was run and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults import __main__ as command
from tests.faults import outcomes, page
from tests.faults.outcomes import cells, keep, outcome


def test_every_cell_can_be_run_and_has_a_name_of_its_own() -> None:
    matrix = cells()
    assert len(matrix) >= 60
    assert len({cell.name for cell in matrix}) == len(matrix)
    for cell in matrix:
        assert cell.does[0] in command._DOES
        assert cell.expected


def test_the_page_is_what_the_kept_outcomes_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = page.PAGE.read_text("utf-8")
    monkeypatch.setattr(page, "PAGE", tmp_path / "faults.md")
    page.PAGE.write_text(written, "utf-8")
    page.write_matrix()
    assert page.PAGE.read_text("utf-8") == written


def test_one_cell_run_again_replaces_its_row_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "LATEST", tmp_path / "latest.json")
    monkeypatch.setattr(page, "PAGE", tmp_path / "faults.md")
    first, second = cells()[:2]
    keep([outcome(first, "failed", "WRONG", 1.0), outcome(second, "succeeded", "as expected", 1.0)])
    keep([replace(outcome(first, "a | b", "as expected", 2.0), commit="abc")])
    page.write_matrix()
    page.write_part("soak", "200 rounds")
    text = page.PAGE.read_text("utf-8")
    assert "WRONG" not in text
    assert "a / b" in text
    assert f"2 of {len(cells())} cells" in text
    page.write_matrix()
    assert "200 rounds" in page.PAGE.read_text("utf-8")
    assert page.PAGE.read_text("utf-8").count("Not measured yet.") == 2  # the load, the watch
