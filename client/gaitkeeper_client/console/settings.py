"""What the operator sets for the console: the table ``[console]`` of ``site.toml``, checked at the door."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaitkeeper_client.console.forwarded import Proxies
from gaitkeeper_client.vault.home import SiteHome, read_table
from gaitkeeper_shared.errors import GaitkeeperError

TABLE, CAMERAS = "console", "cameras"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_NUMBERS = {
    "port": (0, 65_535),
    "idle_minutes": (1, 240),
    "session_hours": (1, 24),
    "upload_mb": (1, 65_536),
    "workers": (1, 16),
    "requests_per_minute": (60, 1_000_000),
}

_LISTS = {"names": "host names", "proxies": "addresses or networks"}
_NARROWEST = {4: 8, 6: 32}
"""A network of fewer bits is no site's own."""


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """``host``, ``port``: where it listens. ``idle_minutes``: a session that nobody uses ends. ``session_hours``: every
    session ends. ``upload_mb``: the largest upload, in 10^6 bytes. ``workers``: recordings analysed at a time.
    ``requests_per_minute``: what one address may ask; a tenth of it where the answer is work.

    ``certificate``, ``private_key``: PEM files for TLS. ``tls``: whether the console is served over TLS.
    ``names``: further host names under which browsers reach it. ``proxies``: addresses or networks of proxies in front,
    whose ``X-Forwarded-For`` is believed.
    """

    host: str = "127.0.0.1"
    port: int = 8470
    idle_minutes: int = 15
    session_hours: int = 10
    upload_mb: int = 4_000
    workers: int = 1
    requests_per_minute: int = 1_200
    certificate: str = ""
    private_key: str = ""
    tls: bool = False
    names: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()

    @property
    def upload_bytes(self) -> int:
        """The largest upload in bytes."""
        return self.upload_mb * 1_000_000

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the console."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def console_settings(home: SiteHome, **given: Any) -> ConsoleSettings:
    """The settings of a home, ``given`` options (None: not given) put over them.

    Raises ``console-settings``; ``console-needs-tls`` for an address that others can reach without encryption.
    """
    table = dict(read_table(home, TABLE))
    table.update({name: value for name, value in given.items() if value is not None})
    known = {item.name for item in dataclasses.fields(ConsoleSettings)}
    if unknown := sorted(set(table) - known):
        raise _bad(home, f"there is no key {', '.join(unknown)}")
    for name, value in table.items():
        _check(home, name, value)
    for name in _LISTS:
        if name in table:
            table[name] = tuple(table[name])
    settings = ConsoleSettings(**table)
    if bool(settings.certificate) != bool(settings.private_key):
        raise _bad(home, "certificate and private_key go together")
    for path in filter(None, (settings.certificate, settings.private_key)):
        if not Path(path).is_file():
            raise _bad(home, f"there is no file {path}")
    if settings.certificate:
        settings = dataclasses.replace(settings, tls=True)
    if not settings.is_loopback and not settings.tls:
        raise GaitkeeperError("console-needs-tls", host=settings.host)
    return settings


def camera_source(home: SiteHome, name: str) -> str:
    """Where a camera is: ``[cameras]`` of ``site.toml`` names each, such as ``hall = "rtsp://..."`` or ``"usb:0"``.

    Raises ``camera-unknown``.
    """
    table = read_table(home, CAMERAS)
    source = table.get(name)
    usb = isinstance(source, str) and source.startswith("usb:") and source.removeprefix("usb:").isdecimal()
    streamed = isinstance(source, str) and source.startswith(("rtsp://", "rtsps://", "file:"))
    if not _PLAIN_NAME.fullmatch(name) or not (usb or streamed):
        raise GaitkeeperError(
            "camera-unknown", name=name, path=home.config_file, known=", ".join(sorted(table)) or "none"
        )
    return str(source)


def _check(home: SiteHome, name: str, value: Any) -> None:
    if name in _NUMBERS:
        low, high = _NUMBERS[name]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _bad(home, f"{name} = {value!r} is not a whole number from {low} to {high}")
    elif name in _LISTS:
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
            raise _bad(home, f"{name} is not a list of {_LISTS[name]}")
        if name == "proxies":
            _check_proxies(home, value)
    elif name == "tls":
        if not isinstance(value, bool):
            raise _bad(home, "tls is neither true nor false")
    elif not isinstance(value, str):
        raise _bad(home, f"{name} is not a text")


def _check_proxies(home: SiteHome, value: Iterable[str]) -> None:
    """Every address believed is no proxy at all: then anybody could be anybody."""
    try:
        networks = Proxies.of(value).networks
    except ValueError as error:
        raise _bad(home, f"proxies: {error}") from error
    if wide := [str(network) for network in networks if network.prefixlen < _NARROWEST[network.version]]:
        raise _bad(home, f"proxies: {wide[0]} is too many addresses to believe")


def _bad(home: SiteHome, detail: str) -> GaitkeeperError:
    return GaitkeeperError("console-settings", path=home.config_file, detail=detail)
