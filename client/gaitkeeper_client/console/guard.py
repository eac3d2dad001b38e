"""What every request passes before any page sees it: size, host, origin; and the headers of every answer.

Plain ASGI, so that an upload is counted while it comes and not gathered first. How often an address asks and how
slowly a body comes is limited here, too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import sys
import time
import traceback
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gaitkeeper_client.console.forwarded import HEADER, Proxies
from gaitkeeper_client.console.problems import answer_of
from gaitkeeper_client.console.rates import Rates
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
SILENCE_S = 20.0
"""So long nothing of a body may come."""
SLOWEST_BYTES_S = 32 * 1024
"""Slower than this, over the whole of a body, is too slow; 30 s are free."""
_FREE_S = 30.0
_MOST_DIGITS = 20
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, settings: ConsoleSettings) -> None:
        self._app, self._tls = app, settings.tls
        own = {settings.host.lower(), "localhost", socket.gethostname().lower(), *map(str.lower, settings.names)}
        self._hosts = own - {"0.0.0.0", "::"}  # noqa: S104 - what is taken out here
        self._rates = Rates(settings.requests_per_minute)
        self._proxies = Proxies.of(settings.proxies)

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
        started, body = False, _Body(receive, _most(scope))

        async def watched(message: Message) -> None:
            nonlocal started
            if body.refused is not None and not started:
                return  # whatever was made of half a body
            started = True
            await sender(message)

        unexpected: GaitkeeperError | None = None
        try:
            await self._app(scope, body.part, watched)
        except Exception as error:
            if error is not body.refused:
                _tell(error, scope["method"])
            unexpected = GaitkeeperError("console-unexpected", kind=type(error).__name__)
        told = body.refused or unexpected
        if told is not None and not started:
            await answer_of(told, scope["path"])(scope, receive, sender)

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raises ``console-too-fast``, ``console-forged`` or ``console-too-large``."""
        client = scope.get("client")
        peer, port = client or ("", 0)
        address = self._proxies.client(peer, headers.getlist(HEADER))
        if address != peer:
            scope["client"] = (address, port)  # whoever counts wrong passwords asks for it
        self._rates.take(address, scope["method"], scope["path"])
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


class _Body:
    """A request's body while it comes: cut off with an error where it is longer, or slower, than it may be.

    ``refused``: that error. It is kept, as a framework in between may make something else of what was raised.
    """

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._most = receive, most
        self._seen, self._whole = 0, False
        self._end = time.monotonic() + _FREE_S
        self.refused: GaitkeeperError | None = None

    async def part(self) -> Message:
        """The next part. After the last one, whatever the server says: then nobody waits for the sender."""
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, min(SILENCE_S, self._left()))):
                message = await self._receive()
        except TimeoutError as error:
            self.refused = GaitkeeperError("console-too-slow")
            raise self.refused from error
        self._whole = not message.get("more_body", False)
        self._seen += len(message.get("body", b""))
        if self._seen > self._most:
            self.refused = GaitkeeperError("console-too-large", most=self._most)
            raise self.refused
        return message

    def _left(self) -> float:
        """Seconds until the body is too slow for what came of it."""
        return self._end + self._seen / SLOWEST_BYTES_S - time.monotonic()
