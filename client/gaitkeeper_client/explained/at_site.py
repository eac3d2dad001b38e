"""The certificate of what a site runs: found, or made now and kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaitkeeper_client.explained.certify import Progress, certify
from gaitkeeper_client.insight.certificate import Certificate
from gaitkeeper_client.insight.certificates import digest_of, keep_certificate, read_certificate
from gaitkeeper_client.insight.deployed import model_at
from gaitkeeper_client.vault.events import record
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import SiteKey


@dataclass(frozen=True, slots=True)
class Certified:
    """The certificate of the ``version`` that a site runs; ``new``: it was made just now."""

    version: int
    certificate: Certificate
    new: bool


def certify_active(
    home: SiteHome, *, key: SiteKey | None = None, again: bool = False, on_progress: Progress | None = None
) -> Certified:
    """Test the explanations of the active release, unless that was done; ``again``: in any case.

    ``key``: the site's, opened; without it, it is opened where the site has its own head. Raises
    ``certify-no-release``, ``release-damaged``, ``signature-*``, ``disk-full``.
    """
    found = model_at(home, key)
    if found is None:
        raise GaitkeeperError("certify-no-release")
    digest = digest_of(found.bundle)
    if not again and (known := read_certificate(home, digest)) is not None:
        return Certified(found.version, known, new=False)
    certificate = certify(found.bundle, digest, on_progress=on_progress)
    keep_certificate(home, certificate)
    record(home, "explanations-tested", version=found.version, sha256=digest, outcome=certificate.status)
    return Certified(found.version, certificate, new=True)
