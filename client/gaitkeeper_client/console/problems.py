"""Errors as the console tells them: problem+json for programs (RFC 9457), a page in plain words for people."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse, RedirectResponse, Response

from gaitkeeper_client.console.rendering import page
from gaitkeeper_client.language.errors import message_of, remedy_of
from gaitkeeper_shared.errors import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_REFUSED, GaitkeeperError

API = "/api/"
_STATUS: Mapping[str, int] = {
    "console-signed-out": 401,
    "console-wrong-password": 401,
    "oidc-refused": 401,
    "console-not-allowed": 403,
    "console-forged": 403,
    "consent-missing": 403,
    "console-not-found": 404,
    "report-unknown": 404,
    "document-missing": 404,
    "vault-no-such-patient": 404,
    "study-not-offered": 404,
    "console-upload-offset": 409,
    "console-too-large": 413,
    "console-upload-too-large": 413,
    "console-upload-kind": 415,
    "console-too-slow": 408,
    "console-slow-down": 429,
    "console-too-fast": 429,
    "console-too-many-uploads": 429,
    "console-no-room": 507,
    "disk-full": 507,
    "console-no-such-method": 405,
    "console-unexpected": 500,
}
_OF_EXIT = {EXIT_BAD_INPUT: 422, EXIT_REFUSED: 409, EXIT_FAILED: 503}


def status_of(error: GaitkeeperError) -> int:
    """The HTTP status of a catalogue error."""
    return _STATUS.get(error.code) or _OF_EXIT[error.exit_status]


def problem_of(error: GaitkeeperError) -> dict[str, object]:
    """The error as ``application/problem+json`` says it; ``code`` is stable, ``remedy`` says what to do."""
    return {
        "type": f"urn:gaitkeeper:error:{error.code}",
        "title": message_of(error),
        "status": status_of(error),
        "code": error.code,
        "remedy": remedy_of(error),
    }


def answer_of(error: GaitkeeperError, path: str) -> Response:
    """The answer to a request for ``path`` that failed."""
    status, headers = status_of(error), _headers(error)
    if path.startswith(API):
        return JSONResponse(problem_of(error), status, headers=headers, media_type="application/problem+json")
    if error.code == "console-signed-out":
        return RedirectResponse("/sign-in", 303)
    answer = page("problem.html.j2", status=status, error=error, who=None, title="problem.title")
    answer.headers.update(headers)
    return answer


def _headers(error: GaitkeeperError) -> dict[str, str]:
    """What a program has to know besides: how to sign in, when to come again, that the connection ends."""
    headers = {"www-authenticate": "Bearer"} if status_of(error) == 401 else {}
    if error.code == "console-too-fast":
        headers["retry-after"] = str(error.values["seconds"])
    if error.code in ("console-too-slow", "console-too-large"):
        headers["connection"] = "close"  # the rest of the body is not waited for
    return headers
