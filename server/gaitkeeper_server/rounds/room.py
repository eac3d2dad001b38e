"""Lets the sites hand in their replies no faster than the conductor reads them.

A reply lies in the SuperLink's memory until it was read. Of a thousand sites that answer at once, a thousand updates
would lie there; so only some are let in at a time, and the others wait, in the order in which they came, with the
update on their own machines. Who has waited for long is told to come again: its node does so by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

_LONGEST_WAIT_S = 20.0
"""Flower's nodes give an answer half a minute."""
_LOOK_AGAIN_S = 0.5
"""A place may become free without a word: a site stops sending, a run ends."""


class Room:
    """Places for replies. All of it happens on the event loop of the gates."""

    def __init__(self, free: Callable[[], int], longest_wait_s: float = _LONGEST_WAIT_S) -> None:
        """``free``: how many places there are, without those of who was let in and is not counted there yet."""
        self._free, self._longest_wait_s = free, longest_wait_s
        self._queue: deque[asyncio.Future[None]] = deque()
        self._entering = 0

    async def enter(self) -> bool:
        """Wait for a place; False where none became free in time. Whoever got one calls ``entered``."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        self.look()
        until = time.monotonic() + self._longest_wait_s
        try:
            while not place.done() and time.monotonic() < until:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(place), _LOOK_AGAIN_S)
                if self._queue and self._queue[0] is place:
                    self.look()
        except BaseException:
            # Its connection is gone, and with it who would give the place back.
            if place.done():
                self.entered()
            raise
        finally:
            if not place.done():
                self._queue.remove(place)
        return place.done()

    def entered(self) -> None:
        """Who was let in is counted elsewhere from now on, or has gone."""
        self._entering -= 1
        self.look()

    def look(self) -> None:
        """Let in who waits, as far as there are places."""
        if not self._queue:
            return
        free = self._free() - self._entering
        while self._queue and free > 0:
            self._queue.popleft().set_result(None)
            self._entering += 1
            free -= 1
