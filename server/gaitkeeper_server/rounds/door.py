"""The servers of the SuperLink's two ports, and the door of the public one: it takes connections in, and counts them.

uvicorn bounds nothing before a request has come: a TLS handshake may take a minute, a connection that says nothing
lasts for ever, and too many of them have everybody refused. So connections of the public port are taken in here, one
after the other, entered among the callers, and handed to uvicorn's protocol as their handshake begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from gaitkeeper_server.rounds.callers import Caller, Callers, DoorLimits

_log = logging.getLogger("gaitkeeper.superlink")
_BACKLOG = 1_024
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_NO_ROOM_PAUSE_S = 0.2


class Server(uvicorn.Server):
    """uvicorn that leaves the process' signals alone: two of them share it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing about signals."""
        yield


class DoorServer(Server):
    """uvicorn behind the door. Its ``serve`` takes exactly one listening socket."""

    def __init__(self, config: uvicorn.Config, callers: Callers, limits: DoorLimits) -> None:
        super().__init__(config)
        self._callers, self._limits = callers, limits
        self._door: _Door | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start without a listener of uvicorn's own, and open the door instead."""
        await super().startup(sockets=[])
        if self.should_exit:
            return
        (listener,) = sockets or []
        assert isinstance(self.config.ssl, ssl.SSLContext)
        self._door = _Door(listener, self.config.ssl, self._protocol, self._callers, self._limits)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take in nobody any more, and end as uvicorn does."""
        if self._door is not None:
            await self._door.close()
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]  # a class by then
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


class _Door:
    """Takes connections in until it is closed."""

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        protocol: Callable[[], asyncio.Protocol],
        callers: Callers,
        limits: DoorLimits,
    ) -> None:
        self._listener, self._context, self._protocol = listener, context, protocol
        self._callers, self._limits = callers, limits
        self._loop = asyncio.get_running_loop()
        self._shaking: set[asyncio.Task[None]] = set()
        self._accepting = self._loop.create_task(self._accept())

    async def close(self) -> None:
        tasks = [self._accepting, *self._shaking]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self) -> None:
        while True:
            try:
                taken, address = await self._loop.sock_accept(self._listener)
            except OSError as error:
                if error.errno in _NO_ROOM:
                    _log.warning("no connection can be taken in: %s", error.strerror)
                    await asyncio.sleep(_NO_ROOM_PAUSE_S)
                continue
            self._take_in(taken, address)
            # Who waits is taken in at once, without a turn for the others.
            await asyncio.sleep(0)

    def _take_in(self, taken: socket.socket, address: Any) -> None:
        inner = _Counted(self._callers)
        caller = self._callers.come((str(address[0]), int(address[1])), inner.close)
        if caller is None:
            taken.close()
            return
        timer = self._loop.call_later(self._limits.proof_within_s, self._callers.overdue, caller)
        inner.enter(caller, timer)
        task = self._loop.create_task(self._shake_hands(taken, inner))
        inner.handshake = task
        self._shaking.add(task)
        task.add_done_callback(lambda done: self._shaken(done, taken, inner))

    async def _shake_hands(self, taken: socket.socket, inner: _Counted) -> None:
        inner.begun = True
        # Whoever cannot speak TLS, with us, in time, has nothing to be told; ssl.SSLError is an OSError.
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(
                lambda: inner.around(self._protocol()),
                taken,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.proof_within_s,
            )
            return
        inner.left()

    def _shaken(self, task: asyncio.Task[None], taken: socket.socket, inner: _Counted) -> None:
        self._shaking.discard(task)
        inner.handshake = None
        if not inner.begun:
            taken.close()  # else its transport does
        if task.cancelled():
            inner.left()
        elif (error := task.exception()) is not None:
            _log.error("a connection could not be taken in", exc_info=error)
            inner.left()


class _Counted(asyncio.Protocol):
    """uvicorn's protocol of one connection, and the word that the connection has ended."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._caller: Caller | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._protocol: Any = None
        self._transport: asyncio.Transport | None = None
        self.handshake: asyncio.Task[None] | None = None
        self.begun = False

    def enter(self, caller: Caller, timer: asyncio.TimerHandle) -> None:
        """Be the connection of ``caller``."""
        self._caller, self._timer = caller, timer

    def around(self, protocol: asyncio.Protocol) -> _Counted:
        """Speak for ``protocol``."""
        self._protocol = protocol
        return self

    def close(self) -> None:
        """End the connection now, whatever it does."""
        if self._transport is not None:
            self._transport.abort()
        elif self.handshake is not None:
            self.handshake.cancel()

    def left(self) -> None:
        """The connection is over."""
        if self._timer is not None:
            self._timer.cancel()
        if self._caller is not None:
            self._callers.gone(self._caller)
            self._caller = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._protocol.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.left()
        self._protocol.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._protocol.data_received(data)

    def eof_received(self) -> None:
        self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol by name: only of such sockets does asyncio switch Nagle's delay off, 40 ms for each answer's body.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener
