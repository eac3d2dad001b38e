"""Signing in, signing out, and where each of us begins."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from gaitkeeper_client.console.access import (
    Asking,
    Posted,
    Served,
    cookie_name,
    drop_session,
    fields_of,
    set_session,
)
from gaitkeeper_client.console.oidc import provider_of
from gaitkeeper_client.console.problems import status_of
from gaitkeeper_client.console.rendering import page
from gaitkeeper_client.console.rights import Principal
from gaitkeeper_shared.errors import GaitkeeperError

router = APIRouter()
_COOKIE = "gaitkeeper-sign-in"


@router.get("/")
def start(who: Asking) -> Response:
    """The first page of each role."""
    return RedirectResponse(first_page(who), 303)


def first_page(who: Principal) -> str:
    """Where somebody begins."""
    if who.may("patients"):
        return "/today"
    return "/site" if who.may("site") else "/sign-in"


@router.get("/sign-in")
def sign_in_page(console: Served) -> Response:
    """The form, tied to this browser by a cookie of its own: another site's page cannot sign somebody in."""
    return _form(console, None)


@router.post("/sign-in")
def sign_in(request: Request, console: Served, fields: Annotated[Mapping[str, str], Depends(fields_of)]) -> Response:
    """A fresh session for whoever knows the password; the session that the browser came with ends."""
    tied, sent = request.cookies.get(_COOKIE, ""), fields.get("tie", "")
    if not tied or not hmac.compare_digest(tied.encode(), sent.encode()):
        raise GaitkeeperError("console-forged")
    address = request.client.host if request.client else "unknown"
    name = fields.get("name", "")
    try:
        user = console.users.check(name, fields.get("password", ""), address)
    except GaitkeeperError as error:
        # What was typed as a name may be a password: only a known name is written down.
        known = name.strip().lower() in {user.name for user in console.users.all()}
        console.record("console-sign-in-failed", name if known else "unknown", code=error.code, address=address)
        return _form(console, error)
    console.record("console-signed-in", user.name, roles=",".join(user.roles), address=address)
    made = console.sessions.begin(user, request.cookies.get(cookie_name(console.settings)))
    response = RedirectResponse("/", 303)
    set_session(response, console.settings, made.token)
    response.delete_cookie(_COOKIE, path="/sign-in")
    return response


@router.post("/sign-out")
def sign_out(request: Request, console: Served, who: Asking, _: Posted) -> Response:
    """End the session, here and in the browser."""
    console.sessions.end(request.cookies.get(cookie_name(console.settings), ""))
    console.record("console-signed-out", who.name)
    response = RedirectResponse("/sign-in", 303)
    drop_session(response, console.settings)
    response.headers["clear-site-data"] = '"cache", "storage"'
    return response


def _form(console: Served, error: GaitkeeperError | None) -> Response:
    tie, status = secrets.token_urlsafe(24), 200 if error is None else status_of(error)
    shown: dict[str, Any] = {
        "site": console.name,
        "tie": tie,
        "error": error,
        "provider": provider_of(console.home) is not None,
    }
    response = page("sign_in.html.j2", status=status, who=None, title="entrance.title", **shown)
    settings = console.settings
    response.set_cookie(_COOKIE, tie, httponly=True, secure=settings.tls, samesite="strict", path="/sign-in")
    return response
