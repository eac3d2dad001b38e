"""The folder of a coordinator: where everything that it keeps lies, and its settings in ``coordinator.toml``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import tomli_w

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.homes import home_folder
from gaitkeeper_shared.toml import table_of
from gaitkeeper_shared.trust.certificates import Authority
from gaitkeeper_shared.trust.keys import SigningKey, VerifyingKey
from gaitkeeper_shared.trust.signatures import Consortium

HOME_VARIABLE = "GAITKEEPER_COORDINATOR_HOME"
_WITH_LOOPBACK = {"0.0.0.0", "::", "", "127.0.0.1", "localhost"}  # noqa: S104 - compared


@dataclass(frozen=True, slots=True)
class CoordinatorConfig:
    """``coordinator.toml``. ``hosts``: names and addresses in the server's certificate; sites are told the first.

    ``bind``: the local address that the ports are opened on. ``fleet_port``: Flower, for sites. ``control_port``:
    Flower, for the operator, on this machine only. ``threshold``: so many of the consortium's keys must sign a study or
    a release; ``consortium_keys``: the co-signers' public keys (hex), beside this coordinator's own. Sites keep both as
    they were when they enrolled. ``enrolment_address``, ``site_address``, ``fleet_address``: what sites are told of a
    service as ``host:port`` in place of the first host and the port, where something stands in front of it; or empty.
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
    enrolment_address: str = ""
    site_address: str = ""
    fleet_address: str = ""

    @property
    def told_enrolment(self) -> str:
        """Where sites enrol, as they are told it."""
        return self.enrolment_address or self.address(self.enrolment_port)

    @property
    def told_site(self) -> str:
        """Where members find studies and releases, as they are told it."""
        return self.site_address or self.address(self.site_port)

    @property
    def told_fleet(self) -> str:
        """Where members find Flower, as they are told it."""
        return self.fleet_address or self.address(self.fleet_port)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name and address by which sites call this coordinator: those in the server's certificate."""
        told = (self.enrolment_address, self.site_address, self.fleet_address)
        return tuple(dict.fromkeys((*self.hosts, *(host_and_port(item)[0] for item in told if item))))

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
        return cls(home_folder(option, HOME_VARIABLE, "coordinator"))

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
        """TLS certificate of all of the coordinator's servers, for all of their names."""
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
        """Read ``coordinator.toml``. Raises ``coordinator-missing``, ``coordinator-config`` or ``ports-equal``."""
        try:
            config = _config(table_of(self.config_file.read_bytes())["coordinator"])
        except (FileNotFoundError, NotADirectoryError) as error:
            raise GaitkeeperError("coordinator-missing", path=self.path) from error
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise GaitkeeperError("coordinator-config", path=self.config_file, detail=error) from error
        check_apart(config)
        return config

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


def check_apart(config: CoordinatorConfig) -> None:
    """Raises ``ports-equal`` where two services would share an address, of this machine or as sites are told it."""
    served = {
        "enrolment": (config.enrolment_port, config.told_enrolment),
        "site": (config.site_port, config.told_site),
        "fleet": (config.fleet_port, config.told_fleet),
    }
    for (first, (port, told)), (second, (other_port, other_told)) in combinations(served.items(), 2):
        if port == other_port:
            raise GaitkeeperError("ports-equal", first=first, second=second, address=config.bound(port))
        if told.casefold() == other_told.casefold():
            raise GaitkeeperError("ports-equal", first=first, second=second, address=told)
    # The operator's port is on loopback, which a service on another address leaves free.
    for name, (port, _) in served.items():
        if port == config.control_port and config.bind in _WITH_LOOPBACK:
            raise GaitkeeperError("ports-equal", first=name, second="control", address=config.bound(port))


def host_and_port(text: str) -> tuple[str, int]:
    """The two parts of ``host:port``, a host with colons in brackets. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or (":" in bare) != (bare != host) or not (port.isascii() and port.isdigit()):
        raise ValueError(f"{text!r} is not HOST:PORT")
    if not 1 <= int(port[:6]) <= 65_535:
        raise ValueError(f"{text!r} has no port from 1 to 65535")
    return bare, int(port)


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
    for key in ("enrolment_address", "site_address", "fleet_address"):
        if not isinstance(told := values.get(key, ""), str):
            raise ValueError(f"{key} must be a text")
        if told:
            host_and_port(told)
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
