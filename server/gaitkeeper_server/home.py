"""The folder of a coordinator: where everything that it keeps lies, and its settings in ``coordinator.toml``."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

import tomli_w

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.toml import table_of
from gaitkeeper_shared.trust.certificates import Authority
from gaitkeeper_shared.trust.keys import SigningKey, VerifyingKey
from gaitkeeper_shared.trust.signatures import Consortium

HOME_VARIABLE = "GAITKEEPER_COORDINATOR_HOME"


@dataclass(frozen=True, slots=True)
class CoordinatorConfig:
    """``coordinator.toml``. ``hosts``: names and addresses in the server's certificate; sites are told the first.

    ``bind``: the local address that the ports are opened on. ``fleet_port``: Flower, for sites. ``control_port``:
    Flower, for the operator, on this machine only. ``threshold``: so many of the consortium's keys must sign a study or
    a release; ``consortium_keys``: the co-signers' public keys (hex), beside this coordinator's own. Sites keep both as
    they were when they enrolled.
    """

    name: str
    hosts: tuple[str, ...]
    bind: str
    enrolment_port: int
    site_port: int
    fleet_port: int
    control_port: int
    threshold: int = 1
    consortium_keys: tuple[str, ...] = ()

    def address(self, port: int) -> str:
        """``host:port`` as sites are told it."""
        return _address(self.hosts[0], port)

    def bound(self, port: int) -> str:
        """``host:port`` to listen on."""
        return _address(self.bind, port)

    def to_toml(self) -> str:
        """The file's text."""
        return tomli_w.dumps({"coordinator": asdict(self)})


@dataclass(frozen=True, slots=True)
class CoordinatorHome:
    """The paths of a coordinator. Making one touches nothing; ``gaitkeeper coordinator init`` makes the folder."""

    path: Path

    @classmethod
    def resolve(cls, option: Path | None = None) -> CoordinatorHome:
        """The home asked for: the option, or ``GAITKEEPER_COORDINATOR_HOME``, or the user's data folder."""
        if option is not None:
            return cls(option.expanduser().absolute())
        if from_environment := os.environ.get(HOME_VARIABLE):
            return cls(Path(from_environment).expanduser().absolute())
        from platformdirs import user_data_path

        return cls(user_data_path("gaitkeeper") / "coordinator")

    @property
    def config_file(self) -> Path:
        """The coordinator's settings."""
        return self.path / "coordinator.toml"

    @property
    def keys(self) -> Path:
        """Folder of private keys; only the owner may enter. Back it up, apart from the rest."""
        return self.path / "keys"

    @property
    def root_key(self) -> Path:
        """The root's key: whoever has it can admit sites."""
        return self.keys / "root.key"

    @property
    def root_certificate(self) -> Path:
        """The root that sites pin."""
        return self.keys / "root.crt"

    @property
    def server_key(self) -> Path:
        """TLS key of all of the coordinator's servers, Flower's too."""
        return self.keys / "server.key"

    @property
    def server_certificate(self) -> Path:
        """TLS certificate of all of the coordinator's servers, for all of ``hosts``."""
        return self.keys / "server.crt"

    @property
    def signing_key(self) -> Path:
        """The consortium's key that signs studies, releases and orders."""
        return self.keys / "signing.key"

    @property
    def store(self) -> Path:
        """Invitations, sites, studies, releases, orders (SQLite)."""
        return self.path / "store.sqlite"

    @property
    def releases(self) -> Path:
        """Released models, one folder a version."""
        return self.path / "releases"

    @property
    def audit_log(self) -> Path:
        """The hash-chained audit log."""
        return self.path / "audit.log"

    @property
    def run(self) -> Path:
        """Process ids, sockets and state of what is running."""
        return self.path / "run"

    @property
    def logs(self) -> Path:
        """Logs of the coordinator's processes."""
        return self.path / "logs"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder of the home, itself first."""
        return (self.path, self.keys, self.releases, self.run, self.logs)

    def config(self) -> CoordinatorConfig:
        """Read ``coordinator.toml``. Raises ``coordinator-missing`` or ``coordinator-config``."""
        try:
            table = table_of(self.config_file.read_bytes())["coordinator"]
            return _config(table)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise GaitkeeperError("coordinator-missing", path=self.path) from error
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise GaitkeeperError("coordinator-config", path=self.config_file, detail=error) from error

    def authority(self) -> Authority:
        """The consortium's root with its key."""
        return Authority.load(self.root_certificate, self.root_key)

    def signer(self) -> SigningKey:
        """The consortium's signing key."""
        return SigningKey.load(self.signing_key)

    def consortium(self) -> Consortium:
        """Whose signatures sites are told to trust, this coordinator's own key first. Raises ``coordinator-config``."""
        config, own = self.config(), self.signer().verifying
        try:
            others = tuple(VerifyingKey(bytes.fromhex(text)) for text in config.consortium_keys)
            return Consortium((own, *others), config.threshold)
        except (ValueError, GaitkeeperError) as error:
            raise GaitkeeperError("coordinator-config", path=self.config_file, detail=error) from error


def _config(table: dict[str, object]) -> CoordinatorConfig:
    values = dict(table)
    for key in ("hosts", "consortium_keys"):
        items = values.get(key, [])
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ValueError(f"{key} must be a list of texts")
        values[key] = tuple(items)
    for key in ("enrolment_port", "site_port", "fleet_port", "control_port"):
        port = values.get(key)
        if type(port) is not int or not 1 <= port <= 65_535:
            raise ValueError(f"{key} must be a port from 1 to 65535")
    _check_consortium(values.get("threshold", 1), values["consortium_keys"])
    if not values["hosts"] or not isinstance(values.get("name"), str) or not isinstance(values.get("bind"), str):
        raise ValueError("hosts, name and bind are needed")
    return CoordinatorConfig(**values)  # type: ignore[arg-type]  # every value was checked; an unknown key is a TypeError


def _check_consortium(threshold: object, keys: object) -> None:
    assert isinstance(keys, tuple)
    if type(threshold) is not int or not 1 <= threshold <= len(set(keys)) + 1:
        raise ValueError(
            f"threshold must be from 1 to {len(set(keys)) + 1}, the number of keys with this coordinator's"
        )
    for number, text in enumerate(keys, start=1):
        try:
            VerifyingKey(bytes.fromhex(text))
        except (ValueError, GaitkeeperError) as error:
            raise ValueError(f"consortium key {number} is not an Ed25519 public key in hex") from error


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
