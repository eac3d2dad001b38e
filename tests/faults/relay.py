"""A TCP relay between a site and its coordinator, whose link can be cut, slowed, stopped half open or corrupted."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Literal

Mode = Literal["pass", "cut", "slow", "half-open", "held", "corrupt", "truncate"]
_CHUNK = 16384
_SLOW_BYTES_A_SECOND, _SLOW_DELAY_S = 48_000, 0.15


class Relay:
    """Listens on a port of loopback and passes bytes on to ``target``. ``mode`` may be changed at any time.

    ``corrupt`` flips a bit of the next bytes from the site, ``truncate`` ends the connection in the middle of them;
    both happen once and then pass. ``half-open`` keeps connections open and passes nothing; ``held`` holds back what
    comes from the site, and ``held`` counts its bytes.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.mode: Mode = "pass"
        self.held = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, mode: Mode) -> None:
        """Change what happens on the link; ``cut`` also ends what is open."""
        self.held = 0
        self.mode = mode
        if mode == "cut":
            self.drop()

    def drop(self) -> None:
        """End every open connection, without a word."""
        with self._lock:
            doomed, self._open = self._open, set()
        for one in doomed:
            _close(one)

    def close(self) -> None:
        """End all."""
        _close(self._listener)
        self.drop()

    def _accept(self) -> None:
        while True:
            try:
                site, _ = self._listener.accept()
            except OSError:
                return
            if self.mode == "cut":
                _close(site)
                continue
            try:
                coordinator = socket.create_connection(self.target, timeout=5.0)
            except OSError:
                _close(site)
                continue
            coordinator.settimeout(None)
            with self._lock:
                self._open |= {site, coordinator}
            for source, sink, upward in ((site, coordinator, True), (coordinator, site, False)):
                threading.Thread(target=self._pump, args=(source, sink, upward), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, upward: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                if upward and self.mode == "held":
                    self.held += len(data)
                while self.mode == "half-open" or (upward and self.mode == "held"):
                    time.sleep(0.05)
                if self.mode == "slow":
                    time.sleep(_SLOW_DELAY_S + len(data) / _SLOW_BYTES_A_SECOND)
                if upward and self.mode == "corrupt" and len(data) > 64:
                    self.mode = "pass"
                    data = data[:40] + bytes([data[40] ^ 0x10]) + data[41:]
                if upward and self.mode == "truncate" and len(data) > 64:
                    self.mode = "pass"
                    sink.sendall(data[: len(data) // 2])
                    break
                sink.sendall(data)
        with self._lock:
            self._open -= {source, sink}
        _close(source)
        _close(sink)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        one.close()
