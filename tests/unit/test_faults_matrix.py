"""The fault matrix as data: every cell can be run, and the page tells what was run and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults import __main__ as command
from tests.faults import everything, outcomes, page
from tests.faults.outcomes import Cell, cells, keep, outcome
from tests.faults.soak import Diary, Sample, leaks


def test_every_cell_can_be_run_and_has_a_name_of_its_own() -> None:
    matrix = cells()
    assert len(matrix) >= 90
    known = command.functions()
    assert len({cell.name for cell in matrix}) == len(matrix)
    for cell in matrix:
        assert cell.does[0] in known
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
    assert "| **WRONG** |" not in text
    assert "a / b" in text
    assert f"2 of {len(cells())} cells" in text
    page.write_matrix()
    assert "200 rounds" in page.PAGE.read_text("utf-8")
    assert page.PAGE.read_text("utf-8").count("Not measured yet.") == len(page.PARTS) - 2


def test_words_choose_the_cells_that_hold_them_all_and_what_is_not_understood_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[tuple[str, ...]] = []

    def run(chosen: Sequence[Cell], *, verbose: bool) -> int:
        ran.append(tuple(cell.name for cell in chosen))
        return 0

    monkeypatch.setattr(command, "run_cells", run)
    assert command.main(["kill_at_state", "superlink", "invited"]) == 0
    assert command.main([]) == 0
    assert ran == [("kill_at_state superlink invited",), tuple(cell.name for cell in cells())]
    for words, status in ((["--help"], 0), (["--lift"], 2), (["no such cell"], 2), (["soak", "--round", "x"], 2)):
        with pytest.raises(SystemExit) as left:
            command.main(words)
        assert left.value.code == status
    assert command.main(["--list", "certificate"]) == 0
    assert "site_certificate expired" in capsys.readouterr().out
    assert len(ran) == 2


def test_every_measurement_of_the_page_can_be_asked_for_and_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"all", *page.PARTS} == {"matrix", *command.MEASURES}
    for name in command.MEASURES:
        with pytest.raises(SystemExit) as left:
            command.main([name, "--help"])
        assert left.value.code == 0
        assert f"python -m tests.faults {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ends", "status"), [({}, 0), ({"watch": 2}, 0), ({"soak": 1}, 1), ({"matrix": 1, "watch": 2}, 1)]
)
def test_all_fails_where_a_part_does_and_not_where_one_cannot_be_measured_here(
    ends: dict[str, int], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[tuple[str, ...]] = []

    def run(part: tuple[str, ...]) -> int:
        ran.append(part)
        return ends.get(part[0] if part else "matrix", 0)

    monkeypatch.setattr(everything, "_run", run)
    assert everything.main(["--watch-minutes", "90"]) == status
    assert ran == [(), ("load",), ("crowd",), ("soak",), ("watch", "--minutes", "90")]
    assert capsys.readouterr().out.count("NOT as it should be") == sum(end == 1 for end in ends.values())


def test_a_soak_calls_a_leak_a_leak() -> None:
    def diary(*, processes: int = 7, temporary: int = 0, files: int = 44, mib_a_round: float = 0.01) -> Diary:
        samples = [Sample("node", 1, number, 130.0 + mib_a_round * number, 9, 4) for number in range(0, 60, 10)]
        return Diary(Counter(succeeded=6), Counter(), samples, [7, processes], [0, temporary], [40, files], 60)

    assert leaks(diary(), {"clinic-a": 60}) == []
    assert leaks(diary(processes=8), {}) == ["processes went from 7 to 8 in 6 runs"]
    assert leaks(diary(temporary=1), {}) == ["temporary files went from 0 to 1 in 6 runs"]
    assert leaks(diary(files=65), {}) == ["files went from 40 to 65 in 6 runs"]
    assert leaks(diary(mib_a_round=0.2), {}) == ["node grows by 0.200 MiB a round"]
    assert leaks(diary(), {"clinic-a": 61}) == ["clinic-a was charged 61 times"]
