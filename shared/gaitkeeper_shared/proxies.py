"""One reading of the proxy that a hospital names, for every library that connects.

gRPC's core reads ``grpc_proxy``, ``https_proxy`` and ``http_proxy``, only in lower case and only with their scheme;
httpx, which carries Flower's messages, reads ``https_proxy`` for TLS in either case and also without one, and would ask
``http_proxy`` for what is on this very machine. Left so, one half of a site would find its way and the other not.
"""

from __future__ import annotations

import os

PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY")
"""The first that is set names the proxy."""
_EXCEPTION_VARIABLES = ("no_grpc_proxy", "no_proxy", "NO_PROXY")
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


def settle_proxies() -> None:
    """Make every library of this process, and of those it starts, use the same proxy, and none for this machine."""
    named = next((os.environ[name] for name in PROXY_VARIABLES if os.environ.get(name)), "")
    if not named:
        return
    for name, address in (("https_proxy", named), ("grpc_proxy", "")):
        if chosen := os.environ.get(name) or address:
            os.environ[name] = chosen if "://" in chosen else f"http://{chosen}"
    exceptions = [text.strip() for name in _EXCEPTION_VARIABLES for text in os.environ.get(name, "").split(",")]
    kept = dict.fromkeys(text for text in (*exceptions, *_THIS_MACHINE) if text)
    # gRPC asks no_grpc_proxy first, httpx knows no_proxy only.
    os.environ.update(dict.fromkeys(("no_grpc_proxy", "no_proxy"), ",".join(kept)))
