"""Connections that hold a place and say nothing: each wait for the other side has its deadline.

The web server itself waits for ever for the head of a request, and for a reader who reads no more; a few hundred such
connections would keep everybody else out. Bodies have their own deadline (:mod:`.guard`).
"""

from __future__ import annotations

import asyncio
from collections import Counter

from uvicorn.protocols.http.h11_impl import H11Protocol

from gaitkeeper_client.console.forwarded import Proxies
from gaitkeeper_client.console.rates import neighbourhood

HEAD_S = 10.0
"""From a connection's begin, or a later request's first byte, to the end of the request's head."""
READER_S = 60.0
"""So long an answer may lie unread."""
MOST_OF_ONE = 60
"""Connections of one address at a time: a browser has six."""
_of_address: Counter[str] = Counter()


class DeadlineProtocol(H11Protocol):
    """The server's own protocol with deadlines."""

    _head: asyncio.TimerHandle | None = None
    _reader: asyncio.TimerHandle | None = None
    _who: str | None = None
    proxies = Proxies()

    @classmethod
    def behind(cls, proxies: Proxies) -> type[DeadlineProtocol]:
        """The protocol of a server behind proxies: one of those has as many connections as the server takes at all."""
        return type("ProxiedProtocol", (cls,), {"proxies": proxies})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A place for this connection, if its address has not too many."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        self._who = neighbourhood(address)
        _of_address[self._who] += 1
        if _of_address[self._who] > MOST_OF_ONE and not self.proxies.named(address):
            transport.abort()
            return
        self._head = self.loop.call_later(HEAD_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Bytes of a head, or of a body."""
        if self._head is None and self._waits():
            self._head = self.loop.call_later(HEAD_S, self.transport.abort)
        super().data_received(data)
        if not self._waits():
            _cancel(self._head)
            self._head = None

    def _waits(self) -> bool:
        """Whether the head of the next request has still to come."""
        return self.cycle is None or bool(self.cycle.response_complete)

    def pause_writing(self) -> None:
        """The other side does not read what was sent."""
        super().pause_writing()
        _cancel(self._reader)
        self._reader = self.loop.call_later(READER_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        _cancel(self._reader)
        self._reader = None

    def connection_lost(self, exc: Exception | None) -> None:
        """The place is free."""
        _cancel(self._head)
        _cancel(self._reader)
        if self._who is not None:
            _of_address[self._who] -= 1
            if not _of_address[self._who]:
                del _of_address[self._who]
            self._who = None
        super().connection_lost(exc)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
