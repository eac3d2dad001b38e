"""A coordinator is made: root, server certificate, signing key, settings, store. All at once, or nothing."""

from __future__ import annotations

import errno
import ipaddress
import re
import secrets
import shutil
import socket

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from gaitkeeper_server.home import CoordinatorConfig, CoordinatorHome, check_apart, host_and_port
from gaitkeeper_server.store import CoordinatorStore
from gaitkeeper_shared.durable import make_private_folder, sync_folder, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.ports import hold_free_port
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.certificates import Authority, fingerprint, load_certificate, pem
from gaitkeeper_shared.trust.clock import Clock, utc_now
from gaitkeeper_shared.trust.keys import SigningKey, VerifyingKey, load_private_key, new_tls_key, private_pem

DEFAULT_PORTS = {"enrolment": 7440, "site": 7441, "fleet": 7442, "control": 7443}
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")


def create_coordinator(
    home: CoordinatorHome,
    name: str,
    hosts: tuple[str, ...],
    *,
    bind: str | None = None,
    ports: dict[str, int] | None = None,
    addresses: dict[str, str] | None = None,
    cosigners: tuple[VerifyingKey, ...] = (),
    threshold: int = 1,
    clock: Clock = utc_now,
) -> CoordinatorConfig:
    """Make a coordinator's folder. A port of 0 becomes a free one.

    ``addresses``: HOST:PORT that sites are told of ``enrolment``, ``site`` or ``fleet``, where something stands in
    front of it. ``cosigners``: keys that sign beside the coordinator's own; ``threshold``: so many of all must sign.
    Raises ``coordinator-exists``, ``host-name``, ``service-address``, ``ports-equal`` or ``cosign-threshold``.
    """
    told = addresses or {}
    keys = tuple(dict.fromkeys(key.raw.hex() for key in cosigners))
    if not 1 <= threshold <= len(keys) + 1:
        raise GaitkeeperError("cosign-threshold", needed=threshold, keys=len(keys) + 1)
    if home.path.exists() and (not home.path.is_dir() or any(home.path.iterdir())):
        raise GaitkeeperError("coordinator-exists", path=home.path)
    for host in (*hosts, *(_host_of(address) for address in told.values())):
        check_host(host)
    local = all(_is_loopback(host) for host in hosts)
    bind = bind or (hosts[0] if local else "0.0.0.0")  # noqa: S104 - sites are to reach it; --bind narrows it
    chosen = _choose_ports(bind, ports or {})
    config = CoordinatorConfig(
        name,
        hosts,
        bind,
        chosen["enrolment"],
        chosen["site"],
        chosen["fleet"],
        chosen["control"],
        threshold,
        keys,
        told.get("enrolment", ""),
        told.get("site", ""),
        told.get("fleet", ""),
    )
    check_apart(config)
    _make(home, config, clock)
    return config


def _make(home: CoordinatorHome, config: CoordinatorConfig, clock: Clock) -> None:
    draft = CoordinatorHome(home.path.with_name(f".{home.path.name}.{secrets.token_hex(4)}"))
    try:
        home.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _fill(draft, config, clock)
        if home.path.exists():
            home.path.rmdir()  # it is empty, as was checked
        draft.path.rename(home.path)
        sync_folder(home.path.parent)
    except OSError as error:
        shutil.rmtree(draft.path, ignore_errors=True)
        raise GaitkeeperError("file-not-writable", path=home.path, detail=error.strerror) from error
    except BaseException:
        shutil.rmtree(draft.path, ignore_errors=True)
        raise


def _host_of(address: str) -> str:
    try:
        return host_and_port(address)[0]
    except ValueError as error:
        raise GaitkeeperError("service-address", detail=error) from error


def check_host(host: str) -> None:
    """Raises ``host-name`` where ``host`` is neither a name nor an address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
            raise GaitkeeperError("host-name", name=host) from None


def root_fingerprint(home: CoordinatorHome) -> str:
    """SHA-256 of the root certificate, in hex."""
    return fingerprint(load_certificate(home.root_certificate))


def renew_server_certificate(home: CoordinatorHome, *, clock: Clock = utc_now) -> bool:
    """Issue the servers' certificate anew where a third of its life or less is left, or where its names changed.

    Its key stays. Sites pin the root, so that they notice nothing. Whether one was issued. Raises ``coordinator-*``,
    ``host-name``, ``key-*`` or ``certificate-unusable``.
    """
    hosts = home.config().names
    present = load_certificate(home.server_certificate)
    life, left = present.not_valid_after_utc - present.not_valid_before_utc, present.not_valid_after_utc - clock()
    if left * 3 > life and _names(present) == {_plain(host) for host in hosts}:
        return False
    for host in hosts:
        check_host(host)
    key = load_private_key(home.server_key)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise GaitkeeperError("key-damaged", path=home.server_key, detail="it is not an EC key")
    fresh = home.authority().issue_server(key.public_key(), hosts, clock=clock)
    write_durably(home.server_certificate, pem(fresh), mode=0o644)
    AuditLog(home.audit_log, clock=clock).append(
        "server-certificate-renewed", until=f"{fresh.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    )
    return True


def _plain(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in names}


def _fill(home: CoordinatorHome, config: CoordinatorConfig, clock: Clock) -> None:
    for folder in home.folders:
        make_private_folder(folder)
    authority = Authority.create(config.name, clock=clock)
    write_durably(home.root_key, private_pem(authority.key))
    write_durably(home.root_certificate, pem(authority.certificate), mode=0o644)
    key = new_tls_key()
    certificate = authority.issue_server(key.public_key(), config.names, clock=clock)
    write_durably(home.server_key, private_pem(key))
    write_durably(home.server_certificate, pem(certificate), mode=0o644)
    SigningKey.generate().save(home.signing_key)
    CoordinatorStore(home.store)
    AuditLog(home.audit_log, clock=clock).append(
        "coordinator-created", name=config.name, root_sha256=fingerprint(authority.certificate)
    )
    write_durably(home.config_file, config.to_toml().encode())


def _choose_ports(bind: str, wanted: dict[str, int]) -> dict[str, int]:
    """The ports asked for; else the default ones, or free ones where 0 was asked for or the default is taken.

    All are held open while choosing, so that they differ.
    """
    if unknown := wanted.keys() - DEFAULT_PORTS.keys():
        raise ValueError(f"no such ports: {', '.join(sorted(unknown))}")
    held: list[socket.socket] = []
    chosen = {}
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    try:
        for name, default in DEFAULT_PORTS.items():
            port = wanted.get(name, default)
            if port != 0 and name in wanted:
                chosen[name] = port
                continue
            if port in (0, *wanted.values()) or not _is_free(family, bind, port):
                listener = hold_free_port(bind)
            else:
                listener = socket.socket(family, socket.SOCK_STREAM)
                listener.bind((bind, port))
            held.append(listener)
            chosen[name] = int(listener.getsockname()[1])
    except OSError as error:
        raise GaitkeeperError("host-name", name=bind) from error
    finally:
        for listener in held:
            listener.close()
    return chosen


def _is_free(family: socket.AddressFamily, bind: str, port: int) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((bind, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
        return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
