"""Whose nodes take part in rounds: those of enrolled sites, for as long as their certificate lasts.

A Flower node proves itself by its key, which has no end of its own. Were it asked for nothing else, a site that nobody
has looked after for months, and whose certificate has expired, would still be in every round.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

from gaitkeeper_server.store import SiteRecord
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.certificates import read_certificate
from gaitkeeper_shared.trust.clock import Clock, utc_now

_log = logging.getLogger("gaitkeeper.superlink")


class AdmittedNodes:
    """The node public keys (PEM) of the sites that may take part now, by site name; called twice a second.

    Who is enrolled and left out is named in the log, once.
    """

    def __init__(self, enrolled_sites: Callable[[], tuple[SiteRecord, ...]], clock: Clock = utc_now) -> None:
        self._enrolled_sites, self._clock = enrolled_sites, clock
        self._lapsed: set[str] = set()

    def __call__(self) -> dict[str, bytes]:
        """Read the list anew. Raises what reading the store raises."""
        now, keys, lapsed = self._clock(), dict[str, bytes](), set[str]()
        for site in self._enrolled_sites():
            if not site.node_public_key:
                continue
            end = _end(site.certificate or b"")
            if end is not None and now <= end:
                keys[site.name] = site.node_public_key
                continue
            lapsed.add(site.name)
            if site.name not in self._lapsed:
                why = "cannot be read" if end is None else f"expired on {end:%Y-%m-%d %H:%M} UTC"
                _log.warning(
                    "%s: its certificate %s; it is in no round until it has enrolled again "
                    "(gaitkeeper coordinator invite %s)",
                    site.name,
                    why,
                    site.name,
                )
        self._lapsed = lapsed
        return keys


@lru_cache(maxsize=4096)
def _end(certificate: bytes) -> datetime | None:
    try:
        return read_certificate(certificate, what="a site's certificate").not_valid_after_utc
    except GaitkeeperError:
        return None
