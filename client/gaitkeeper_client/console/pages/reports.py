"""A report to be read, decided on and signed, and its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import RedirectResponse, Response

from gaitkeeper_client.console.access import Posted, Served, needs
from gaitkeeper_client.console.api_results import as_file
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.pages.sending import record_words
from gaitkeeper_client.console.problems import status_of
from gaitkeeper_client.console.rendering import page
from gaitkeeper_client.console.results import REPORT_ID, body_of, open_report
from gaitkeeper_client.console.rights import Principal
from gaitkeeper_client.insight.standing import standing_view
from gaitkeeper_client.language.texts import texts
from gaitkeeper_client.signing.clinicians import Clinician, clinicians, unlock_clinician
from gaitkeeper_client.signing.decide import decide
from gaitkeeper_client.signing.items import MODEL
from gaitkeeper_client.signing.kept import KeptReport
from gaitkeeper_client.signing.statements import Decision, Verdict
from gaitkeeper_shared.errors import GaitkeeperError

router = APIRouter()
Reading = Annotated[Principal, Depends(needs("patients", person=True))]
Signing = Annotated[Principal, Depends(needs("sign", person=True))]
ReportId = Annotated[str, Path(pattern=REPORT_ID)]
WALK_KINDS = ("c3d", "trc", "mot", "motion-csv", "motion-bids")
"""Files of the walk itself, which a report that kept no walk does not have."""
MORE_KINDS = ("csv-tables", "parquet", *WALK_KINDS, "json")
"""Files that are for research and other programs."""
_VERDICTS: Mapping[str, Verdict] = {"agreed": "agreed", "amended": "amended", "overruled": "overruled"}


@router.get("/reports/{report_id}")
def report_page(console: Served, who: Reading, report_id: ReportId) -> Response:
    """The report, how it stands, and the form that decides on it."""
    return _page(console, who, report_id)


@router.get("/reports/{report_id}/download/{kind}")
def download(console: Served, who: Reading, report_id: ReportId, kind: str) -> Response:
    """The report as a file."""
    return as_file(console, who, report_id, kind)


@router.post("/reports/{report_id}/decide")
def decide_on(request: Request, console: Served, who: Signing, fields: Posted, report_id: ReportId) -> Response:
    """Sign what was decided, with the key of the clinician who is signed in. A wrong passphrase counts as a wrong
    password does."""
    report, _ = open_report(console, report_id)
    address = request.client.host if request.client else "unknown"
    subject = f"signs as {who.name}"
    try:
        console.users.brake(subject, address)
        decisions = _decisions(report, fields)
        signer = unlock_clinician(console.home, who.name, fields.get("passphrase", ""))
        with console.vault() as vault:
            seen = fields.get("after", "")
            decide(console.home, vault, report_id, signer, decisions, after=seen, now=console.clock())
    except GaitkeeperError as error:
        if error.code == "clinician-passphrase-wrong":
            console.users.failed(subject, address)
            console.record("console-signing-failed", who.name, patient=report.pseudonym, report=report_id)
        # What was decided on another page than this one is decided anew.
        return _page(console, who, report_id, error, None if error.code == "decision-stale" else fields)
    return RedirectResponse(f"/reports/{report_id}", 303)


def _page(
    console: Console,
    who: Principal,
    report_id: str,
    problem: GaitkeeperError | None = None,
    sent: Mapping[str, str] | None = None,
) -> Response:
    """``sent``: a form that was not taken. It comes back as it was: a second try must not sign other verdicts."""
    report, standing = open_report(console, report_id)
    console.record("report-read", who.name, patient=report.pseudonym, report=report.id)
    with console.vault() as vault:
        name = vault.named(report.pseudonym).patient_id
    kept = report.analysis.recording is not None
    shown: dict[str, Any] = {
        "report": report,
        "patient_name": name,
        "standing": standing_view(standing, texts()),
        "body": body_of(report, standing),
        "decided": report.decisions,
        "signer": _signer(console, who),
        "record": record_words(console, report),
        "more_kinds": [kind for kind in MORE_KINDS if kept or kind not in WALK_KINDS],
        "labels": [] if report.findings is None else [item.label for item in report.findings.probabilities],
        "model_item": MODEL,
        "problem": problem,
        "after": report.statements[-1].sha256 if report.statements else "",
        "sent": sent or {},
    }
    status = 200 if problem is None else status_of(problem)
    return page("report.html.j2", status=status, who=who, site=console.name, title="report.title", **shown)


def _signer(console: Console, who: Principal) -> Clinician | None:
    """The signing key of whoever is signed in: nobody signs with another's."""
    own = (one for one in clinicians(console.home) if one.name == who.name and one.withdrawn_at is None)
    return next(own, None)


def _decisions(report: KeptReport, fields: Mapping[str, str]) -> tuple[Decision, ...]:
    """What the form says of each finding; one that it leaves out, or leaves open, is not decided on."""
    found = []
    for number, item in enumerate(report.items):
        verdict = _VERDICTS.get(fields.get(f"verdict-{number}", ""))
        if verdict is None:
            continue
        text, reason = (fields.get(f"{name}-{number}", "").strip() for name in ("text", "reason"))
        if verdict == "agreed":
            text = reason = ""
        label = fields.get("label", "").strip() if (item.id, verdict) == (MODEL, "overruled") else ""
        found.append(Decision(item.id, verdict, text, reason, label or None))
    return tuple(found)
