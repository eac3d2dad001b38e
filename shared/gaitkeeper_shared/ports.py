"""Free TCP ports for servers that start a moment later.

Taken at random, and below the range from which the kernel gives local ports to outgoing connections (from 32,768 on
Linux, from 49,152 elsewhere: RFC 6335). So a port that was free when asked stays free of connections that come up
meanwhile, and two programs that ask at once get different ones.
"""

from __future__ import annotations

import errno
import os
import random
import socket

_FIRST, _LAST = 20_000, 32_767
_TRIES = 200


def hold_free_port(host: str = "127.0.0.1") -> socket.socket:
    """A socket bound to a port of ``host`` that nobody listens on; closing it lets the port go. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    chance = random.SystemRandom()
    for _ in range(_TRIES):
        held = socket.socket(family, socket.SOCK_STREAM)
        try:
            held.bind((host, chance.randint(_FIRST, _LAST)))
        except OSError as error:
            held.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return held
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port of ``host`` that nobody listens on at this moment. Raises OSError."""
    with hold_free_port(host) as held:
        return int(held.getsockname()[1])
