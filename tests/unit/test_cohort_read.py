"""cohort.csv: read whole, or refused with the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gaitkeeper_client.vault.cohort import COLUMNS, read_cohort
from gaitkeeper_shared.errors import GaitkeeperError

HEADER = ",".join(COLUMNS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.mp4", "c.bvh"):
        (tmp_path / name).write_bytes(b"walk")
    return tmp_path


def write(folder: Path, *lines: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
    path = folder / "cohort.csv"
    path.write_bytes("\n".join((header, *lines)).encode(encoding))
    return path


def refused(path: Path) -> GaitkeeperError:
    with pytest.raises(GaitkeeperError) as caught:
        read_cohort(path)
    assert caught.value.exit_status == 2
    return caught.value


def test_rows_come_typed_and_further_columns_are_kept(folder: Path) -> None:
    path = write(
        folder,
        'p1,a.mp4,"ataxic, mild",71,F,1.62,2026-03-31,7b',
        "p2,b.mp4,,,,,,",
        header=HEADER + ",ward",
    )
    first, second = read_cohort(path)
    assert (first.line, first.patient, first.path, first.label) == (2, "p1", folder / "a.mp4", "ataxic, mild")
    assert (first.age, first.sex, first.height_m) == (71.0, "female", 1.62)
    assert (first.recorded_at, dict(first.extra)) == ("2026-03-31T00:00:00+00:00", {"ward": "7b"})
    assert (second.label, second.age, second.sex, second.height_m, second.recorded_at) == (None,) * 5


def test_what_spreadsheets_write_is_read(folder: Path) -> None:
    lines = ("p1;a.mp4;Ataxie (schwäche);71,5;w;1,62;;", "", ";;;;;;;")
    path = write(folder, *lines, header=HEADER.replace(",", ";") + ";", encoding="utf-8-sig")
    (row,) = read_cohort(path)
    assert (row.label, row.age, row.sex, row.height_m) == ("Ataxie (schwäche)", 71.5, "female", 1.62)


def test_time_zones_become_utc(folder: Path) -> None:
    (row,) = read_cohort(write(folder, "p1,a.mp4,x,,,,2026-03-31T02:00+02:00"))
    assert row.recorded_at == "2026-03-31T00:00:00+00:00"


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(folder: Path, column: str) -> None:
    names = [name for name in COLUMNS if name != column]
    error = refused(write(folder, header=",".join(names)))
    assert (error.code, error.values["missing"]) == ("cohort-missing-column", column)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("p1,a.mp4,x,seventy,f,1.7,", "age 'seventy' is not a number"),
        ("p1,a.mp4,x,-3,f,1.7,", "age -3"),
        ("p1,a.mp4,x,nan,f,1.7,", "age 'nan'"),
        ("p1,a.mp4,x,171,f,1.7,", "age 171"),
        ("p1,a.mp4,x,70,f,172,", "centimetres; write 1.72"),
        ("p1,a.mp4,x,70,f,-1.72,", "height_m -1.72"),
        ("p1,a.mp4,x,70,f,0,", "height_m 0"),
        ("p1,a.mp4,x,70,f,inf,", "height_m 'inf'"),
        ("p1,a.mp4,x,70,unknown,1.7,", "sex 'unknown'"),
        ("p1,a.mp4,x,70,f,1.7,yesterday", "recorded_at 'yesterday'"),
        ("p1,a.mp4,x,70,f,1.7", "6 cells"),
        ("p1,a.mp4,x,70,f,1.7,,what", "8 cells"),
        (",a.mp4,x,70,f,1.7,", "patient is empty"),
        ("p1,,x,70,f,1.7,", "path is empty"),
        ("p1,gone.mp4,x,70,f,1.7,", "no file gone.mp4"),
        ("p1,.,x,70,f,1.7,", "is not a file"),
        ("p0,c.bvh,x,,,,", "c.bvh stands on line 2"),
        ("p0,a.mp4,y,,,,", "another label than on line 2"),
        ("p0,a.mp4,x,,m,,", "another sex than on line 2"),
    ],
)
def test_a_bad_row_is_named_with_its_line(folder: Path, row: str, why: str) -> None:
    error = refused(write(folder, "p0,c.bvh,x,,f,,", row))
    assert error.code == "cohort-bad-row"
    assert "line 3" in error.message
    assert why in error.message


def test_all_bad_rows_are_named_at_once(folder: Path) -> None:
    error = refused(write(folder, *(f"p{number},gone{number}.mp4,,,,," for number in range(14))))
    assert error.values["count"] == 14
    assert "line 2:" in error.message
    assert "and 4 more" in error.message


def test_files_that_are_no_cohort(folder: Path) -> None:
    path = folder / "cohort.csv"
    assert refused(path).code == "cohort-not-found"
    for content, code in (
        (b"", "cohort-missing-column"),
        (HEADER.encode(), "cohort-empty"),
        (b"\xff\xfe\x00", "cohort-unreadable"),
        (b"\0" * 99, "cohort-unreadable"),
        (HEADER.encode() + b'\np1,"a.mp4,x', "cohort-unreadable"),
        ((HEADER + ",age").encode(), "cohort-column-twice"),
    ):
        path.write_bytes(content)
        assert refused(path).code == code, content
    assert refused(folder).code == "cohort-unreadable"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.binary(max_size=120))
def test_any_bytes_are_rows_or_a_catalogue_error(folder: Path, tail: bytes) -> None:
    path = folder / "cohort.csv"
    path.write_bytes(HEADER.encode() + b"\np1,a.mp4,x,,,,\n" + tail)
    assert outcome(path) in ("read", "exit 2")


def outcome(path: Path) -> str:
    try:
        return "read" if read_cohort(path)[0].patient == "p1" else "misread"
    except GaitkeeperError as error:
        return f"exit {error.exit_status}"
