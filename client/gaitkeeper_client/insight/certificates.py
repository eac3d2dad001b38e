"""Certificates on the site's disk, one file for the weights that it is about. Lost ones are made anew."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from gaitkeeper_client.insight.certificate import Certificate, certificate_of
from gaitkeeper_shared import __version__
from gaitkeeper_shared.durable import write_durably

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_shared.models.bundle import ModelBundle


def digest_of(bundle: ModelBundle) -> str:
    """What a certificate is about: SHA-256 of the model as it is asked, a site's own head included."""
    return hashlib.sha256(bundle.to_bytes()).hexdigest()


def read_certificate(home: SiteHome, sha256: str) -> Certificate | None:
    """The certificate of these weights by this version; None where there is none that can be read."""
    try:
        found = certificate_of(json.loads(_path(home, sha256).read_bytes()))
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    # Another version may explain otherwise: what it tested says nothing about this one.
    return found if (found.sha256, found.software) == (sha256, __version__) else None


def keep_certificate(home: SiteHome, certificate: Certificate) -> Path:
    """Keep a certificate, durably. Raises ``disk-full``."""
    path = _path(home, certificate.sha256)
    write_durably(path, (json.dumps(certificate.to_json(), indent=2, allow_nan=False) + "\n").encode("utf-8"))
    return path


def _path(home: SiteHome, sha256: str) -> Path:
    return home.path / "certificates" / f"{sha256}.json"
