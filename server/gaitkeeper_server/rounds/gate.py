"""Who may ask the SuperLink for what.

Stock Flower serves Fleet (what sites need), Control (start and stop runs) and Runtime (act as the ServerApp) on one
port. Here the port that sites reach passes Fleet alone, and only from nodes that are enrolled now; Control and Runtime
answer on a second port of this machine's loopback, to holders of the operator's secret.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

from flwr.common.constant import ACCESS_TOKEN_KEY
from flwr.supercore.auth.typing import AccountInfo
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
from flwr.superlink.auth_plugin import NoOpControlAuthnPlugin

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

FLEET_PATHS = frozenset(
    f"/v1/fleet/{name}"
    for name in (
        "activate-node",
        "deactivate-node",
        "send-node-heartbeat",
        "pull-messages",
        "push-messages",
        "get-run",
        "get-fab",
        "push-object",
        "pull-object",
        "confirm-message-received",
    )
)
"""What a site may ask for. Registering a node is not among it: sites are enrolled by invitation."""

_LARGEST_REQUEST = 64 * 1024 * 1024
_KEY_HEADER = FLEET_HTTP_PUBLIC_KEY_HEADER.lower().encode("ascii")


class EnrolledKeys:
    """Public keys (PEM) of the nodes that are enrolled now. Replaced as a whole, so that a revocation works at once."""

    def __init__(self) -> None:
        self._sites: Mapping[bytes, str] = {}

    def replace(self, keys_by_site: Mapping[str, bytes]) -> None:
        """Let exactly these in from now on."""
        self._sites = {key.strip(): site for site, key in keys_by_site.items()}

    def site_of(self, key: bytes) -> str | None:
        """The site with this public key, where it is enrolled."""
        return self._sites.get(key.strip())


class FleetGate:
    """The ASGI application of the public port: Fleet for enrolled nodes; everything else does not exist there."""

    def __init__(self, application: Application, enrolled: EnrolledKeys) -> None:
        self._application, self._enrolled = application, enrolled

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"] not in FLEET_PATHS or scope["method"] != "POST":
            await _refuse(send, 404, b"Not found")
        elif self._site(scope) is None:
            await _refuse(send, 401, b"This node is not enrolled, or its enrolment was revoked")
        elif _content_length(scope) > _LARGEST_REQUEST:
            await _refuse(send, 413, b"Too large")
        else:
            await self._application(scope, receive, send)

    def _site(self, scope: Scope) -> str | None:
        # Flower itself checks the signature made with this key; here it only has to be one of the enrolled.
        for name, value in scope["headers"]:
            if name == _KEY_HEADER:
                try:
                    return self._enrolled.site_of(base64.b64decode(value, validate=True))
                except (binascii.Error, ValueError):
                    return None
        return None


class OperatorAuthn(NoOpControlAuthnPlugin):  # type: ignore[misc]
    """Flower's seam for who may use Control: the bearer of the operator's secret, nobody else."""

    def __init__(self, secret: str) -> None:
        super().__init__()
        self._secret = secret

    def validate_tokens_in_metadata(
        self, metadata: Sequence[tuple[str, str | bytes]]
    ) -> tuple[bool, AccountInfo | None]:
        """Accept the one account of a SuperLink without accounts, where the secret is right."""
        for name, value in metadata:
            token = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            if name == ACCESS_TOKEN_KEY and hmac.compare_digest(token.encode(), self._secret.encode()):
                valid, account = super().validate_tokens_in_metadata(metadata)
                return valid, account
        return False, None


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            try:
                return int(value)
            except ValueError:
                return _LARGEST_REQUEST + 1
    # Without a length the body is chunked; Flower's clients always send one.
    return _LARGEST_REQUEST + 1


async def _refuse(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
