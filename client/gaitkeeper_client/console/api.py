"""The REST API, ``/api/v1``: uploads that can be resumed, their status, and what became of them.

Programs send ``Authorization: Bearer KEY``; the console's own pages use it with their session. An upload is made with
its size, filled by ``PATCH`` at the offset where it stands (``HEAD`` says where), and is queued with its last byte.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from gaitkeeper_client.console import intake
from gaitkeeper_client.console.access import Served, known_query, needs
from gaitkeeper_client.console.jobs import Job, State
from gaitkeeper_client.console.rights import Principal
from gaitkeeper_client.console.uploads import SEGMENT_BYTES
from gaitkeeper_client.lab.options import LONGEST_AID
from gaitkeeper_shared.errors import GaitkeeperError

OCTETS = "application/offset+octet-stream"
JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="The id that making the upload gave.")]
Uploader = Annotated[Principal, Depends(needs("upload"))]
Reader = Annotated[Principal, Depends(needs("results"))]


class Problem(BaseModel):
    """An error (RFC 9457). ``code`` is stable; ``remedy`` says what to do."""

    type: str
    title: str
    status: int
    code: str
    remedy: str


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an endpoint, for its description."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": "An error", "content": content} for status in statuses}


class NewUpload(BaseModel):
    """A recording that is to come. ``patient``: the clinic's own identifier. ``size`` in bytes; ``height_m`` in metres;
    ``age`` in years; ``consent``: care, training, care+training or none; ``recorded_at``: ISO 8601."""

    model_config = ConfigDict(extra="forbid")
    patient: str = Field(min_length=1, max_length=200)
    file_name: str = Field(min_length=3, max_length=255)
    size: int = Field(ge=1, le=2**50)
    height_m: float | None = Field(default=None, gt=0, lt=10)
    age: float | None = Field(default=None, ge=0, le=150)
    sex: str = Field(default="", max_length=20)
    recorded_at: str = Field(default="", max_length=40)
    consent: str = Field(default="", max_length=40)
    note: str = Field(default="", max_length=4000)
    aid: str = Field(default="", max_length=LONGEST_AID, description="What the patient walked with, in a few words.")


class JobStatus(BaseModel):
    """A recording on its way. ``offset`` of ``size`` bytes came; ``progress``: 0 to 1 while it is analysed, null where
    that is not known; ``report``: the id of what it became; ``code``, ``message``: why it was refused or failed."""

    id: str
    state: State
    size: int
    offset: int
    segment_bytes: int
    progress: float | None
    report: str | None
    code: str | None
    message: str | None
    created_at: str
    changed_at: str


class JobList(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobStatus]


def create_router() -> APIRouter:
    """The part of the API that uploads and their status are."""
    router = APIRouter(prefix="/api/v1", responses=problems(401, 403, 429), dependencies=[Depends(known_query)])
    add = router.add_api_route
    add(
        "/uploads",
        new_upload,
        methods=["POST"],
        status_code=201,
        responses=problems(404, 408, 409, 413, 415, 422, 503, 507),
    )
    add("/uploads/{job_id}", upload_offset, methods=["HEAD"], response_class=Response, responses=problems(404, 422))
    add(
        "/uploads/{job_id}",
        upload_part,
        methods=["PATCH"],
        status_code=204,
        response_class=Response,
        responses=problems(404, 408, 409, 413, 415, 422, 503, 507),
        openapi_extra={"requestBody": {"required": True, "content": {OCTETS: {"schema": _BINARY}}}},
    )
    add(
        "/uploads/{job_id}",
        upload_cancelled,
        methods=["DELETE"],
        status_code=204,
        response_class=Response,
        responses=problems(404, 409, 422),
    )
    add("/jobs", job_list, methods=["GET"], responses=problems(422))
    add("/jobs/{job_id}", job_status, methods=["GET"], responses=problems(404, 422))
    return router


_BINARY = {"type": "string", "format": "binary"}


def status_of_job(job: Job) -> JobStatus:
    """A job as the API tells it."""
    known = job.total > 0 and job.state == "running"
    return JobStatus(
        id=job.id,
        state=job.state,
        size=job.size,
        offset=job.received,
        segment_bytes=SEGMENT_BYTES,
        progress=min(job.done / job.total, 1.0) if known else None,
        report=job.report,
        code=job.code,
        message=job.message,
        created_at=job.created_at,
        changed_at=job.changed_at,
    )


def new_upload(console: Served, who: Uploader, asked: NewUpload, response: Response) -> JobStatus:
    """Announce a recording."""
    numbers = {name: "" if (value := getattr(asked, name)) is None else f"{value:g}" for name in ("height_m", "age")}
    texts = {name: getattr(asked, name) for name in ("sex", "recorded_at", "consent", "note", "aid")}
    job = intake.begin(console, who.name, intake.Asked(asked.patient, asked.file_name, asked.size, **numbers, **texts))
    response.headers["location"] = f"/api/v1/uploads/{job.id}"
    response.headers["upload-offset"] = "0"
    return status_of_job(job)


def upload_offset(console: Served, who: Uploader, job_id: JobId) -> Response:
    """Where an upload stands."""
    job = _own(console, who, job_id)
    return Response(headers={"upload-offset": str(job.received), "upload-length": str(job.size)})


async def upload_part(
    request: Request,
    console: Served,
    who: Uploader,
    job_id: JobId,
    upload_offset: Annotated[int, Header(ge=0, le=2**50, description="Where these bytes begin.")],
) -> Response:
    """The next bytes of an upload, at most ``segment_bytes`` at a time. What came before a connection broke counts."""
    if request.headers.get("content-type", "") != OCTETS:
        raise GaitkeeperError("console-bad-input", field="content-type", detail=f"it is not {OCTETS}")
    data = bytearray()
    try:
        async for part in request.stream():
            data += part
    except ClientDisconnect:
        pass  # the sender asks with HEAD how much of it is here
    job = await run_in_threadpool(_append, console, who, job_id, upload_offset, bytes(data))
    return Response(status_code=204, headers={"upload-offset": str(job.received)})


def upload_cancelled(console: Served, who: Uploader, job_id: JobId) -> Response:
    """Take an unfinished upload back."""
    intake.cancel(console, _own(console, who, job_id), who.name)
    return Response(status_code=204)


def job_list(
    console: Served, who: Reader, since: Annotated[str, Query(max_length=40, description="ISO 8601, UTC.")] = ""
) -> JobList:
    """Recordings on their way, and those that ended since a moment."""
    return JobList(jobs=[status_of_job(job) for job in console.queue.recent(since=since)])


def job_status(console: Served, who: Annotated[Principal, Depends(needs("upload"))], job_id: JobId) -> JobStatus:
    """How far a recording is."""
    return status_of_job(_own(console, who, job_id))


def _append(console: Served, who: Principal, job_id: str, offset: int, data: bytes) -> Job:
    return intake.append(console, _own(console, who, job_id), offset, data)


def _own(console: Served, who: Principal, job_id: str) -> Job:
    """A job of theirs. Another's is not there for them: ``console-not-found``; whoever reads results sees every one."""
    job = console.queue.get(job_id)
    if job.owner != who.name and not who.may("results"):
        raise GaitkeeperError("console-not-found")
    return job
