"""Who has a connection to the public port, and who must give way when there are too many.

Whoever reaches the port may connect; who has shown an enrolled key stays, all others are strangers. Strangers have a
moment to show one, and as they are many, whoever came first gives way to whoever comes: a site proves itself within the
time of a few packets, and who came in order to be silent holds its place until somebody wants it. What one address may
take from the others is bounded, so that to keep a site out takes more addresses than there are places.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

_log = logging.getLogger("gaitkeeper.superlink")
_TELL_EVERY_S = 60.0
_IPV6_NETWORK = 64
"""Bits. Whoever has an IPv6 address has all of such a network."""

Peer = tuple[str, int]
"""Address and port of the other end, as the connection names them."""


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """``connections``: open at a time; ``strangers``: of them, without a key shown; ``strangers_an_address``: of them,
    from one address, behind which there may be many hospitals. ``site_connections``: with one site's key.

    ``proof_within_s``: from the connection to the first signed request's head. ``patience_s``: for so long a stranger
    need not give way to another of the same address; who comes meanwhile has to come again.
    """

    connections: int = 10_000
    strangers: int = 1_024
    strangers_an_address: int = 256
    site_connections: int = 32
    proof_within_s: float = 20.0
    patience_s: float = 2.0


@dataclass(slots=True, eq=False)
class Caller:
    """One connection. ``close`` ends it at once; ``site``: whose key it has shown, empty for a stranger."""

    peer: Peer
    network: str
    came_at: float
    close: Callable[[], None]
    site: str = ""


class Callers:
    """The connections of the public port. Not for several threads."""

    def __init__(self, limits: DoorLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._open: dict[Peer, Caller] = {}
        self._strangers: dict[str, dict[Caller, None]] = {}
        self._strange = 0
        self._by_site: dict[str, int] = {}
        self._told_at = float("-inf")

    @property
    def strangers(self) -> int:
        """How many connections have not shown a key."""
        return self._strange

    def __len__(self) -> int:
        return len(self._open)

    def come(self, peer: Peer, close: Callable[[], None]) -> Caller | None:
        """Enter a new connection, None where there is no place for it. Another may be closed for it."""
        if (former := self._open.get(peer)) is not None:
            # The system gave its port away again before we heard that it had gone.
            self._expel(former)
        caller = Caller(peer, _network(peer[0]), self._clock(), close)
        if not self._make_place(caller.network):
            self._tell(f"{caller.network} has too many connections without a key: one was turned away")
            return None
        self._open[peer] = caller
        self._strangers.setdefault(caller.network, {})[caller] = None
        self._strange += 1
        return caller

    def knows(self, peer: Peer | None, site: str) -> bool:
        """Whether this connection has shown the key of ``site``."""
        caller = None if peer is None else self._open.get(peer)
        return caller is not None and caller.site == site

    def prove(self, peer: Peer | None, site: str) -> bool:
        """This connection has shown the key of ``site``. False where the site has too many connections."""
        caller = None if peer is None else self._open.get(peer)
        if caller is None:
            return False
        if self._by_site.get(site, 0) >= self._limits.site_connections:
            self._tell(f"{site} has {self._limits.site_connections} connections: one more was refused")
            return False
        self._forget(caller)
        caller.site = site
        self._by_site[site] = self._by_site.get(site, 0) + 1
        return True

    def gone(self, caller: Caller) -> None:
        """A connection has ended."""
        if self._open.get(caller.peer) is caller:
            del self._open[caller.peer]
            self._forget(caller)

    def overdue(self, caller: Caller) -> None:
        """The time to show a key is over: a stranger goes."""
        if not caller.site and self._open.get(caller.peer) is caller:
            self._expel(caller)

    def _make_place(self, network: str) -> bool:
        limits, mine = self._limits, len(self._strangers.get(network, ()))
        if mine >= limits.strangers_an_address:
            return self._expel_oldest(network, limits.patience_s)
        if self._strange < limits.strangers and len(self._open) < limits.connections:
            return True
        if not self._strangers:
            return False
        # Whoever takes most gives way: many from one address never keep out the first of another.
        most = max(self._strangers, key=lambda name: len(self._strangers[name]))
        fair = len(self._strangers[most]) > mine + 1
        return self._expel_oldest(most, 0.0 if fair else limits.patience_s)

    def _expel_oldest(self, network: str, patience_s: float) -> bool:
        oldest = next(iter(self._strangers[network]))
        if self._clock() - oldest.came_at < patience_s:
            return False
        self._expel(oldest)
        self._tell(f"{network} keeps many connections without a key: the oldest gave way")
        return True

    def _expel(self, caller: Caller) -> None:
        self.gone(caller)
        caller.close()

    def _forget(self, caller: Caller) -> None:
        if caller.site:
            self._by_site[caller.site] -= 1
            if not self._by_site[caller.site]:
                del self._by_site[caller.site]
            return
        of_network = self._strangers[caller.network]
        del of_network[caller]
        if not of_network:
            del self._strangers[caller.network]
        self._strange -= 1

    def _tell(self, what: str) -> None:
        """In the log, but no more than a line a minute: who floods the port does not flood the disk."""
        if self._clock() - self._told_at >= _TELL_EVERY_S:
            self._told_at = self._clock()
            _log.warning("%s (%d connections, %d without a key)", what, len(self._open), self._strange)


@lru_cache(maxsize=4096)
def _network(host: str) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 network."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _IPV6_NETWORK), strict=False))
