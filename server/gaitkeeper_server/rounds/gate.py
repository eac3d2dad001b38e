"""Who may ask the SuperLink for what.

Stock Flower serves Fleet (what sites need), Control (start and stop runs) and Runtime (act as the ServerApp) on one
port. Here the port that sites reach passes Fleet alone, and only from nodes that are enrolled now; Control and Runtime
answer on a second port of this machine's loopback, to holders of the operator's secret.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

from flwr.common.constant import ACCESS_TOKEN_KEY, SUPERLINK_NODE_ID
from flwr.proto.fleet_pb2 import PushMessagesRequest, PushMessagesResponse
from flwr.proto.runtime_pb2 import PushAppMessagesResponse
from flwr.supercore.auth.typing import AccountInfo
from flwr.supercore.constant import TASK_TOKEN_HEADER
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.superlink.auth_plugin import NoOpControlAuthnPlugin
from google.protobuf.message import DecodeError

from gaitkeeper_server.rounds.bell import Bell
from gaitkeeper_server.rounds.callers import Callers, Peer
from gaitkeeper_server.rounds.room import Room
from gaitkeeper_server.rounds.signed import OnceOnly, Signed, Use

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Refusal = tuple[int, bytes]
"""Status and words."""
Short = Callable[[Scope, bytes], bytes | None]
"""The body of the answer to a request, or None where the application has to answer."""

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

_LARGEST_REQUEST = 1024 * 1024
_LARGEST_OBJECT = 64 * 1024 * 1024
"""Of a request that carries an object, a part of a message; all others are names and numbers."""
_MOST_AT_ONCE = 2 * _LARGEST_OBJECT
"""Bytes that a site may be sending at a time, over all its connections: they lie in memory until they are taken in."""
_EMPTY_ANSWER = 64
"""Bytes that an answer without a message stays below."""
_REVOKED: Refusal = (401, b"The enrolment of this node was revoked")
_NOT_ITS_OWN: Refusal = (403, b"A node may send nothing but its own replies to what it was asked")
_log = logging.getLogger("gaitkeeper.superlink")
_BODY_WITHIN_S = 30.0
_TOKEN_HEADER = TASK_TOKEN_HEADER.lower().encode("ascii")
_CLOSE = (b"connection", b"close")


class InTurn:
    """Serves one request after the other.

    Each of Flower's requests takes the lock of its state; several at a time only change threads more often. Bodies are
    read before the turn and answers sent after it, so that a slow or silent peer holds up nobody.
    """

    def __init__(self, application: Application, short: Short | None = None) -> None:
        """``short``: answers what it can by itself; it is asked first."""
        self.plain = application
        self._short = short
        self._turn = asyncio.Lock()

    async def serve(
        self, scope: Scope, receive: Receive, send: Send, refused: Callable[[bytes], Refusal | None] = lambda _: None
    ) -> bytes:
        """Serve a request in its turn, where its body is not ``refused``; the answer's body is given back as well."""
        try:
            body = await asyncio.wait_for(_whole_body(receive), _BODY_WITHIN_S)
        except TimeoutError:
            await _refuse(send, 408, b"The request did not arrive in time")
            return b""
        if body is None:
            return b""
        if (refusal := refused(body)) is not None:
            await _refuse(send, *refusal)
            return b""
        answer: list[MutableMapping[str, Any]] = []
        given = False

        async def replay() -> MutableMapping[str, Any]:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def keep(message: MutableMapping[str, Any]) -> None:
            answer.append(message)

        async with self._turn:
            short = None if self._short is None else self._short(scope, body)
            if short is None:
                await self.plain(scope, replay, keep)
        if short is not None:
            await _answer(send, 200, PROTOBUF_MEDIA_TYPE.encode("ascii"), short)
            return short
        for message in answer:
            await send(message)
        return b"".join(message.get("body", b"") for message in answer)


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

    def __init__(
        self,
        application: InTurn,
        enrolled: EnrolledKeys,
        orders: Bell,
        replies: Bell,
        room: Room,
        callers: Callers,
        has_order: Callable[[bytes], bool] = lambda _: True,
    ) -> None:
        """``callers``: the connections of this port; ``has_order``: whether something waits for the node with this key.

        ``has_order`` gets the public key as it stands in requests (PEM).
        """
        self._application, self._enrolled, self._orders, self._replies = application, enrolled, orders, replies
        self._room, self._has_order = room, has_order
        self._callers, self._once = callers, OnceOnly()
        self._coming: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"] not in FLEET_PATHS or scope["method"] != "POST":
            await _refuse(send, 404, b"Not found")
        elif (signed := Signed.read(scope["headers"])) is None or (site := self._enrolled.site_of(signed.key)) is None:
            await _refuse(send, 401, b"This node is not enrolled, or its enrolment was revoked or has expired")
        elif (refusal := self._check(site, signed, _peer(scope))) is not None:
            await _refuse(send, *refusal)
        elif (length := _content_length(scope)) > _largest(scope["path"]):
            await _refuse(send, 413, b"Too large")
        elif self._coming.get(site, 0) + length > _MOST_AT_ONCE:
            _log.warning("%s sends more than %d bytes at a time: refused", site, _MOST_AT_ONCE)
            await _refuse(send, 429, b"Too much at a time")
        else:
            self._coming[site] = self._coming.get(site, 0) + length
            try:
                await self._serve(site, signed.key, scope, receive, send)
            finally:
                self._coming[site] -= length

    def _check(self, site: str, signed: Signed, peer: Peer | None) -> Refusal | None:
        """Why the request is refused, None where it is not. Flower itself checks each request's signature, in its turn.

        Here it is checked once a connection: only who has a site's key may use up what the site has here.
        """
        if self._once.served(site, signed):
            _log.warning("a signature of %s came a second time: refused", site)
            return 401, b"This signature has served already"
        if not self._callers.knows(peer, site):
            if not signed.is_right():
                return 401, b"The signature is not right, or not of now"
            if not self._callers.prove(peer, site):
                return 429, b"Too many connections"
        if self._once.use(site, signed) is Use.TOO_MANY:
            return 429, b"Too many requests"
        return None

    async def _serve(self, site: str, key: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        def still_enrolled(_: bytes = b"") -> Refusal | None:
            # Asked for when the body has come as well, which may take half a minute.
            return None if self._enrolled.site_of(key) is not None else _REVOKED

        def is_reply(body: bytes) -> Refusal | None:
            return still_enrolled() or (None if is_own_reply(body) else _NOT_ITS_OWN)

        if scope["path"] == "/v1/fleet/pull-messages":
            await self._orders.wait(site, lambda: self._has_order(key))
            if (refusal := still_enrolled()) is not None:
                await _refuse(send, *refusal)
                return
            answer = await self._application.serve(scope, receive, send, still_enrolled)
            if len(answer) > _EMPTY_ANSWER:
                self._orders.again(site)
        elif scope["path"] == "/v1/fleet/push-messages":
            if not await self._room.enter():
                await _refuse(send, 503, b"Many replies are waiting to be read; try again")
                return
            try:
                answer = await self._application.serve(scope, receive, send, is_reply)
            finally:
                self._room.entered()
            self._replies.expect(site, _parts_to_come(PushMessagesResponse(), answer))
        else:
            await self._application.serve(scope, receive, send, still_enrolled)
            if scope["path"] == "/v1/fleet/push-object":
                self._replies.part(site)


class OperatorGate:
    """The ASGI application of the operator's port: everything, and the bells of both directions."""

    def __init__(self, application: InTurn, orders: Bell, replies: Bell, room: Room) -> None:
        self._application, self._orders, self._replies, self._room = application, orders, replies, room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._application.plain(scope, receive, send)
            return
        path = scope["path"]
        if path == "/v1/runtime/pull-messages":
            await self._replies.wait(_conductor(scope))
        if path.endswith("/stream-logs") or path.endswith("/stream-run-events"):
            await self._application.plain(scope, receive, send)
            return
        answer = await self._application.serve(scope, receive, send)
        if path == "/v1/runtime/push-messages":
            self._orders.expect(_conductor(scope), _parts_to_come(PushAppMessagesResponse(), answer))
        elif path == "/v1/runtime/push-object":
            self._orders.part(_conductor(scope))
        elif path == "/v1/runtime/confirm-message-received":
            self._room.look()


class OperatorAuthn(NoOpControlAuthnPlugin):
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


def is_own_reply(body: bytes) -> bool:
    """Whether a push holds exactly one message: a reply of the very node that pushes, to the coordinator.

    Flower proves that ``node`` pushes, and stores whatever message lies beside it: one that names the coordinator as
    its source and no message that it replies to would be an order to another site's node.
    """
    request = PushMessagesRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        return False
    if len(request.messages_list) != 1 or len(request.message_object_trees) != 1:
        return False
    metadata = request.messages_list[0].metadata
    return bool(
        metadata.reply_to_message_id
        and metadata.src_node_id == request.node.node_id
        and metadata.dst_node_id == SUPERLINK_NODE_ID
    )


def _largest(path: str) -> int:
    return _LARGEST_OBJECT if path == "/v1/fleet/push-object" else _LARGEST_REQUEST


def _content_length(scope: Scope) -> int:
    """What a request announces, of which the server takes no more; without that, or below 0, more than may be."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 16 else _MOST_AT_ONCE
    # Without a length the body is chunked; Flower's clients always send one.
    return _MOST_AT_ONCE


def _peer(scope: Scope) -> Peer | None:
    client = scope.get("client")
    return None if client is None else (client[0], client[1])


def _conductor(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == _TOKEN_HEADER:
            return hashlib.sha256(value).hexdigest()
    return ""


async def _whole_body(receive: Receive) -> bytes | None:
    """The request's body, None where the peer left. Its length was checked; a server enforces what it announces."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _parts_to_come(response: PushMessagesResponse | PushAppMessagesResponse, answer: bytes) -> int:
    """How many objects the sender was asked for; none where the answer is an error."""
    try:
        response.ParseFromString(answer)
    except DecodeError:
        return 0
    return len(response.objects_to_push)


async def _refuse(send: Send, status: int, body: bytes) -> None:
    await _answer(send, status, b"text/plain", body, *([_CLOSE] if status == 401 else []))


async def _answer(send: Send, status: int, kind: bytes, body: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
