"""Today's recordings on their way, and the form that hands one in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from gaitkeeper_client.console import intake
from gaitkeeper_client.console.access import Posted, Served, needs
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.jobs import Job
from gaitkeeper_client.console.kinds import ACCEPTED
from gaitkeeper_client.console.rendering import page
from gaitkeeper_client.console.rights import Principal
from gaitkeeper_client.console.uploads import SEGMENT_BYTES
from gaitkeeper_client.language.texts import texts
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.clock import iso

router = APIRouter()
Clinician = Annotated[Principal, Depends(needs("patients", person=True))]


@dataclass(frozen=True, slots=True)
class Line:
    """One recording of the list. ``patient``: the clinic's own identifier, empty where it is not known any more."""

    job: Job
    patient: str
    words: str
    percent: int | None


@router.get("/today")
def today(console: Served, who: Clinician) -> Response:
    """What came in the last day, and how far it is."""
    since = iso(console.clock() - timedelta(hours=24))
    lines = lines_of(console, console.queue.recent(since=since))
    console.record("console-looked", who.name, what="today")
    waiting = any(not line.job.ended for line in lines)
    return page("today.html.j2", who=who, site=console.name, title="pages.today", lines=lines, waiting=waiting)


@router.get("/upload")
def upload_page(console: Served, who: Annotated[Principal, Depends(needs("upload", person=True))]) -> Response:
    """The form; a script of ours sends the file in parts and goes on where it was broken off."""
    return page(
        "upload.html.j2",
        who=who,
        site=console.name,
        title="upload.title",
        accepted=",".join(ACCEPTED),
        most=console.settings.upload_bytes,
        segment=SEGMENT_BYTES,
    )


@router.post("/recordings/{job_id}/again")
def again(console: Served, who: Clinician, _: Posted, job_id: str) -> Response:
    """Analyse a failed recording once more."""
    job = console.queue.get(job_id)
    console.queue.again(job)
    console.record("analysis-again", who.name, patient=job.pseudonym, job=job.id)
    return RedirectResponse("/today", 303)


@router.post("/recordings/{job_id}/drop")
def drop(console: Served, who: Clinician, _: Posted, job_id: str) -> Response:
    """Take an unfinished upload back."""
    intake.cancel(console, console.queue.get(job_id), who.name)
    return RedirectResponse("/today", 303)


def lines_of(console: Console, jobs: tuple[Job, ...]) -> tuple[Line, ...]:
    """Jobs with the names that clinicians know patients by."""
    names: dict[str, str] = {}
    words = texts()
    with console.vault() as vault:
        for pseudonym in {job.pseudonym for job in jobs}:
            try:
                names[pseudonym] = vault.named(pseudonym).patient_id
            except GaitkeeperError:
                continue
    for job in jobs:
        if job.pseudonym not in names and not job.ended:
            try:
                names[job.pseudonym] = console.uploads.facts(job).patient.patient_id
            except GaitkeeperError:
                continue
    return tuple(Line(job, names.get(job.pseudonym, ""), words(f"script.{job.state}"), _percent(job)) for job in jobs)


def _percent(job: Job) -> int | None:
    if job.state == "receiving":
        return round(100 * job.received / job.size)
    if job.state == "running" and job.total:
        return min(99, round(100 * job.done / job.total))
    return None
