"""The operator's schedule: who walks where, and when. It names the walker of a recording that nobody named.

``schedule.csv`` with the columns ``place, from, until, patient``, and ``height_m`` and ``consent`` where the clinic
wants to say them; times in ISO 8601 with their offset from UTC (``2026-05-04T09:00+02:00``). ``place``: a camera's or
a folder's name; empty: any.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gaitkeeper_client.vault.cohort import parse_consent, parse_height
from gaitkeeper_shared.errors import GaitkeeperError

COLUMNS = ("place", "from", "until", "patient")
OPTIONAL = ("height_m", "consent")
_MOST_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Slot:
    """Somebody's time in front of a camera, from ``start`` to before ``end``; both aware. Other texts as written."""

    place: str
    start: datetime
    end: datetime
    patient: str
    height_m: str = ""
    consent: str = ""

    def holds(self, place: str, start: datetime, end: datetime) -> bool:
        """Whether a recording of this place and time lies wholly inside."""
        return self.place in ("", place) and self.start <= start and end <= self.end

    def touches(self, place: str, start: datetime, end: datetime) -> bool:
        """Whether any of it does."""
        return self.place in ("", place) and self.start < end and start < self.end


def read_schedule(path: Path) -> tuple[Slot, ...]:
    """Every slot, or the first ten lines that are wrong. Raises ``schedule-unreadable``, ``schedule-wrong``."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise GaitkeeperError("schedule-unreadable", path=path, detail="it is far too large")
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise GaitkeeperError("schedule-unreadable", path=path, detail=error) from error
    first = text.splitlines()[0] if text.strip() else ""
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count)))
    names = [cell.strip() for cell in rows[0]] if rows else []
    missing = [column for column in COLUMNS if column not in names]
    if missing or (unknown := [name for name in names if name and name not in (*COLUMNS, *OPTIONAL)]):
        detail = f"it lacks the column {', '.join(missing)}" if missing else f"it has a column {', '.join(unknown)}"
        raise GaitkeeperError("schedule-wrong", path=path, details=detail)
    slots, wrong = [], []
    for line, cells in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        try:
            slots.append(_slot(dict(zip(names, (cell.strip() for cell in cells), strict=False))))
        except ValueError as error:
            wrong.append(f"line {line}: {error}")
    if wrong:
        raise GaitkeeperError("schedule-wrong", path=path, details="; ".join(wrong[:10]))
    return tuple(slots)


def who_walks(slots: tuple[Slot, ...], place: str, start: datetime, end: datetime) -> Slot | None:
    """The one patient whose slot holds the whole recording; None where nobody's does, or where any of it may be
    another's: a wrong name is worse than none."""
    touched = [slot for slot in slots if slot.touches(place, start, end) or slot.holds(place, start, end)]
    if len({slot.patient for slot in touched}) != 1:
        return None
    return next((slot for slot in touched if slot.holds(place, start, end)), None)


def _slot(values: dict[str, str]) -> Slot:
    """One line; a ``ValueError`` says what is wrong with it."""
    if not values.get("patient"):
        raise ValueError("patient is empty")
    start, end = (_moment(values.get(name, ""), name) for name in ("from", "until"))
    if end <= start:
        raise ValueError("until is not after from")
    parse_height(values.get("height_m", ""))
    parse_consent(values.get("consent", ""))
    return Slot(
        values.get("place", ""), start, end, values["patient"], values.get("height_m", ""), values.get("consent", "")
    )


def _moment(text: str, column: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{column} {text!r} is no moment such as 2026-05-04T09:00+02:00") from error
    if moment.tzinfo is None:
        raise ValueError(f"{column} {text!r} does not say its offset from UTC, as 2026-05-04T09:00+02:00 does")
    return moment
