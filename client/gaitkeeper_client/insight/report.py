"""The clinician's report: one self-contained HTML file, without script and without anything loaded from elsewhere."""

from __future__ import annotations

from datetime import datetime
from importlib import resources
from pathlib import Path

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.insight.findings import Findings
from gaitkeeper_client.insight.standing import DRAFT, Standing
from gaitkeeper_client.insight.view import PatientContext, report_view
from gaitkeeper_client.insight.wording import number
from gaitkeeper_client.language.texts import say, texts, worded
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError

UNNAMED = PatientContext(say("report.no_patient"))


def render_report(
    analysis: Analysis,
    findings: Findings | None = None,
    *,
    patient: PatientContext = UNNAMED,
    now: datetime | None = None,
    standing: Standing = DRAFT,
) -> str:
    """The report as HTML text; every value is escaped. ``findings``: None when no model was asked.

    ``standing``: what clinicians decided, verified; a draft unless given.
    """
    words = texts()
    view = report_view(analysis, findings, patient, now, standing, words)
    return render_page("report.html.j2", view=view, number=number, words=words)


def render_page(template: str, **values: object) -> str:
    """A page of this house as HTML text: a template of this package with its style sheet; every value is escaped."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = resources.files("gaitkeeper_client.insight") / "templates"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["worded"] = worded
    page = environment.from_string((folder / template).read_text("utf-8"))
    # The style sheet is ours and holds nothing of the patient's: it must not be escaped.
    css = Markup((folder / "report.css").read_text("utf-8"))  # noqa: S704
    return page.render(css=css, **values)


def write_report(
    analysis: Analysis,
    path: Path,
    findings: Findings | None = None,
    *,
    patient: PatientContext = UNNAMED,
    now: datetime | None = None,
    standing: Standing = DRAFT,
) -> None:
    """Write :func:`render_report` to ``path``, all or nothing. Raises ``report-not-written`` or ``disk-full``.

    Only the owner may read the file: it is about a patient.
    """
    text = render_report(analysis, findings, patient=patient, now=now, standing=standing)
    write_page(path, text.encode("utf-8"))


def write_page(path: Path, data: bytes) -> None:
    """Write a page, all or nothing, for its owner alone. Raises ``report-not-written`` or ``disk-full``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, data)
    except OSError as error:
        raise GaitkeeperError("report-not-written", path=path, detail=error.strerror or error) from error
