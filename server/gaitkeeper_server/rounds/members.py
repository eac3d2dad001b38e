"""Which enrolled sites a study means: all, or those that have the keys of the members that it lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from gaitkeeper_server.rounds.roster import Presence, Roster, roster_of_names
from gaitkeeper_server.store import SiteRecord
from gaitkeeper_shared.study import Study
from gaitkeeper_shared.trust.certificates import public_key_digest, read_certificate

if TYPE_CHECKING:
    from flwr.serverapp import Grid


def taking_part(study: Study, enrolled: Iterable[SiteRecord]) -> list[str]:
    """The enrolled sites that a run of the study is for: all, or those of the members it lists that have their key."""
    listed = study.federation.sites
    return [site.name for site in enrolled if not listed or listed.get(site.name) == key_of(site)]


def key_of(site: SiteRecord) -> str:
    """SHA-256 of an enrolled site's public key, which stays the same when its certificate is renewed."""
    return "" if site.certificate is None else _digest(site.certificate, site.name)


def roster_of_members(
    study: Study, enrolled_sites: Callable[[], Iterable[SiteRecord]], everybody: Roster = roster_of_names
) -> Roster:
    """Of ``everybody`` who can be reached now, those whom the study means: who has a listed member's name, but another
    key, is not among them."""
    if not study.federation.sites:
        return everybody

    def roster(grid: Grid) -> Mapping[str, Presence]:
        meant = set(taking_part(study, enrolled_sites()))
        return {site: presence for site, presence in everybody(grid).items() if site in meant}

    return roster


@lru_cache(maxsize=4096)
def _digest(certificate: bytes, site: str) -> str:
    return public_key_digest(read_certificate(certificate, what=f"The certificate of {site}"))
