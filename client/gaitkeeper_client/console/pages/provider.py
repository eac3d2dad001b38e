"""Signing in through the clinic's identity provider."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from gaitkeeper_client.console.access import Served, cookie_name, set_session
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.oidc import PATIENCE_S, SignIn, provider_of
from gaitkeeper_client.console.rendering import page
from gaitkeeper_shared.errors import GaitkeeperError

router = APIRouter()
_COOKIE, _PATH = "gaitkeeper-oidc", "/sign-in/oidc"


@router.get("/sign-in/oidc")
def to_provider(console: Served) -> Response:
    """Off to the provider."""
    way = _sign_in(console).begin()
    response = RedirectResponse(way.address, 303)
    response.set_cookie(
        _COOKIE,
        way.sealed,
        max_age=round(PATIENCE_S),
        path=_PATH,
        httponly=True,
        secure=console.settings.tls,
        samesite="lax",  # the way back begins at the provider
    )
    return response


@router.get("/sign-in/oidc/back")
def from_provider(
    request: Request,
    console: Served,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=4_000)] = "",
    iss: Annotated[str, Query(max_length=1_000)] = "",
) -> Response:
    """Back again: a session for a user of this console whom the provider vouches for."""
    address = request.client.host if request.client else "unknown"
    try:
        user = console.bindings.user_of(_sign_in(console).end(request.cookies.get(_COOKIE, ""), state, code, iss))
    except GaitkeeperError as error:
        console.record("console-sign-in-failed", "unknown", code=error.code, address=address)
        raise
    console.record("console-signed-in", user.name, roles=",".join(user.roles), address=address, through="oidc")
    made = console.sessions.begin(user, request.cookies.get(cookie_name(console.settings)))
    # A page of our own, and no redirect: the browser sends a strict cookie on a way that began with us only.
    response = page("signed_in.html.j2", who=None, site=console.name, title="entrance.signed_in")
    set_session(response, console.settings, made.token)
    response.delete_cookie(_COOKIE, path=_PATH)
    return response


def _sign_in(console: Console) -> SignIn:
    provider = provider_of(console.home)
    if provider is None:
        raise GaitkeeperError("console-not-found")
    return SignIn(provider, console.key, console.clock)
