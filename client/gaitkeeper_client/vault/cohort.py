"""``cohort.csv``: the list that says who walks in which file. Read whole and checked whole, before anything is done.

Columns: ``patient, path, label, age, sex, height_m, recorded_at`` in any order; ``consent`` may be there too (care,
training, care+training or none), and what a file may not say of itself: ``rate_hz, picture_size, mapping,
person_in_file, belt_m_s, static_trial``; ``aid`` (what the person walked with) and further columns are kept as text.
``path`` (and ``mapping``, ``static_trial``) is relative to the cohort's own folder. Comma, semicolon or tab; UTF-8 with
or without byte-order mark.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gaitkeeper_client.lab.options import NOTHING_SAID, ReadOptions, check_options
from gaitkeeper_client.lab.readers import reader_of
from gaitkeeper_client.vault.consent import Consent, parse_purposes
from gaitkeeper_client.vault.records import PatientFacts, Sex
from gaitkeeper_shared.errors import GaitkeeperError

COLUMNS: tuple[str, ...] = ("patient", "path", "label", "age", "sex", "height_m", "recorded_at")
CONSENT = "consent"
OPTIONS: tuple[str, ...] = ("rate_hz", "picture_size", "mapping", "person_in_file", "belt_m_s", "static_trial")
"""What a row may say of its file, as the options of ``gaitkeeper analyze`` do; ``mapping`` and ``static_trial`` are
paths like ``path``."""
AID = "aid"
"""What the person walked with, in a few words: kept with the walk, too, and for audits as every further column."""
COHORT_NAME = "cohort.csv"
MOST_REPORTED = 10
AGE_YEARS = (0.0, 120.0)
HEIGHT_M = (0.4, 2.6)
"""From a toddler who just walks to the tallest people known."""

_SEXES: Mapping[str, Sex] = {
    **dict.fromkeys(("f", "female", "w", "woman"), "female"),
    **dict.fromkeys(("m", "male", "man"), "male"),
    **dict.fromkeys(("x", "d", "o", "other", "diverse"), "other"),
}


@dataclass(frozen=True, slots=True)
class CohortRow:
    """One recording of a cohort. ``line``: in the file, from 1. ``path``: absolute. ``recorded_at``: UTC, ISO 8601.

    ``age`` in years and ``height_m`` in metres; None for an empty cell.
    """

    line: int
    patient: str
    path: Path
    label: str | None
    age: float | None
    sex: Sex | None
    height_m: float | None
    recorded_at: str | None
    extra: Mapping[str, str]
    consent: Consent | None = None
    options: ReadOptions = NOTHING_SAID

    @property
    def facts(self) -> PatientFacts:
        """What the row says of the patient."""
        return PatientFacts(self.patient, self.label, self.age, self.sex, self.height_m, self.extra, self.consent)


def read_cohort(path: Path) -> tuple[CohortRow, ...]:
    """Every row of a cohort, or an error that names every unusable line (the first ten).

    Raises ``cohort-not-found``, ``cohort-unreadable``, ``cohort-missing-column``, ``cohort-column-twice``,
    ``cohort-empty`` or ``cohort-bad-row``.
    """
    table = _cells(path)
    if not table:
        raise GaitkeeperError("cohort-missing-column", path=path, missing=", ".join(COLUMNS))
    names = [cell.strip() for cell in table[0][1]]
    while names and not names[-1]:  # spreadsheets leave empty columns behind the last
        names.pop()
    if missing := [column for column in COLUMNS if column not in names]:
        raise GaitkeeperError("cohort-missing-column", path=path, missing=", ".join(missing))
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise GaitkeeperError("cohort-column-twice", path=path, column=twice)
    rows: list[CohortRow] = []
    problems: list[str] = []
    for line, cells in table[1:]:
        try:
            rows.append(_row(path.absolute().parent, line, names, cells))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    problems += _contradictions(rows)
    if problems:
        more = f"; and {len(problems) - MOST_REPORTED} more" if len(problems) > MOST_REPORTED else ""
        details = "; ".join(problems[:MOST_REPORTED]) + more
        raise GaitkeeperError("cohort-bad-row", path=path, count=len(problems), details=details)
    if not rows:
        raise GaitkeeperError("cohort-empty", path=path)
    return tuple(rows)


def _cells(path: Path) -> list[tuple[int, list[str]]]:
    """(line, cells) of every line that is not blank."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        detail = f"it is not UTF-8 (byte {error.start})"
        raise GaitkeeperError("cohort-unreadable", path=path, detail=detail) from error
    except FileNotFoundError as error:
        raise GaitkeeperError("cohort-not-found", path=path) from error
    except OSError as error:
        raise GaitkeeperError("cohort-unreadable", path=path, detail=error.strerror) from error
    if "\0" in text:
        raise GaitkeeperError("cohort-unreadable", path=path, detail="it holds NUL characters, so it is not text")
    first = text.splitlines()[0] if text.strip() else ""
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise GaitkeeperError("cohort-unreadable", path=path, detail=f"line {reader.line_num}: {error}") from error


def _row(folder: Path, line: int, names: list[str], cells: list[str]) -> CohortRow:
    """One row; a ``ValueError`` says what is wrong with it."""
    if len(cells) < len(names) or any(cell.strip() for cell in cells[len(names) :]):
        raise ValueError(f"{len(cells)} cells where there are {len(names)} columns")
    values = {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
    for needed in ("patient", "path"):
        if not values[needed]:
            raise ValueError(f"{needed} is empty")
    path = (folder / values["path"]).resolve()
    if not path.exists():
        raise ValueError(f"there is no file {values['path']}")
    if not path.is_file() and reader_of(path) is None:
        raise ValueError(f"{values['path']} is not a file, nor a folder of keypoints")
    return CohortRow(
        line,
        values["patient"],
        path,
        values["label"] or None,
        _age(values["age"]),
        parse_sex(values["sex"]),
        parse_height(values["height_m"]),
        parse_moment(values["recorded_at"]),
        {name: value for name, value in values.items() if name not in (*COLUMNS, CONSENT, *OPTIONS) and name},
        parse_consent(values.get(CONSENT, "")),
        _options(folder, values),
    )


def _options(folder: Path, values: Mapping[str, str]) -> ReadOptions:
    """What the row says of its file; a ``ValueError`` says what is wrong."""
    given = {name: values[name] for name in OPTIONS if values.get(name)}
    try:
        return check_options(
            rate=_number(given.get("rate_hz", ""), "rate_hz"),
            size=given.get("picture_size"),
            mapping=folder / given["mapping"] if "mapping" in given else None,
            person=given.get("person_in_file"),
            speed=_number(given.get("belt_m_s", ""), "belt_m_s"),
            aid=values.get(AID) or None,
            static=folder / given["static_trial"] if "static_trial" in given else None,
        )
    except GaitkeeperError as error:
        raise ValueError(error.message.rstrip(".")) from error


def _number(text: str, column: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text.replace(",", "."))  # a comma is the decimal point of much of Europe
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{column} {text!r} is not a number")
    return value


def _age(text: str) -> float | None:
    return check_age(_number(text, "age"))


def check_age(years: float | None) -> float | None:
    """The age, if a person can have it; else a ``ValueError`` that says why not."""
    if years is not None and not AGE_YEARS[0] <= years <= AGE_YEARS[1]:
        raise ValueError(f"age {years:g} is not an age in years")
    return years


def parse_height(text: str) -> float | None:
    """Body height in metres; a ``ValueError`` says what is wrong, and recognises centimetres."""
    value = _number(text, "height_m")
    if value is None or HEIGHT_M[0] <= value <= HEIGHT_M[1]:
        return value
    if HEIGHT_M[0] <= value / 100.0 <= HEIGHT_M[1]:
        raise ValueError(f"height_m {value:g} looks like centimetres; write {value / 100.0:g}")
    raise ValueError(f"height_m {value:g} is not a body height in metres")


def parse_sex(text: str) -> Sex | None:
    """``female``, ``male`` or ``other`` from the usual ways of writing it."""
    if not text:
        return None
    if (sex := _SEXES.get(text.lower())) is None:
        raise ValueError(f"sex {text!r} is not one of female, male, other")
    return sex


def parse_consent(text: str) -> Consent | None:
    """A consent as a cohort says it; None for an empty cell. A ``ValueError`` for anything else."""
    return Consent(parse_purposes(text)) if text else None


def parse_moment(text: str) -> str | None:
    """A moment in UTC, ISO 8601; a ``ValueError`` for anything else. Without a time zone it is taken as UTC."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(
            f"recorded_at {text!r} is not an ISO 8601 date, such as 2026-03-31 or 2026-03-31T14:05"
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def _contradictions(rows: list[CohortRow]) -> list[str]:
    """A file named twice; a patient with two labels, two sexes or two consents."""
    problems = []
    by_path: dict[tuple[Path, str | None], int] = {}
    by_patient: dict[str, CohortRow] = {}
    for row in rows:
        if (before := by_path.setdefault((row.path, row.options.person), row.line)) != row.line:
            problems.append(f"line {row.line}: {row.path.name} stands on line {before} already")
        known = by_patient.setdefault(row.patient, row)
        attribute = known.facts.conflict(row.facts)
        if attribute is None and None not in (known.consent, row.consent) and known.consent != row.consent:
            attribute = CONSENT
        if attribute:
            problems.append(f"line {row.line}: the patient has another {attribute} than on line {known.line}")
    return problems
