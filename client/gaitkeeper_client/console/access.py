"""Who asks: a person with a session or a program with an API key; and whether the request is really theirs."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.rights import Principal, Right
from gaitkeeper_client.console.settings import ConsoleSettings
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.errors import GaitkeeperError

CSRF_FIELD, CSRF_HEADER, POLL_HEADER = "csrf", "x-csrf-token", "x-gaitkeeper-poll"
_MOST_FIELDS = 200


def console_of(request: Request) -> Console:
    """The console that the application serves."""
    console: Console = request.app.state.console
    return console


Served = Annotated[Console, Depends(console_of)]


def cookie_name(settings: ConsoleSettings) -> str:
    """Over TLS, the prefix makes browsers refuse a cookie that another host or an unencrypted page set."""
    return "__Host-gaitkeeper" if settings.tls else "gaitkeeper"


def set_session(response: Response, settings: ConsoleSettings, token: str) -> None:
    """Hand the browser its session; no script can read it, no other site's page can send it."""
    response.set_cookie(
        cookie_name(settings), token, httponly=True, secure=settings.tls, samesite="strict", path="/", max_age=None
    )


def drop_session(response: Response, settings: ConsoleSettings) -> None:
    """Let the browser forget its session."""
    response.delete_cookie(cookie_name(settings), path="/", secure=settings.tls, httponly=True, samesite="strict")


def asking(request: Request, console: Served) -> Principal:
    """Who asks. Raises ``console-signed-out``, and ``console-forged`` for a change without the session's token.

    A page's form carries the token in a field instead: :func:`posted` checks that.
    """
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme:
        who = console.api_keys.find(given.strip()) if scheme.lower() == "bearer" else None
        if who is None:
            raise GaitkeeperError("console-signed-out")
        return who
    token = request.cookies.get(cookie_name(console.settings), "")
    who = console.sessions.find(token, touch=POLL_HEADER not in request.headers) if token else None
    if who is None:
        raise GaitkeeperError("console-signed-out")
    if request.url.path.startswith("/api/") and request.method not in ("GET", "HEAD", "OPTIONS"):
        check_token(who, request.headers.get(CSRF_HEADER, ""))
    return who


Asking = Annotated[Principal, Depends(asking)]


def check_token(who: Principal, token: str) -> None:
    """Raises ``console-forged``."""
    if not who.csrf or not hmac.compare_digest(who.csrf.encode(), token.encode()):
        raise GaitkeeperError("console-forged")


def needs(right: Right, *, person: bool = False) -> Callable[..., Principal]:
    """A dependency: the principal, if the right is theirs. ``person``: no API key will do.

    A refusal is in the audit log: somebody tried a door that is not theirs.
    """

    def checked(request: Request, console: Served, who: Asking) -> Principal:
        try:
            if person and not who.is_person:
                raise GaitkeeperError("console-signed-out")
            who.require(right)
        except GaitkeeperError:
            route = request.scope.get("route")
            console.record("console-denied", who.name, right=right, what=getattr(route, "path", ""))
            raise
        return who

    return checked


def known_query(request: Request) -> None:
    """Raises ``console-bad-input`` for a parameter that an address does not have: a mistyped one would do nothing."""
    route = request.scope.get("route")
    known = {item.alias for item in route.dependant.query_params} if isinstance(route, APIRoute) else set()
    if set(request.query_params) - known:
        detail = say("details.known_query", known=", ".join(sorted(known)) or "–")
        raise GaitkeeperError("console-bad-input", field=say("details.query"), detail=detail)


async def posted(request: Request, who: Asking) -> Mapping[str, str]:
    """The fields of a page's form, if the form is one of this session's. Raises ``console-forged``."""
    fields = await fields_of(request)
    check_token(who, fields.get(CSRF_FIELD, ""))
    return fields


async def fields_of(request: Request) -> dict[str, str]:
    """The text fields of a form. Raises ``console-bad-input`` for anything else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise GaitkeeperError("console-bad-input", field=say("details.the_form"), detail=say("details.no_form"))
    async with request.form(max_files=0, max_fields=_MOST_FIELDS) as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}


Posted = Annotated[Mapping[str, str], Depends(posted)]
