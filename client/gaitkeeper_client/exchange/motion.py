"""The walk of a kept report in the formats of laboratories: what was seen to move, and how the report of it stands."""

from __future__ import annotations

from gaitkeeper_client.lab.export.formats import exported, format_of
from gaitkeeper_client.signing.kept import KeptReport
from gaitkeeper_shared.errors import GaitkeeperError


def motion_suffix(form: str) -> str:
    """The end of a file's name. Raises ``export-format-unknown``."""
    return format_of(form).suffix or ".motion-bids.zip"


def motion_bytes(report: KeptReport, form: str) -> bytes:
    """The walk as one file, of a report whose statements the caller has verified; a data set as a ZIP archive.

    Raises ``export-format-unknown``; ``export-overruled`` where a clinician let no measurement of the walk stand;
    ``export-refused`` where it was not measured; ``export-no-points``, ``export-no-scale``.
    """
    format_of(form)
    if (word := report.overruled) is not None:
        raise GaitkeeperError("export-overruled", report=report.id, reason=word.reason)
    if report.analysis.recording is None:
        reasons = " ".join(reason.message for reason in report.analysis.reasons)
        raise GaitkeeperError("export-refused", path=report.id, reasons=reasons)
    return exported(report.analysis.recording, form, f"{report.id}.{report.state}", report.state)
