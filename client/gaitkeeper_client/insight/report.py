"""The clinician's report: one self-contained HTML file, without script and without anything loaded from elsewhere."""

from __future__ import annotations

from datetime import datetime
from importlib import resources
from pathlib import Path

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.insight.findings import Findings
from gaitkeeper_client.insight.view import PatientContext, report_view
from gaitkeeper_client.insight.wording import number
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError

UNNAMED = PatientContext("not given")


def render_report(
    analysis: Analysis,
    findings: Findings | None = None,
    *,
    patient: PatientContext = UNNAMED,
    now: datetime | None = None,
) -> str:
    """The report as HTML text; every value is escaped. ``findings``: None when no model was asked."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = resources.files("gaitkeeper_client.insight") / "templates"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((folder / "report.html.j2").read_text("utf-8"))
    # The style sheet is ours and holds nothing of the patient's: it must not be escaped.
    css = Markup((folder / "report.css").read_text("utf-8"))  # noqa: S704
    return template.render(view=report_view(analysis, findings, patient, now), css=css, number=number)


def write_report(
    analysis: Analysis,
    path: Path,
    findings: Findings | None = None,
    *,
    patient: PatientContext = UNNAMED,
    now: datetime | None = None,
) -> None:
    """Write :func:`render_report` to ``path``, all or nothing. Raises ``report-not-written`` or ``disk-full``.

    Only the owner may read the file: it is about a patient.
    """
    text = render_report(analysis, findings, patient=patient, now=now)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, text.encode("utf-8"))
    except OSError as error:
        raise GaitkeeperError("report-not-written", path=path, detail=error.strerror or error) from error
