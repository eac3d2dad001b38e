"""A small HTTP proxy that knows CONNECT only, as a hospital's may: ``python -m tests.faults.proxy ADDRESS PORT LOG``.

Each target that somebody asked for is a line of LOG.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from pathlib import Path

_HEAD_BYTES = 16_384
_CONNECT_S = 10.0


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def _serve(caller: socket.socket, log: Path) -> None:
    """One connection: a CONNECT is followed, anything else is refused."""
    with contextlib.suppress(OSError), caller:
        caller.settimeout(_CONNECT_S)
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _HEAD_BYTES:
            if not (more := caller.recv(4096)):
                return
            head += more
        method, target, _ = (head.split(b"\r\n", 1)[0] + b"  ").split(b" ", 2)
        with log.open("a", encoding="ascii") as lines:
            lines.write(f"{method.decode('ascii', 'replace')} {target.decode('ascii', 'replace')}\n")
        host, _, port = target.decode("ascii", "replace").rpartition(":")
        if method != b"CONNECT" or not port.isdigit():
            caller.sendall(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
            return
        try:
            remote = socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S)
        except OSError:
            caller.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            return
        with remote:
            for one in (caller, remote):
                one.settimeout(None)
            caller.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(remote, caller), daemon=True)
            back.start()
            _pump(caller, remote)
            back.join()


def main(address: str, port: int, log: Path) -> None:
    """Serve until the process is ended."""
    listener = socket.create_server((address, port))
    log.touch()
    while True:
        caller, _ = listener.accept()
        threading.Thread(target=_serve, args=(caller, log), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
