"""Run a command in a network namespace with a loopback and no way out, and count what tried to leave (Linux).

``python netless.py REPORT COMMAND...`` within ``unshare --net``; REPORT receives the number of packets for which the
kernel found no route: every attempt to reach another machine, or a name server, is one.

Names are asked for at an address without a route as well, whatever this machine's resolver is: one on loopback
(systemd-resolved's 127.0.0.53) would be asked without a packet that leaves, one behind a Unix socket would answer.
``unshare --mount`` keeps that from everybody else.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")
"""A command after these has mounts of its own; with ``--net``, a network of its own as well."""
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_RESOLVER = {"/etc/resolv.conf": "nameserver 192.0.2.53\n", "/etc/nsswitch.conf": "hosts: files dns\n"}
"""192.0.2.0/24 is nobody's: RFC 5737."""
_RESOLVERS_SOCKETS = ("/run/systemd/resolve", "/run/nscd")


def raise_loopback() -> None:
    """Bring ``lo`` up: a new namespace has it down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(handle, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def ask_nobody_for_names() -> None:
    """Have every look-up of a name go to a name server that is out of reach. Raises where a file cannot be covered."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in _RESOLVER.items():
            made = Path(folder) / Path(name).name
            made.write_text(text)
            mount("--bind", str(made), str(Path(name).resolve(strict=True)))
    for socket_folder in _RESOLVERS_SOCKETS:
        if Path(socket_folder).is_dir():
            mount("-t", "tmpfs", "none", socket_folder)


def mount(*arguments: str) -> None:
    """Mount, within ``unshare --mount``. Raises ``subprocess.CalledProcessError``."""
    subprocess.run(["mount", *arguments], check=True)


def without_route() -> int:
    """Packets of this namespace, IPv4 and IPv6, for which there was no route."""
    names, values = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines()[:2])
    count = int(values[names.index("OutNoRoutes")])
    for line in Path("/proc/net/snmp6").read_text().splitlines():
        name, value = line.split()
        count += int(value) if name == "Ip6OutNoRoutes" else 0
    return count


if __name__ == "__main__":
    raise_loopback()
    ask_nobody_for_names()
    status = subprocess.run(sys.argv[2:], check=False).returncode
    Path(sys.argv[1]).write_text(str(without_route()))
    sys.exit(status)
