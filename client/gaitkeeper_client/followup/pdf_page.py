"""The page over time as PDF: the same view, texts and charts as the HTML page."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from gaitkeeper_client.followup.course import Course
from gaitkeeper_client.followup.view import CourseView, course_view
from gaitkeeper_client.insight.pdf import Sheet
from gaitkeeper_client.insight.report import write_page
from gaitkeeper_client.language.texts import Texts, texts, worded


def render_course_pdf(course: Course, *, now: datetime | None = None) -> bytes:
    """The page as PDF. With an unsigned report behind it, each page says that it is a draft."""
    words = texts()
    view = course_view(course, words, now)
    title = words("pdf.course_title", patient=view.patient.pseudonym, created=view.created)
    footer = words("standing.draft_short") if view.draft else view.banner
    sheet = Sheet(title, footer, words("pdf.mark") if view.draft else "")
    _head(sheet, view, words)
    _score(sheet, view, words)
    _changes(sheet, view, words)
    _charts(sheet, view, words)
    _risk(sheet, view, words)
    sheet.heading(words("followup.sources_title"), 3)
    for text in view.sources:
        sheet.paragraph(text, "note")
    sheet.paragraph(words("followup.footer", version=view.version), "note")
    return sheet.render()


def write_course_pdf(course: Course, path: Path, *, now: datetime | None = None) -> None:
    """Write :func:`render_course_pdf`, all or nothing, for its owner alone. Raises ``report-not-written``."""
    write_page(path, render_course_pdf(course, now=now))


def _head(sheet: Sheet, view: CourseView, words: Texts) -> None:
    sheet.paragraph(view.banner, "draft" if view.draft else "signed")
    sheet.heading(words("followup.title"), 1)
    about = [words("pdf.patient", patient=view.patient.pseudonym)]
    about += [words("pdf.age", age=f"{view.patient.age:.0f}")] if view.patient.age is not None else []
    about += [words("pdf.sex", sex=worded(view.patient.sex))] if view.patient.sex else []
    sheet.paragraph(" · ".join([*about, words("pdf.made", created=view.created, version=view.version)]))
    header = tuple(words(f"followup.{name}") for name in ("day", "walks", "report", "state", "method"))
    rows = [[[one.day], one.walks, ", ".join(one.reports), one.state, one.method] for one in view.visits]
    sheet.table(header, rows, (14, 8, 38, 12, 28))
    sheet.paragraph(words("followup.visits_note"), "note")


def _score(sheet: Sheet, view: CourseView, words: Texts) -> None:
    sheet.heading(words("followup.score_title"))
    if view.score:
        sheet.paragraph(f"{view.score} ({view.score_interval})", "strong")
    else:
        sheet.paragraph(view.score_missing, "care")
    sheet.bullets([f"{label}: {cell.verdict}, {cell.detail}" for label, cell in view.score_cells])
    if view.score_chart is not None:
        sheet.charts([("", str(view.score_chart))])
    header = (words("followup.parameter"), view.columns[-1], words("followup.share"))
    sheet.table(header, [[[one.title], one.value, one.share] for one in view.shares], (50, 25, 25))
    sheet.paragraph(words("followup.score_note"), "note")


def _changes(sheet: Sheet, view: CourseView, words: Texts) -> None:
    sheet.heading(words("followup.change_title"))
    if not view.headings:
        sheet.paragraph(words("followup.one_visit"))
    sheet.paragraph(words("followup.change_note"), "note")
    rows = []
    for row in view.rows:
        name = f"{row.title} ({row.unit})" if row.unit else row.title
        cells = [
            [f"{cell.verdict}{', ' + words('followup.firm') if cell.firm else ''}", cell.detail] for cell in row.cells
        ]
        rows.append([[name, words("followup.repeated") if row.repeated else ""], *row.values, *cells])
    header = (words("followup.parameter"), *view.columns, *view.headings)
    sheet.table(header, rows, (26, *(12 for _ in view.columns), *(25 for _ in view.headings)))
    for names, why in view.unjudged:
        sheet.paragraph(f"{words('followup.unjudged')} ({why}): {names}.", "note")


def _charts(sheet: Sheet, view: CourseView, words: Texts) -> None:
    if not view.charts:
        return
    sheet.heading(words("followup.charts_title"))
    sheet.charts([(heading, str(chart)) for heading, chart in view.charts], columns=3)
    sheet.paragraph(words("followup.charts_note"), "note")
    sheet.heading(words("followup.trend_title"), 3)
    sheet.bullets(view.trends or (words("followup.no_trends"),))


def _risk(sheet: Sheet, view: CourseView, words: Texts) -> None:
    sheet.heading(words("followup.risk_title"))
    for flag in view.flags:
        sheet.paragraph(f"{flag.title}: {flag.words}.", "strong")
        sheet.paragraph(f"{flag.rests_on} {flag.course}".strip(), "care" if flag.state == "raised" else "body")
    sheet.paragraph(words("followup.risk_note"), "note")
