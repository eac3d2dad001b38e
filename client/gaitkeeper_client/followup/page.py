"""The page over time as one self-contained HTML file, in the style of the report."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from gaitkeeper_client.followup.course import Course
from gaitkeeper_client.followup.view import course_view
from gaitkeeper_client.insight.report import render_page, write_page
from gaitkeeper_client.language.texts import Texts, texts


def render_course(
    course: Course, *, now: datetime | None = None, words: Texts | None = None, reports_at: str = ""
) -> str:
    """The page as HTML text; every value is escaped. An unsigned report behind it makes it a draft.

    ``reports_at``: what a report's name has to follow for a link to it; a page by itself has none.
    """
    words = words or texts()
    view = course_view(course, words, now)
    return render_page("followup.html.j2", view=view, words=words, reports_at=reports_at)


def write_course(course: Course, path: Path, *, now: datetime | None = None) -> None:
    """Write :func:`render_course` to ``path``, all or nothing, for its owner alone. Raises ``report-not-written``."""
    write_page(path, render_course(course, now=now).encode("utf-8"))
