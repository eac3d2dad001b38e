"""One reading of the proxy that a hospital names, for every library that connects.

gRPC's core reads ``grpc_proxy``, ``https_proxy`` and ``http_proxy``, only in lower case and only with their scheme;
httpx, which carries Flower's messages, reads ``https_proxy`` for TLS in either case and also without one, and would ask
``http_proxy`` for what is on this very machine. Of exceptions gRPC knows ranges of addresses but no ``*``, httpx knows
``*`` but no ranges, and does not start at all over some. Left so, one half of a site would find its way and the other
not. So who gets a proxy is decided here.
"""

from __future__ import annotations

import ipaddress
import os

PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY")
"""The first that is set names the proxy."""
_EXCEPTION_VARIABLES = ("no_grpc_proxy", "no_proxy", "NO_PROXY")
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


def settle_proxies() -> None:
    """Make every library of this process, and of those it starts, use the same proxy, and none for this machine."""
    named = next((os.environ[name] for name in PROXY_VARIABLES if os.environ.get(name)), "")
    kept = tuple(dict.fromkeys((*_exceptions(), *_THIS_MACHINE)))
    plain = tuple(text for text in kept if "/" not in text)
    if not named and plain == kept:
        return
    for name, address in (("https_proxy", named), ("grpc_proxy", "")):
        if chosen := os.environ.get(name) or address:
            os.environ[name] = chosen if "://" in chosen else f"http://{chosen}"
    # gRPC asks no_grpc_proxy first, httpx knows no_proxy only, and falls over a range there even without a proxy.
    os.environ.update({"no_grpc_proxy": ",".join(kept), "no_proxy": ",".join(plain)})


def goes_direct(host: str) -> bool:
    """Whether ``host``, a name or an address, is excepted from the proxy, or is this very machine.

    An exception is a name, which stands for what lies below it too, an address, a range of addresses such as
    10.0.0.0/8, or ``*`` for everything. Ranges hold for a coordinator that is called by its address: as in other
    programs, no name is looked up for the question.
    """
    host = host.strip("[]").lower()
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    for text in _exceptions():
        if address is not None and (known := _range(text)) is not None:
            if address in known:
                return True
        elif text == "*" or host == text.lstrip(".") or host.endswith(f".{text.lstrip('.')}"):
            return True
    return False


def heed_range(host: str) -> None:
    """Before httpx calls ``host``: where a range excepts it, have this process except the address itself."""
    known = os.environ.get("no_proxy", "").split(",")
    if _address(host.strip("[]")) is not None and goes_direct(host) and host.strip("[]") not in known:
        os.environ["no_proxy"] = ",".join(text for text in (*known, host.strip("[]")) if text)


def _exceptions() -> tuple[str, ...]:
    """All exceptions of every variable, in lower case, addresses without brackets."""
    found = (text.strip().strip("[]").lower() for name in _EXCEPTION_VARIABLES for text in _split(name))
    return tuple(dict.fromkeys(text for text in found if text))


def _split(name: str) -> list[str]:
    return os.environ.get(name, "").split(",")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _range(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """A range, or a single address as one."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
