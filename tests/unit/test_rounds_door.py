"""The public port of the SuperLink: strangers shut nobody out, a signature serves once, who is revoked is out."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from flwr.supercore.constant import FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.primitives.asymmetric import generate_key_pairs, public_key_to_bytes
from tests.unit.superlink_fixtures import signed_by

from gaitkeeper_server.rounds import gate, signed
from gaitkeeper_server.rounds.bell import Bell
from gaitkeeper_server.rounds.callers import Caller, Callers, DoorLimits
from gaitkeeper_server.rounds.door import DoorServer, listen
from gaitkeeper_server.rounds.room import Room
from gaitkeeper_server.rounds.superlink import _config
from gaitkeeper_shared.trust.certificates import Authority, pem
from gaitkeeper_shared.trust.keys import new_tls_key, private_pem

BEAT = "/v1/fleet/send-node-heartbeat"
KEY, OTHER = (generate_key_pairs()[0] for _ in range(2))
PEER = ("192.0.2.1", 1)
LIMITS = DoorLimits(
    connections=12, strangers=8, strangers_an_address=6, site_connections=2, proof_within_s=60.0, patience_s=0.0
)


class Gate:
    """A gate with one enrolled site, before an application that says "done"."""

    def __init__(self, limits: DoorLimits = LIMITS) -> None:
        self.served = 0
        self.keys, self.callers = gate.EnrolledKeys(), Callers(limits)
        self.keys.replace({"clinic-a": public_key_to_bytes(KEY.public_key())})
        self.gate = gate.FleetGate(
            gate.InTurn(self._application), self.keys, Bell(0.0), Bell(0.0), Room(lambda: 1), self.callers
        )

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        self.served += 1
        await gate._answer(send, 200, b"text/plain", b"done")

    async def ask(self, headers: Mapping[str, bytes], *, peer: tuple[str, int] = PEER, receive: Any = None) -> int:
        sent: list[Any] = []

        async def at_once() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        lines = [(name.lower().encode(), value) for name, value in headers.items()]
        scope = {
            "type": "http",
            "method": "POST",
            "path": BEAT,
            "query_string": b"",
            "headers": [*lines, (b"content-length", b"0")],
            "client": peer,
        }
        await self.gate(scope, receive or at_once, send)
        return int(sent[0]["status"])


def twin(headers: Mapping[str, bytes]) -> dict[str, bytes]:
    """The other right form of a signature, which anybody can make of it."""
    order = int("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16)
    assert KEY.curve.name == SECP384R1.name
    r, s = decode_dss_signature(base64.b64decode(headers[FLEET_HTTP_SIGNATURE_HEADER]))
    return {**headers, FLEET_HTTP_SIGNATURE_HEADER: base64.b64encode(encode_dss_signature(r, order - s))}


def test_a_signature_serves_once_on_whatever_connection_and_in_whatever_form() -> None:
    async def story() -> None:
        door = Gate()
        for port in (1, 2):
            assert door.callers.come((PEER[0], port), lambda: None)
        recorded = signed_by(KEY)
        other_form = signed.Signed.read([(k.lower().encode(), v) for k, v in twin(recorded).items()])
        assert other_form is not None
        assert other_form.is_right()
        assert await door.ask(recorded) == 200
        assert await door.ask(recorded) == 401
        assert await door.ask(recorded, peer=(PEER[0], 2)) == 401
        assert await door.ask(twin(recorded)) == 401
        assert await door.ask(signed_by(KEY)) == 200
        assert door.served == 2

    asyncio.run(story())


def test_only_who_has_the_key_uses_up_what_the_site_has() -> None:
    async def story() -> None:
        door = Gate()
        assert door.callers.come(PEER, lambda: None)
        posing = signed_by(OTHER, public_key_to_bytes(KEY.public_key()))
        assert await door.ask(posing) == 401
        assert await door.ask(signed_by(OTHER)) == 401
        assert await door.ask({}) == 401
        assert await door.ask(signed_by(KEY), peer=("192.0.2.9", 9)) == 429  # a connection that nobody took in
        assert door.callers.strangers == 1
        assert await door.ask(signed_by(KEY)) == 200
        assert door.callers.strangers == door.served - 1 == 0
        for port in (2, 3):
            assert door.callers.come((PEER[0], port), lambda: None)
        assert await door.ask(signed_by(KEY), peer=(PEER[0], 2)) == 200
        assert await door.ask(signed_by(KEY), peer=(PEER[0], 3)) == 429  # the site's third
        assert await door.ask(signed_by(KEY)) == 200

    asyncio.run(story())


def test_signatures_are_forgotten_when_they_are_of_no_use_any_more_and_bounded_until_then() -> None:
    moment = [1000.0]
    once = signed.OnceOnly(lambda: moment[0], most_a_site=2)
    first, *others = [signed.Signed(b"", "", b"", bytes([number])) for number in range(4)]
    assert once.use("clinic-a", first) is signed.Use.FIRST
    moment[0] += 305.0  # Flower takes it for 300 s, and 5 s for clocks
    assert once.use("clinic-a", first) is signed.Use.AGAIN
    assert once.served("clinic-a", first)
    assert once.use("clinic-a", others[0]) is signed.Use.FIRST
    assert once.use("clinic-a", others[1]) is signed.Use.TOO_MANY
    assert once.use("clinic-b", others[1]) is signed.Use.FIRST
    moment[0] += 10.0
    assert once.use("clinic-a", others[2]) is signed.Use.FIRST
    moment[0] += 600.0
    once._clear()
    assert not once._marks
    assert not once._ends


def test_a_site_that_is_revoked_while_it_sends_is_not_served() -> None:
    async def story() -> None:
        door = Gate()
        assert door.callers.come(PEER, lambda: None)

        async def slowly() -> dict[str, Any]:
            door.keys.replace({})
            return {"type": "http.request", "body": b"", "more_body": False}

        assert await door.ask(signed_by(KEY), receive=slowly) == 401
        assert door.served == 0

    asyncio.run(story())


def test_a_site_that_keeps_announcing_parts_delays_nobody_elses_message() -> None:
    async def story() -> None:
        bell = Bell(30.0)
        await bell.wait("conductor")
        asking = asyncio.create_task(bell.wait("conductor"))
        bell.expect("hostile", 5)
        bell.expect("clinic-a", 1)
        bell.part("clinic-a")
        bell.expect("hostile", 5)
        await asyncio.wait_for(asking, 5.0)

    asyncio.run(story())


class Book:
    """Callers with a clock of their own; who was closed is noted by its port."""

    def __init__(self, limits: DoorLimits) -> None:
        self.moment, self.closed = 0.0, list[int]()
        self.callers = Callers(limits, lambda: self.moment)

    def come(self, host: str, port: int) -> Caller | None:
        return self.callers.come((host, port), lambda: self.closed.append(port))


def test_who_came_first_gives_way_within_one_address_after_a_moment() -> None:
    book = Book(replace(LIMITS, patience_s=2.0))
    assert all(book.come("192.0.2.1", port) for port in range(6))
    assert book.come("192.0.2.1", 6) is None
    assert book.closed == []
    book.moment = 2.0
    assert book.come("192.0.2.1", 7)
    assert book.closed == [0]
    # All of an IPv6 network is one address, and an IPv4 address in IPv6 clothes is itself.
    assert all(book.come(f"2001:db8::{port:x}", port) for port in (20, 21))
    assert book.come("::ffff:192.0.2.1", 30)
    assert book.closed == [0, 1]
    assert book.callers.strangers == len(book.callers) == 8


def test_many_of_one_address_never_keep_out_another() -> None:
    book = Book(replace(LIMITS, patience_s=2.0))
    for port in range(6):
        assert book.come("192.0.2.1", port)
    for port in range(10, 16):
        book.come("192.0.2.2", port)
    honest = book.come("192.0.2.3", 20)  # at the very same moment
    assert honest
    assert book.callers.strangers == LIMITS.strangers
    assert book.callers.prove(honest.peer, "clinic-a")
    for port in range(30, 90):
        book.moment += 1.0
        book.come(f"198.51.100.{port}", port)
    assert book.callers.knows(honest.peer, "clinic-a")
    assert 20 not in book.closed
    book.callers.overdue(honest)
    assert 20 not in book.closed
    book.callers.gone(honest)
    assert not book.callers.knows(honest.peer, "clinic-a")
    assert len(book.callers) == book.callers.strangers == LIMITS.strangers


def test_a_port_that_was_given_away_again_is_another_connection() -> None:
    book = Book(LIMITS)
    former = book.come("192.0.2.1", 1)
    assert former
    assert book.callers.prove(former.peer, "clinic-a")
    assert book.come("192.0.2.1", 1)
    assert not book.callers.knows(former.peer, "clinic-a")
    book.callers.gone(former)  # heard late
    assert len(book.callers) == book.callers.strangers == 1


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("door")
    authority, key = Authority.create("door"), new_tls_key()
    (folder / "key").write_bytes(private_pem(key))
    (folder / "certificate").write_bytes(pem(authority.issue_server(key.public_key(), ("127.0.0.1",))))
    (folder / "root").write_bytes(pem(authority.certificate))
    return folder


@contextlib.asynccontextmanager
async def opened(tls: Path, limits: DoorLimits) -> AsyncIterator[tuple[Gate, int]]:
    """A gate behind a real door, and its port."""
    made = Gate(limits)
    options = {"ssl_certfile": str(tls / "certificate"), "ssl_keyfile": str(tls / "key"), "lifespan": "off"}
    server = DoorServer(_config(made.gate, **options), made.callers, limits)
    with listen("127.0.0.1", 0) as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield made, listener.getsockname()[1]
        finally:
            server.should_exit = True
            await asyncio.wait_for(running, 10.0)


async def said(stream: tuple[asyncio.StreamReader, asyncio.StreamWriter], key: EllipticCurvePrivateKey) -> bytes:
    """The status line that a request of a node gets."""
    head = [f"POST {BEAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n".encode()]
    head += [name.encode() + b": " + value + b"\r\n" for name, value in signed_by(key).items()]
    stream[1].write(b"".join([*head, b"\r\n"]))
    status = await asyncio.wait_for(stream[0].readline(), 10.0)
    body = await asyncio.wait_for(stream[0].readuntil(b"\r\n\r\n"), 10.0)
    length = next(int(line.partition(b":")[2]) for line in body.split(b"\r\n") if line.startswith(b"content-length"))
    await stream[0].readexactly(length)
    return status.strip()


async def is_closed(stream: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bool:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await asyncio.wait_for(stream[0].read(), 10.0)
    return True


def test_an_enrolled_node_gets_through_a_crowd_that_says_nothing(tls: Path) -> None:
    """More than there is place for: half of them never begin their handshake, the others never ask."""

    async def story() -> None:
        trust = ssl.create_default_context(cafile=str(tls / "root"))
        async with opened(tls, LIMITS) as (door, port):
            mine = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
            assert await said(mine, KEY) == b"HTTP/1.1 200 OK"
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            silent += [await asyncio.open_connection("127.0.0.1", port, ssl=trust) for _ in range(20)]
            assert door.callers.strangers <= LIMITS.strangers_an_address
            assert await said(mine, KEY) == b"HTTP/1.1 200 OK"
            fresh = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
            assert await said(fresh, KEY) == b"HTTP/1.1 200 OK"
            assert await is_closed(silent[0])
            assert await said(mine, KEY) == b"HTTP/1.1 200 OK"
            for stream in (mine, fresh, *silent):
                stream[1].close()

    asyncio.run(story())


def test_who_shows_no_key_in_time_is_closed_and_who_showed_one_is_not(tls: Path) -> None:
    async def story() -> None:
        trust = ssl.create_default_context(cafile=str(tls / "root"))
        async with opened(tls, replace(LIMITS, proof_within_s=1.0)) as (door, port):
            mine = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
            assert await said(mine, KEY) == b"HTTP/1.1 200 OK"
            never = await asyncio.open_connection("127.0.0.1", port)
            slow = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
            slow[1].write(b"POST / HTTP/1.1\r\nhost: ")
            stranger = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
            assert await said(stranger, OTHER) == b"HTTP/1.1 401 Unauthorized"
            assert all([await is_closed(stream) for stream in (never, slow, stranger)])
            assert await said(mine, KEY) == b"HTTP/1.1 200 OK"
            assert (len(door.callers), door.callers.strangers) == (1, 0)
            mine[1].close()
            while len(door.callers):
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(story(), 30.0))


def test_a_door_whose_process_may_open_no_more_files_goes_on_later(tls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        right = loop.sock_accept

        async def sock_accept(listener: socket.socket) -> Any:
            tries.append(listener)
            if len(tries) == 1:
                raise OSError(24, "Too many open files")
            return await right(listener)

        monkeypatch.setattr(loop, "sock_accept", sock_accept)
        trust = ssl.create_default_context(cafile=str(tls / "root"))
        async with opened(tls, LIMITS) as (_, port):
            mine = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
            assert await said(mine, KEY) == b"HTTP/1.1 200 OK"
            mine[1].close()

    asyncio.run(story())
