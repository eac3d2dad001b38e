"""Holds the questions for messages until there is something to say."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

_PARTS_WITHIN_S = 2.0
_OTHERS_WAIT_S = 0.05
"""For so long a message that is complete waits for others of which parts are still to come."""
_FEW = 25
"""So many ask without having to wait for longer."""


class Bell:
    """Wakes those who wait for messages: a question for messages is held until there may be some, or for a while.

    Flower's nodes and grids ask again and again, each time at the price of a whole request. Held back, they hear at
    once and cost nothing. A message comes in parts; who asks before the last one is there waits a second for it
    (flwr's back-off), so the bell rings after the last. Messages that come together are rung for once; for one that
    stays incomplete the others do not wait. Correctness rests on nothing here: a held question goes on by itself after
    ``hold_s``, where many ask later, up to ``longest_s``: to answer them costs the same however many ask.
    """

    def __init__(self, hold_s: float, longest_s: float = 0.0) -> None:
        self._hold_s, self._longest_s = hold_s, max(hold_s, longest_s)
        self._over = False
        self._rings = 0
        self._event = asyncio.Event()
        self._heard: dict[str, int] = {}
        self._missing: dict[str, tuple[int, float]] = {}
        self._cleared_at = 0.0
        self._soon: asyncio.TimerHandle | None = None

    def expect(self, sender: str, parts: int) -> None:
        """A message of ``sender`` came; ``parts`` of it are still to come."""
        self._set(sender, self._missing.get(sender, (0, 0.0))[0] + parts)

    def part(self, sender: str) -> None:
        """One part came."""
        self._set(sender, self._missing.get(sender, (0, 0.0))[0] - 1)

    def _set(self, sender: str, left: int) -> None:
        moment = time.monotonic()
        if left > 0:
            self._missing[sender] = (left, moment + _PARTS_WITHIN_S)
        else:
            self._missing.pop(sender, None)
        if self._missing and moment >= self._cleared_at + _PARTS_WITHIN_S:
            # Not at each part: there may be as many senders as sites.
            self._cleared_at = moment
            self._missing = {who: (parts, until) for who, (parts, until) in self._missing.items() if until > moment}
        if not self._missing:
            self.ring()
        elif left <= 0 and self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(_OTHERS_WAIT_S, self.ring)

    def again(self, who: str) -> None:
        """Let ``who`` pass the next time without waiting."""
        self._heard.pop(who, None)

    async def wait(self, who: str, concerned: Callable[[], bool] = lambda: True) -> None:
        """Return when it rang since ``who`` was here last and ``who`` is ``concerned``, or after a while."""
        heard = self._heard.get(who)
        until = time.monotonic() + min(self._longest_s, self._hold_s * max(1.0, len(self._heard) / _FEW))
        if heard is not None:
            while not self._over and (heard == self._rings or not concerned()):
                heard, left = self._rings, until - time.monotonic()
                if left <= 0:
                    break
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._event.wait(), left)
        self._heard[who] = self._rings

    def ring(self) -> None:
        """Let everybody go on now whom it concerns."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._rings += 1
        self._event.set()
        self._event = asyncio.Event()

    def end(self) -> None:
        """Let everybody go on from now on."""
        self._over = True
        self.ring()
