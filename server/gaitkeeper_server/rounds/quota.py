"""How much a site may leave in the SuperLink's memory.

Flower stores whatever tree of objects a node announces as its reply, of any number and size, and keeps what no message
refers to until the run ends. A site that is hostile, or broken, could fill the memory that all sites' rounds are in. So
a node has a quota, for a single reply and for all that lies there of its replies: a multiple of the orders of its run,
since an update has the arrays that came with the order, and what goes beside them does not depend on a site's data.
And all of them together have so many places that memory does not grow with their number (``room``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flwr.proto.message_pb2 import ObjectTree
    from flwr.supercore.object_store import ObjectStore

MOST_OBJECTS = 4096
"""Objects that a node may have there: an array is a few, a model some hundred."""
LEAST_BYTES = 32 * 1024 * 1024
TIMES_ORDER = 8
"""A masked update has twice the bytes of the weights of its order; three of them may wait for a coordinator."""
MOST_UNREAD_BYTES = 64 * 1024 * 1024
"""Of replies that may lie there or be on their way at a time; each is taken for as large as the weights of an order.

While it is taken in, a reply costs up to four times its size: as it comes, as a request, as an object."""
LEAST_PLACES = 8
_STALLED_S = 30.0
"""A reply of which nothing came for so long keeps nobody else waiting."""


@dataclass(slots=True)
class _Push:
    """A reply that a node is sending: to which message of which run. ``at``: when the last of it came."""

    node: int
    run: int
    order: str
    at: float


@dataclass(slots=True)
class _Held:
    """Objects of a node's replies with their sizes, 0 for those to come, and the sum."""

    sizes: dict[str, int] = field(default_factory=dict)
    total: int = 0

    def add(self, item: str, size: int) -> None:
        self.total += size - self.sizes.get(item, 0)
        self.sizes[item] = size

    def keep(self, store: ObjectStore) -> None:
        """Forget what does not lie there any more: a coordinator that has read a reply removes it without a word."""
        self.sizes = {item: size for item, size in self.sizes.items() if item in store}
        self.total = sum(self.sizes.values())


@dataclass(slots=True)
class _Orders:
    """Of one run: the objects of each order that waits for a reply, their sizes, and the largest order there was."""

    waiting: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    largest: int = 0

    def sized(self, order: str) -> int:
        self.largest = max(self.largest, sum(self.sizes.get(item, 0) for item in self.waiting.get(order, ())))
        return self.largest


class ReplyQuota:
    """Counts what lies in a SuperLink's object store for each node. The state that owns the store has the lock."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._orders: dict[int, _Orders] = {}
        self._pushes: dict[str, _Push] = {}
        self._held: dict[int, _Held] = {}

    def order(self, run: int, message_id: str, tree: ObjectTree) -> None:
        """An order is on its way to a node."""
        orders = self._orders.setdefault(run, _Orders())
        orders.waiting[message_id] = objects = tuple({item.object_id for item in nodes_of(tree)})
        for item in objects:
            # What lies there from an order of before is not sent again.
            if content := self._store.get(item):
                orders.sizes[item] = len(content)

    def orders_gone(self, message_ids: Iterable[str]) -> None:
        """Nobody waits for a reply to these any more."""
        for run in list(self._orders.values()):
            for message_id in message_ids:
                run.waiting.pop(message_id, None)
            if not run.waiting:
                run.sizes.clear()

    def run_gone(self, run: int) -> None:
        """A run has ended, and its objects are gone."""
        self._orders.pop(run, None)
        self._pushes = {session: push for session, push in self._pushes.items() if push.run != run}

    def refuses(self, node: int, run: int, order: str, tree: ObjectTree) -> str:
        """Why a reply may not be stored; empty where it may."""
        # One more than may be is looked for: a tree may be large enough for the looking to take long.
        if next(islice(nodes_of(tree), MOST_OBJECTS, None), None) is not None:
            return f"its reply has more than {MOST_OBJECTS} objects"
        held = self._held.setdefault(node, _Held())
        held.keep(self._store)
        if len({item.object_id for item in nodes_of(tree)} | set(held.sizes)) > MOST_OBJECTS:
            return f"its replies have more than {MOST_OBJECTS} objects"
        return self._beyond(node, run, order, 0)

    def reply(self, session: str, node: int, run: int, order: str, missing: Iterable[str]) -> None:
        """A reply is stored, and its ``missing`` objects are to come."""
        self._pushes[session] = _Push(node, run, order, time.monotonic())
        held = self._held.setdefault(node, _Held())
        for item in missing:
            held.sizes.setdefault(item, 0)

    def sender(self, session: str) -> int | None:
        """The node that sends its reply in this session; None where it is the coordinator's, or over."""
        push = self._pushes.get(session)
        return None if push is None else push.node

    def order_of(self, session: str) -> str:
        """The order that the reply of this session, one of a node's, is to."""
        return self._pushes[session].order

    def too_much(self, session: str, size: int) -> str:
        """Why an object of so many bytes may not be stored; empty where it may. Of a node's session."""
        push = self._pushes[session]
        push.at = time.monotonic()
        return self._beyond(push.node, push.run, push.order, size)

    def stored(self, node: int | None, run: int, item: str, size: int) -> None:
        """An object was stored, of a node's reply or of an order."""
        if node is not None:
            self._held.setdefault(node, _Held()).add(item, size)
        elif run in self._orders:
            self._orders[run].sizes[item] = size

    def over(self, session: str) -> None:
        """A session has ended."""
        self._pushes.pop(session, None)

    def held(self, node: int) -> tuple[int, int]:
        """Objects and bytes that lie there of a node's replies."""
        held = self._held.setdefault(node, _Held())
        held.keep(self._store)
        return len(held.sizes), held.total

    def places(self) -> int:
        """How many more replies may come."""
        for run in self._orders.values():
            if run.waiting:
                run.sized(next(reversed(run.waiting)))
        largest = max((run.largest for run in self._orders.values()), default=0)
        return max(LEAST_PLACES, MOST_UNREAD_BYTES // max(1, largest)) - self._lying()

    def _lying(self) -> int:
        """How many nodes' replies lie there or are on their way."""
        stalled = time.monotonic() - _STALLED_S
        sending = {push.node: push.at for push in self._pushes.values()}
        lying = 0
        for node, held in list(self._held.items()):
            held.keep(self._store)
            if not held.sizes:
                del self._held[node]
            elif sending.get(node, math.inf) > stalled:
                lying += 1
        return lying

    def _beyond(self, node: int, run: int, order: str, further: int) -> str:
        largest = self._orders[run].sized(order) if run in self._orders else 0
        most = max(LEAST_BYTES, TIMES_ORDER * largest)
        held = self._held.setdefault(node, _Held())
        if held.total + further > most:
            held.keep(self._store)
        if held.total + further > most:
            return f"its replies have more than {most} bytes, for orders of {largest}"
        return ""


def nodes_of(tree: ObjectTree) -> Iterator[ObjectTree]:
    """Every node of a tree, one at a time; protobuf bounds how deep it is."""
    yield tree
    for child in tree.children:
        yield from nodes_of(child)
