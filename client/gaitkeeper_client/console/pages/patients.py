"""Patients, and one patient with visits; the note that clinicians keep on somebody."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from starlette.responses import RedirectResponse, Response

from gaitkeeper_client.console.access import Posted, Served, needs
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.rendering import page
from gaitkeeper_client.console.results import inside
from gaitkeeper_client.console.rights import Principal
from gaitkeeper_client.followup.course import Course, course_in
from gaitkeeper_client.followup.page import render_course
from gaitkeeper_client.language.texts import say
from gaitkeeper_client.signing.kept import list_for
from gaitkeeper_client.vault.records import PatientFacts
from gaitkeeper_shared.errors import GaitkeeperError

router = APIRouter()
Clinician = Annotated[Principal, Depends(needs("patients", person=True))]
Pseudonym = Annotated[str, Path(pattern=r"^p-[0-9a-f]{16}$")]
LONGEST_NOTE = 4_000
HEADLINES = ("walking_speed", "cadence", "stride_time", "symmetry_index")
"""What the list of visits shows of each."""


@router.get("/patients")
def patients(console: Served, who: Clinician) -> Response:
    """Everybody in the vault; searching happens in the browser, so that no name is in an address."""
    console.record("vault-read", who.name, purpose="list")
    with console.vault() as vault:
        found = vault.patients()
    return page("patients.html.j2", who=who, site=console.name, title="pages.patients", patients=found)


@router.get("/patients/{pseudonym}")
def patient(console: Served, who: Clinician, pseudonym: Pseudonym) -> Response:
    """One patient: facts, note, visits."""
    with console.vault() as vault:
        found = vault.named(pseudonym)
        allowed = found.allows("care")
        console.record("vault-read", who.name, purpose="care", patient=pseudonym, allowed=allowed)
        if not allowed:
            raise GaitkeeperError("consent-missing", pseudonym=pseudonym, purpose="care")
        visits = list_for(vault, pseudonym)[::-1]
    shown: dict[str, Any] = {"patient": found, "visits": visits, "headlines": HEADLINES, "longest": LONGEST_NOTE}
    coming = console.queue.unfinished(pseudonym)
    return page("patient.html.j2", who=who, site=console.name, title="patients.patient", coming=coming, **shown)


@router.get("/patients/{pseudonym}/course")
def course(console: Served, who: Clinician, pseudonym: Pseudonym) -> Response:
    """What changed over the visits, and whether that is more than error; every signature is verified."""
    found = _course(console, who, pseudonym)
    body = inside(render_course(found, now=console.clock(), reports_at="/reports/"))
    shown: dict[str, Any] = {"pseudonym": pseudonym, "body": body, "draft": found.draft}
    return page("course.html.j2", who=who, site=console.name, title="followup.title", **shown)


@router.get("/patients/{pseudonym}/course.pdf")
def course_pdf(console: Served, who: Clinician, pseudonym: Pseudonym) -> Response:
    """The same on paper."""
    from gaitkeeper_client.followup.pdf_page import render_course_pdf

    data = render_course_pdf(_course(console, who, pseudonym), now=console.clock())
    console.record("report-exported", who.name, patient=pseudonym, kind="course-pdf")
    headers = {"content-disposition": f'attachment; filename="{pseudonym}-over-time.pdf"'}
    return Response(data, media_type="application/pdf", headers=headers)


def _course(console: Console, who: Principal, pseudonym: str) -> Course:
    with console.vault() as vault:
        console.record("vault-read", who.name, purpose="follow-up", patient=pseudonym)
        return course_in(console.home, vault, pseudonym)


@router.post("/patients/{pseudonym}/note")
def keep_note(console: Served, who: Clinician, fields: Posted, pseudonym: Pseudonym) -> Response:
    """Replace the note on a patient; it is sealed with the patient's record."""
    note = fields.get("note", "").replace("\r\n", "\n").strip()
    if len(note) > LONGEST_NOTE or "\0" in note:
        detail = say("details.longer", most=LONGEST_NOTE)
        raise GaitkeeperError("console-bad-input", field=say("details.note"), detail=detail)
    with console.vault() as vault:
        found = vault.named(pseudonym)
        if not found.allows("care"):
            raise GaitkeeperError("consent-missing", pseudonym=pseudonym, purpose="care")
        vault.update_patient(PatientFacts(found.patient_id, extra={"note": note}))
    console.record("patient-note-kept", who.name, patient=pseudonym)
    return RedirectResponse(f"/patients/{pseudonym}", 303)
