"""How often one address may ask: a brake on every route, for whoever is signed in and whoever is not.

A bucket of tokens for each address holds a minute's worth and fills evenly. What makes the machine work hard (a report
is drawn, every signature verified, a password or passphrase stretched) is taken from a second, smaller bucket as well.
The buckets are in memory only: nothing is worth keeping over a restart.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gaitkeeper_shared.errors import GaitkeeperError

HARD_SHARE = 0.1
"""Of all that an address may ask, what may make the machine work hard."""
MOST_ADDRESSES = 10_000
_HARD_PLACES = ("/reports/", "/api/v1/reports/")
_HARD_ENDINGS = ("/course", "/course.pdf")


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Rates:
    """The buckets of a console. ``per_minute``: what one address may ask; ``clock`` counts seconds."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = float(per_minute), clock
        self._buckets: OrderedDict[tuple[str, bool], _Bucket] = OrderedDict()

    def take(self, address: str, method: str, path: str) -> None:
        """Count a request. Raises ``console-too-fast`` with the seconds until the next is taken."""
        who = neighbourhood(address)
        hard = is_hard(method, path)
        for kind in (False, True)[: 1 + hard]:
            wait = self._wait(who, hard=kind)
            if wait > 0.0:
                raise GaitkeeperError("console-too-fast", seconds=max(1, round(wait + 0.5)))

    def _wait(self, who: str, *, hard: bool) -> float:
        """Take a token; the seconds until there is one where there is none."""
        most = max(1.0, self._per_minute * (HARD_SHARE if hard else 1.0))
        now = self._clock()
        bucket = self._buckets.pop((who, hard), None) or _Bucket(most, now)
        # Newest last: who is forgotten first asked the longest ago, and has a full bucket by then.
        self._buckets[(who, hard)] = bucket
        while len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        bucket.tokens = min(most, bucket.tokens + (now - bucket.at) * most / 60.0)
        bucket.at = now
        if bucket.tokens < 1.0:
            return (1.0 - bucket.tokens) * 60.0 / most
        bucket.tokens -= 1.0
        return 0.0


def is_hard(method: str, path: str) -> bool:
    """Whether answering is work: pages and files of reports, and whatever asks for a password."""
    if path.startswith("/sign-in"):
        return method == "POST"
    return path.startswith(_HARD_PLACES) or path.endswith(_HARD_ENDINGS)


def neighbourhood(address: str) -> str:
    """An IPv4 address as it is; of an IPv6 address the network of 64 bits, all of which one machine may have."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv4Address):
        return address
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((known, 64), strict=False))
