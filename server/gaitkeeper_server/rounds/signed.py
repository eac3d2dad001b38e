"""A node's signature on a request: whose it is, whether it is right, and whether it has served before.

Flower's nodes sign the moment of a request, nothing else of it, and Flower takes a signature for five minutes: whoever
records one could make any request with it meanwhile. Here each serves once. A node signs each request anew, one that
it repeats as well, so that none is refused that it made itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from flwr.common.constant import SYSTEM_TIME_TOLERANCE, TIMESTAMP_HEADER, TIMESTAMP_TOLERANCE
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.date import now
from flwr.supercore.primitives.asymmetric import bytes_to_public_key, verify_signature

_KEY = FLEET_HTTP_PUBLIC_KEY_HEADER.lower().encode("ascii")
_SIGNATURE = FLEET_HTTP_SIGNATURE_HEADER.lower().encode("ascii")
_MOMENT = TIMESTAMP_HEADER.lower().encode("ascii")
_LONGEST_MOMENT = 64
_LIVES_S = TIMESTAMP_TOLERANCE + 2 * SYSTEM_TIME_TOLERANCE + 1.0
"""A signature made by a clock that is ahead by the tolerance lives for so long at most from its use."""
_MOST_A_SITE = 1 << 17
"""Signatures remembered of one site: over 400 requests a second for as long as they live, 20 MiB."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What a request says of its sender. ``mark`` is the same for all forms of one signature."""

    key: bytes
    moment: str
    signature: bytes
    mark: bytes

    @classmethod
    def read(cls, headers: Iterable[tuple[bytes, bytes]]) -> Signed | None:
        """From a request's headers; None where they are not those of a node."""
        found: dict[bytes, bytes] = {}
        for name, value in headers:
            # The first of each, as Flower reads them.
            found.setdefault(name, value)
        try:
            key = base64.b64decode(found[_KEY], validate=True)
            signature = base64.b64decode(found[_SIGNATURE], validate=True)
            moment = found[_MOMENT].decode("ascii")
            # Whoever has the pair (r, s) has (r, -s) as well, which is as right: the mark is made of r.
            r, _ = decode_dss_signature(signature)
        except (KeyError, ValueError, binascii.Error):
            return None
        if len(moment) > _LONGEST_MOMENT:
            return None
        return cls(key, moment, signature, hashlib.sha256(f"{moment} {r}".encode()).digest()[:16])

    def is_right(self) -> bool:
        """Whether the key made the signature, about now. Flower asks the same of each request."""
        try:
            age = (now() - datetime.fromisoformat(self.moment)).total_seconds()
            right = verify_signature(bytes_to_public_key(self.key), self.moment.encode("ascii"), self.signature)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return False
        return right and -SYSTEM_TIME_TOLERANCE < age < TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE


class Use(Enum):
    """What became of a signature."""

    FIRST = auto()
    AGAIN = auto()
    TOO_MANY = auto()


class OnceOnly:
    """Remembers the signatures that have served, each for as long as Flower would take it again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most_a_site: int = _MOST_A_SITE) -> None:
        self._clock, self._most = clock, most_a_site
        self._marks: dict[str, set[bytes]] = {}
        self._ends: deque[tuple[float, str, bytes]] = deque()

    def served(self, site: str, signed: Signed) -> bool:
        """Whether it has served."""
        return signed.mark in self._marks.get(site, ())

    def use(self, site: str, signed: Signed) -> Use:
        """Use a signature of which it is known that ``site`` made it: nobody else fills the site's memory."""
        self._clear()
        marks = self._marks.setdefault(site, set())
        if signed.mark in marks:
            return Use.AGAIN
        if len(marks) >= self._most:
            return Use.TOO_MANY
        marks.add(signed.mark)
        self._ends.append((self._clock() + _LIVES_S, site, signed.mark))
        return Use.FIRST

    def _clear(self) -> None:
        moment = self._clock()
        while self._ends and self._ends[0][0] < moment:
            _, site, mark = self._ends.popleft()
            marks = self._marks[site]
            marks.discard(mark)
            if not marks:
                del self._marks[site]
