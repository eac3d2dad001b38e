"""Whose request it is where a proxy stands in front: the address that a proxy named by the operator says, and no other.

Anybody can write ``X-Forwarded-For``. It is read only on a connection that comes from a named proxy, and from its right
end, where that proxy added whom it saw; what stands further left is believed only past other named proxies.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HEADER = "x-forwarded-for"
_MOST_HOPS = 16
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies that the operator named, as addresses or networks."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Proxies:
        """From ``192.0.2.7`` or ``192.0.2.0/24``. A ``ValueError`` says which is neither."""
        return cls(tuple(ipaddress.ip_network(text) for text in texts))

    def named(self, address: str) -> bool:
        """Whether an address is one of theirs."""
        known = _address(address)
        return known is not None and any(known in network for network in self.networks)

    def client(self, peer: str, said: Sequence[str]) -> str:
        """Who asks. ``peer``: where the connection comes from; ``said``: every ``X-Forwarded-For``, in their order."""
        if not self.named(peer):
            return peer
        for hop in reversed(",".join(said).split(",")[-_MOST_HOPS:]):
            known = _address(_without_port(hop.strip()))
            if known is None:
                return peer
            if not self.named(str(known)):
                return str(known)
        return peer


def _address(text: str) -> Address | None:
    """The address, an IPv4 one also where it stands inside an IPv6 one; None for anything else."""
    try:
        known = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = known.ipv4_mapped if isinstance(known, ipaddress.IPv6Address) else None
    return mapped or known


def _without_port(text: str) -> str:
    """``192.0.2.7:4711`` and ``[2001:db8::7]:4711``, as some proxies write."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
