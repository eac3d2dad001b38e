"""What the benchmarks keep: a new measurement replaces its own numbers, in the file and in the page, and no other's."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest
from tests.bench import page
from tests.bench.__main__ import LONG, MEASUREMENTS
from tests.bench.result import Result


def test_a_measurement_replaces_its_own_numbers_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = page.PAGE.read_text("utf-8")
    monkeypatch.setattr(page, "LATEST", tmp_path / "bench" / "latest.json")
    monkeypatch.setattr(page, "PAGE", tmp_path / "bench.md")
    page.PAGE.write_text(written, "utf-8")
    page.LATEST.parent.mkdir()
    page.LATEST.write_text(json.dumps({"of_old": {"value": 9.75, "unit": "s", "what": "an older version's"}}))
    page.keep([Result("one", 1.0, "s", "first"), Result("two", 2.0, "ratio", "second", detail="4 over 2")], load=0.5)
    page.keep([Result("one", 3.0, "s", "first")], load=1.5)
    entries = json.loads(page.LATEST.read_text("utf-8"))
    assert {name: entry["value"] for name, entry in entries.items()} == {"of_old": 9.75, "one": 3.0, "two": 2.0}
    text = page.PAGE.read_text("utf-8")
    assert "| `one` | 3.00 s |" in text
    assert all(line in text for line in written.splitlines() if line.startswith("| `round_")), "not measured here"
    assert "| `two` | 2.00 | 4 over 2 | 0.5 |" in text
    assert "of_old" not in text  # nobody knows of when that is
    before, after = written.split("<!-- measured -->")[0], written.split("<!-- end of measured -->")[1]
    assert text.startswith(before)
    assert text.endswith(after)


def test_every_measurement_can_be_taken_and_is_told_on_the_page() -> None:
    text = page.PAGE.read_text("utf-8")
    assert not set(MEASUREMENTS) & set(LONG)
    for name in MEASUREMENTS + LONG:
        assert callable(import_module(f"tests.bench.{name}").measure), name
        assert f"| `{name}` |" in text, name
