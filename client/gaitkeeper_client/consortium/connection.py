"""Which coordinator this site belongs to: addresses, pinned root, the keys whose signatures count.

Kept in the table ``[coordinator]`` of ``site.toml``; keys and certificates lie under ``keys/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from gaitkeeper_client.vault.home import SiteHome, read_table, write_table
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.rpc.channels import Endpoint
from gaitkeeper_shared.trust.certificates import fingerprint, load_certificate
from gaitkeeper_shared.trust.invitation import is_address
from gaitkeeper_shared.trust.keys import VerifyingKey, load_private_key
from gaitkeeper_shared.trust.signatures import Consortium

_TABLE = "coordinator"


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where an enrolled site's keys and certificates lie."""

    folder: Path

    @property
    def site_key(self) -> Path:
        """TLS key, EC P-256, PEM."""
        return self.folder / "site.key"

    @property
    def site_certificate(self) -> Path:
        """TLS certificate, PEM."""
        return self.folder / "site.crt"

    @property
    def root_certificate(self) -> Path:
        """The pinned root, PEM: for our services and for Flower alike."""
        return self.folder / "root.crt"

    @property
    def node_key(self) -> Path:
        """Key of the Flower node, EC P-384, OpenSSH format as ``flower-supernode`` reads it."""
        return self.folder / "node.key"

    @property
    def node_public_key(self) -> Path:
        """Public key of the Flower node, OpenSSH format."""
        return self.folder / "node.pub"


@dataclass(frozen=True, slots=True)
class CoordinatorConnection:
    """What enrolment brought. Addresses are host:port; ``consortium_keys`` are Ed25519 public keys in hex."""

    coordinator: str
    site: str
    site_address: str
    fleet_address: str
    root_sha256: str
    consortium_keys: tuple[str, ...]
    threshold: int
    enrolled_at: str

    @classmethod
    def load(cls, home: SiteHome) -> CoordinatorConnection:
        """Read it. Raises ``not-enrolled`` or ``connection-damaged``."""
        table = read_table(home, _TABLE)
        if not table:
            raise GaitkeeperError("not-enrolled")
        try:
            return _connection(table)
        except (ValueError, TypeError, KeyError, GaitkeeperError) as error:
            raise GaitkeeperError("connection-damaged", path=home.config_file, detail=error) from error

    @classmethod
    def load_or_none(cls, home: SiteHome) -> CoordinatorConnection | None:
        """Read it; None where the site is not enrolled."""
        return cls.load(home) if read_table(home, _TABLE) else None

    def save(self, home: SiteHome) -> None:
        """Write it, durably."""
        write_table(home, _TABLE, {**asdict(self), "consortium_keys": list(self.consortium_keys)})

    @property
    def consortium(self) -> Consortium:
        """Whose signatures on studies, releases and orders count."""
        return Consortium(tuple(VerifyingKey(bytes.fromhex(key)) for key in self.consortium_keys), self.threshold)

    def endpoint(self, home: SiteHome) -> Endpoint:
        """The coordinator's services for members. Raises ``key-*`` or ``certificate-unusable``."""
        files = KeyFiles(home.keys)
        root = load_certificate(files.root_certificate)
        if fingerprint(root) != self.root_sha256:
            raise GaitkeeperError(
                "certificate-unusable", what=files.root_certificate, detail="it is not the root that was pinned"
            )
        load_certificate(files.site_certificate)
        load_private_key(files.site_key)
        return Endpoint(
            self.site_address,
            files.root_certificate.read_bytes(),
            files.site_certificate.read_bytes(),
            files.site_key.read_bytes(),
        )


def _connection(table: Mapping[str, Any]) -> CoordinatorConnection:
    values = dict(table)
    if set(values) != {field.name for field in fields(CoordinatorConnection)}:
        raise ValueError("its keys are not those expected")
    keys = values["consortium_keys"]
    texts = [value for name, value in values.items() if name not in ("consortium_keys", "threshold")]
    if not all(isinstance(item, str) for item in [*texts, *keys]) or type(values["threshold"]) is not int:
        raise TypeError("a value has the wrong type")
    if not is_address(values["site_address"]) or not is_address(values["fleet_address"]):
        raise ValueError("an address is not host:port")
    made = CoordinatorConnection(**{**values, "consortium_keys": tuple(keys)})
    _ = made.consortium  # its keys and threshold are checked by being made
    return made
