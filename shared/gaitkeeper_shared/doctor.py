"""What both doctors share: a finding in plain words with its remedy, and the checks that every machine needs.

A doctor changes nothing. Each check says one thing: what was looked at, how it is, and what to do about it. A check
that breaks is itself a finding, so that one broken part never hides the others.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import sys
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, requires, version
from itertools import islice
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.proxies import PROXY_VARIABLES, goes_direct
from gaitkeeper_shared.system_libraries import missing_library
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.clock import from_iso

Verdict = Literal["well", "warning", "ill", "unknown"]
LEAST_FREE_BYTES, SCARCE_BYTES = 500_000_000, 5_000_000_000
CONNECT_S = 10.0
SKEW_TOLERATED = timedelta(minutes=2)
"""A clock this far off still works; certificates and orders carry times, and an hour breaks them."""
_PINNED = ("flwr", "torch", "opacus", "grpcio")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``remedy``: what to do; empty where it is well."""

    what: str
    verdict: Verdict
    detail: str
    remedy: str = ""


Check = Callable[[], Iterable[Finding]]


def examine(checks: Sequence[tuple[str, Check]]) -> tuple[Finding, ...]:
    """Run all checks; a catalogue error becomes a finding with its own remedy, any other one too."""
    findings: list[Finding] = []
    for what, check in checks:
        try:
            findings.extend(check())
        except GaitkeeperError as error:
            findings.append(Finding(what, "ill", f"[{error.code}] {error.message}", error.remedy))
        except Exception as error:
            if (missing := missing_library(error)) is not None:
                findings.append(Finding(what, "ill", f"[{missing.code}] {missing.message}", missing.remedy))
                continue
            # A doctor that falls over its patient helps nobody: what could not be looked at is said instead.
            detail = f"it could not be looked at: {type(error).__name__}: {error}"
            findings.append(Finding(what, "unknown", detail[:300], "Report this: it should not happen."))
    return tuple(findings)


def check_versions() -> Iterable[Finding]:
    """Python, and whether the libraries are those that this version of Gaitkeeper was tested with."""
    wrong = []
    for line in requires("gaitkeeper") or ():
        name, _, pinned = line.partition("==")
        if name in _PINNED and pinned and "extra" not in line:
            try:
                found = version(name).partition("+")[0]
            except PackageNotFoundError:
                found = "none"
            if found != pinned:
                wrong.append(f"{name} {found} instead of {pinned}")
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    if wrong:
        remedy = "Install into a fresh virtual environment: pip install -r requirements.lock, then Gaitkeeper."
        yield Finding("versions", "ill", f"{python}, {', '.join(wrong)}", remedy)
    else:
        yield Finding("versions", "well", f"gaitkeeper {version('gaitkeeper')}, {python}, libraries as tested")


def check_disk(folder: Path) -> Iterable[Finding]:
    """Whether the home can be written to and has room."""
    free = shutil.disk_usage(folder).free
    size = f"{free / 1e9:.1f} GB free"
    probe = folder / f".doctor-{os.getpid()}"
    try:
        with probe.open("xb") as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        why = {errno.EROFS: "it is read-only", errno.ENOSPC: "it is full", errno.EDQUOT: "its quota is used up"}
        detail = f"{folder} cannot be written to: {why.get(error.errno or 0, error.strerror)} ({size})"
        yield Finding("disk", "ill", detail, "Make room, or mount it writable for the account that runs Gaitkeeper.")
        return
    finally:
        with contextlib.suppress(OSError):  # as above: on a disk that is read-only it is not there either
            probe.unlink(missing_ok=True)
    if free < LEAST_FREE_BYTES:
        yield Finding("disk", "ill", size, "Make room now: ledger and journal stop rather than lose a record.")
    elif free < SCARCE_BYTES:
        yield Finding("disk", "warning", size, "Make room soon.")
    else:
        yield Finding("disk", "well", size)


def check_audit(path: Path, now: datetime) -> Iterable[Finding]:
    """Whether the audit log is whole, and whether the clock went back behind its last entry."""
    log = AuditLog(path)
    head = log.verify()
    for last in deque(log.entries(), maxlen=1):
        if from_iso(last.at) > now + SKEW_TOLERATED:
            remedy = "Set the clock and keep it (timedatectl set-ntp true): certificates and records carry times."
            yield Finding("clock", "ill", f"it went back: the audit log's last entry is of {last.at}", remedy)
    yield Finding("audit log", "well", f"{head.sequence} entries, an unbroken chain")


def check_private(folder: Path) -> Iterable[Finding]:
    """Whether a folder of keys is closed to other accounts."""
    if not folder.is_dir():
        yield Finding("keys", "ill", f"{folder} is not there", "Restore it from the backup.")
        return
    open_ones = [
        path for path in (folder, *sorted(folder.iterdir())) if _is_secret(path) and path.stat().st_mode & 0o077
    ]
    if open_ones:
        names = ", ".join(str(path) for path in open_ones[:5])
        yield Finding("keys", "ill", f"other accounts may read {names}", f"chmod -R go= {folder}")
    else:
        yield Finding("keys", "well", f"{folder} is closed to other accounts")


def check_owner(home: Path) -> Iterable[Finding]:
    """Whether all that lies in a home is its owner's: what root or somebody else left there, a service cannot read."""
    owner = home.stat().st_uid
    others = list(islice((path for path in _below(home) if path.lstat().st_uid != owner), 6))
    if others:
        names = ", ".join(map(str, others[:5])) + (", ..." if len(others) > 5 else "")
        yield Finding("files", "ill", f"not of the owner of {home}: {names}", f"chown -R --reference={home} {home}")
    else:
        yield Finding("files", "well", f"all of one owner, as {home} is")


def _below(home: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(home):
        yield from (Path(folder) / name for name in (*folders, *files))


def _is_secret(path: Path) -> bool:
    return path.suffix not in (".crt", ".pub")


def check_certificate(
    what: str, start: datetime, end: datetime, now: datetime, *, renews: timedelta, remedy: str
) -> Finding:
    """One certificate's validity. ``renews``: time before its end by which it should have renewed itself."""
    span = f"valid {start:%Y-%m-%d} to {end:%Y-%m-%d}"
    if now < start:
        clock = "Set this machine's clock (timedatectl): it says a time before the certificate was made."
        return Finding(what, "ill", f"{span}, not valid yet: it is {now:%Y-%m-%d %H:%M} UTC here", clock)
    if now > end:
        return Finding(what, "ill", f"{span}: it has expired", remedy)
    days = (end - now).days
    if end - now < renews:
        return Finding(what, "warning", f"{span}, {days} days left, and it was not renewed", remedy)
    return Finding(what, "well", f"{span}, {days} days left")


def check_skew(theirs: datetime, ours: datetime) -> Finding:
    """This machine's clock against another's."""
    skew = ours - theirs
    seconds = skew.total_seconds()
    if abs(skew) <= SKEW_TOLERATED:
        return Finding("clock", "well", f"within {max(abs(seconds), 1):.0f} s of the coordinator's")
    direction = "ahead of" if seconds > 0 else "behind"
    remedy = "Set the clock that is wrong and keep it with NTP (timedatectl set-ntp true): certificates carry times."
    return Finding("clock", "ill", f"{abs(seconds) / 60:.0f} minutes {direction} the coordinator's", remedy)


def check_reach(what: str, address: str) -> Iterable[Finding]:
    """Name, proxy and port of ``host:port``, one after the other; nothing is sent but a proxy's CONNECT."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    proxy = proxy_for(host)
    target = _proxy_address(proxy) if proxy else (host, int(port))
    route = f"{address} through the proxy {_without_password(proxy)}" if proxy else address
    named = f"the name {target[0]!r} of the {'proxy' if proxy else 'coordinator'}"
    try:
        socket.getaddrinfo(*target, type=socket.SOCK_STREAM)
    except OSError as error:
        remedy = "Check this machine's DNS (getent hosts NAME), or the name in the invitation."
        yield Finding(what, "ill", f"{named} is not known here: {error.strerror or error}", remedy)
        return
    try:
        with socket.create_connection(target, timeout=CONNECT_S) as connection:
            if proxy and (answer := _connect_through(connection, address, proxy)) != 200:
                remedy = f"Ask whoever runs the proxy to allow CONNECT to {address}, or put {host} into no_proxy."
                yield Finding(
                    what, "ill", f"the proxy {_without_password(proxy)} answers {answer} to {address}", remedy
                )
                return
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else (error.strerror or str(error))
        remedy = f"Open outbound TCP to {route}; ask the coordinator whether it runs. Nothing inbound is needed."
        yield Finding(what, "ill", f"{route} cannot be connected to: {why}", remedy)
        return
    yield Finding(what, "well", f"{route} can be connected to")


def proxy_for(host: str) -> str:
    """The proxy that a site uses for a host; empty where it connects itself."""
    if goes_direct(host):
        return ""
    return next((os.environ[name] for name in PROXY_VARIABLES if os.environ.get(name)), "")


def _proxy_address(proxy: str) -> tuple[str, int]:
    parts = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    return parts.hostname or proxy, parts.port or 80


def _without_password(proxy: str) -> str:
    return "{}:{}".format(*_proxy_address(proxy))


def _connect_through(connection: socket.socket, address: str, proxy: str) -> int:
    connection.settimeout(CONNECT_S)
    head = f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n"
    parts = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    if parts.username is not None:  # as gRPC and httpx do
        named = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        head += f"Proxy-Authorization: Basic {b64encode(named).decode('ascii')}\r\n"
    connection.sendall(f"{head}\r\n".encode("ascii"))
    words = connection.recv(4096).split(b"\r\n")[0].split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
