"""A FHIR server on loopback that keeps what it is given by identifier, and can be told to behave badly."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class FhirServerDouble:
    """``stored``: by the address of the conditional update, every version that came. ``answers``: given first."""

    url: str = ""
    stored: dict[str, list[Any]] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    after: Callable[[], None] | None = None


@contextmanager
def fhir_double() -> Iterator[FhirServerDouble]:
    """Run the server until the block ends."""
    double, lock = FhirServerDouble(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                double.tokens.append(self.headers.get("Authorization"))
                status, headers, content = double.answers.pop(0) if double.answers else self.store(json.loads(body))
                if double.after is not None:
                    double.after()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def store(self, bundle: dict[str, Any]) -> Answer:
            entries = []
            for entry in bundle["entry"]:
                versions = double.stored.setdefault(entry["request"]["url"], [])
                versions.append(entry["resource"])
                entries.append({"response": {"status": "201 Created" if len(versions) == 1 else "200 OK"}})
            table = {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}
            return 200, {"Content-Type": "application/fhir+json"}, json.dumps(table).encode()

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    double.url = f"http://127.0.0.1:{server.server_address[1]}/r4"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
