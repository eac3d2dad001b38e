"""The console as one ASGI application."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gaitkeeper_client.console import api, api_results, description
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.guard import Guard
from gaitkeeper_client.console.pages import assets, entrance, patients, provider, recordings, reports, sending, site
from gaitkeeper_client.console.problems import answer_of
from gaitkeeper_shared import __version__
from gaitkeeper_shared.errors import GaitkeeperError


def create_app(console: Console) -> FastAPI:
    """The application of one console."""
    app = FastAPI(title="Gaitkeeper site API", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.console = console
    for part in (entrance, provider, assets, recordings, patients, reports, sending, site):
        app.include_router(part.router, include_in_schema=False)
    app.include_router(api.create_router())
    app.include_router(api_results.create_router())
    app.include_router(description.router, include_in_schema=False)
    app.add_exception_handler(GaitkeeperError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(Guard, settings=console.settings)
    return app


def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, GaitkeeperError)
    return answer_of(error, request.url.path)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    # Never what was sent: it may be a patient's.
    where = ".".join(str(part) for part in first["loc"])
    return answer_of(GaitkeeperError("console-bad-input", field=where, detail=first["msg"]), request.url.path)


def _http(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: an unknown path, a method that a path does not have."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        answer = answer_of(GaitkeeperError("console-no-such-method"), request.url.path)
        answer.headers.update(error.headers or {})
        return answer
    return answer_of(GaitkeeperError("console-not-found"), request.url.path)
