"""Whom a deployed site masks with: its own key and certificate, the pinned root, and the keys that peers had before."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gaitkeeper_client.consortium.connection import CoordinatorConnection, KeyFiles
from gaitkeeper_client.consortium.policy import load_policy
from gaitkeeper_client.training.masked import SiteMasking
from gaitkeeper_client.vault.events import record
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.secure.identity import Membership, SiteIdentity
from gaitkeeper_shared.trust.certificates import fingerprint, load_certificate
from gaitkeeper_shared.trust.keys import load_private_key

PEERS_FILE = "secure-peers.json"
_LOG = logging.getLogger(__name__)


class PeerPins:
    """The key that each peer signed with the first time, in a file of the site's home.

    The coordinator keeps the consortium's root and could certify a key of its own in a clinic's name. A clinic's key
    stays the same when its certificate is renewed, so that another one is noticed.
    """

    def __init__(
        self, path: Path, told: Callable[[str, str], None] = lambda site, digest: None, *, take_new: bool = True
    ) -> None:
        """``told``: called with a name that was not known, and the SHA-256 of its key, before both are pinned.

        ``take_new``: whether a name that was not known is pinned at all where no approved study lists it.
        """
        self._path, self._told, self._take_new = path, told, take_new

    def check(self, site: str, key: bytes, *, listed: bool = False) -> None:
        """Return where ``key`` (DER) is what ``site`` had before, or its first. Raises ``secure-peer-untrusted``.

        ``listed``: a study that people here approved names the site with this key.
        """
        pinned, digest = self._read(), hashlib.sha256(key).hexdigest()
        if site not in pinned and not (listed or self._take_new):
            why = f"it is new here (key {digest}), no approved study lists it, and this site's policy takes no new ones"
            raise GaitkeeperError("secure-peer-untrusted", site=site, why=why)
        if site not in pinned:
            _LOG.warning("first masked round with %s: its key %s is pinned; compare by telephone", site, digest)
            self._told(site, digest)
            write_durably(self._path, json.dumps({**pinned, site: digest}, indent=1, sort_keys=True).encode("utf-8"))
        elif pinned[site] != digest:
            raise GaitkeeperError("secure-peer-untrusted", site=site, why="its key is not the one that it had before")

    def _read(self) -> dict[str, str]:
        try:
            table = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise GaitkeeperError("connection-damaged", path=self._path, detail=error) from error
        if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
            raise GaitkeeperError("connection-damaged", path=self._path, detail="it is not a table of texts")
        return table


def masking_of_home(home: SiteHome) -> SiteMasking:
    """The part in masked rounds of the site whose home this is."""
    files = KeyFiles(home.keys)

    def identity() -> SiteIdentity:
        key = load_private_key(files.site_key)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise GaitkeeperError("key-damaged", path=files.site_key, detail="it is not an EC key")
        return SiteIdentity(home.config().name, files.site_certificate.read_bytes(), key)

    def membership() -> Membership:
        root = load_certificate(files.root_certificate)
        if fingerprint(root) != CoordinatorConnection.load(home).root_sha256:
            detail = "it is not the root that was pinned"
            raise GaitkeeperError("certificate-unusable", what=files.root_certificate, detail=detail)
        return Membership(root, pins=PeerPins(home.path / PEERS_FILE, told, take_new=load_policy(home).take_new_peers))

    def told(peer: str, digest: str) -> None:
        record(home, "peer-pinned", peer=peer, key=digest)

    return SiteMasking(identity, membership)
