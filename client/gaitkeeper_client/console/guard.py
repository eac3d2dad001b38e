"""What every request passes before any page sees it: size, host, origin; and the headers of every answer.

Plain ASGI, so that an upload is counted while it comes and not gathered first.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
import traceback
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gaitkeeper_client.console.problems import answer_of
from gaitkeeper_client.console.settings import ConsoleSettings
from gaitkeeper_client.console.uploads import SEGMENT_BYTES
from gaitkeeper_shared.errors import GaitkeeperError

FORM_BYTES = 256 * 1024
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # "no-referrer" would take the origin from our own forms, too
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "cache-control": "no-store",
}
_MOST_DIGITS = 20
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, settings: ConsoleSettings) -> None:
        self._app, self._tls = app, settings.tls
        own = {settings.host.lower(), "localhost", socket.gethostname().lower(), *map(str.lower, settings.names)}
        self._hosts = own - {"0.0.0.0", "::"}  # noqa: S104 - what is taken out here

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the application's own start and end."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers, sender = Headers(scope=scope), self._sender(send)
        try:
            self._check(scope, headers)
        except GaitkeeperError as error:
            await answer_of(error, scope["path"])(scope, receive, sender)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await sender(message)

        try:
            await self._app(scope, _counted(receive, _most(scope)), watched)
        except Exception as error:
            _tell(error, scope["method"])
            if not started:
                answer = GaitkeeperError("console-unexpected", kind=type(error).__name__)
                await answer_of(answer, scope["path"])(scope, receive, sender)

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raises ``console-forged`` or ``console-too-large``."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise GaitkeeperError("console-forged")
        if scope["method"] in _SAFE:
            return
        # Browsers say where a request comes from, and pages cannot make them lie.
        origin = headers.get("origin")
        foreign = origin is not None and _netloc(origin) != host.lower()
        if foreign or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise GaitkeeperError("console-forged")
        most, length = _most(scope), headers.get("content-length", "0")
        if not length.isascii() or not length.isdecimal() or len(length) > _MOST_DIGITS or int(length) > most:
            raise GaitkeeperError("console-too-large", most=most)

    def _is_ours(self, host: str) -> bool:
        """A name of this console, or a bare address; a foreign name pointed here (DNS rebinding) is neither."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _sender(self, send: Send) -> Send:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    found.setdefault(name, value)
                if self._tls:
                    found.setdefault("strict-transport-security", "max-age=31536000")
            await send(message)

        return with_headers


def _netloc(origin: str) -> str:
    """Host and port of an origin; empty, which no host is, for one that is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _most(scope: Scope) -> int:
    return SEGMENT_BYTES if scope["method"] == "PATCH" else FORM_BYTES


def _tell(error: Exception, method: str) -> None:
    """Where it happened goes to the log; not what was sent, nor the error's own words, which may hold it."""
    frames = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)[-6:]))
    print(f"{type(error).__name__} in {method}\n{frames}", file=sys.stderr, flush=True)


def _counted(receive: Receive, most: int) -> Receive:
    """The request's body, cut off with an error where it is longer than it may be."""
    seen = 0

    async def next_part() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise GaitkeeperError("console-too-large", most=most)
        return message

    return next_part
