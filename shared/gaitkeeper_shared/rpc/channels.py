"""gRPC channels: always TLS with a pinned root, always a deadline, and errors in the catalogue's words.

A server says why it refused by the catalogue's code and values in the call's trailing metadata; only codes of the
catalogue are believed, and only short texts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its C core writes handshake failures to stderr; we report them

import grpc

from gaitkeeper_shared.errors import GaitkeeperError, catalogue
from gaitkeeper_shared.printable import printable
from gaitkeeper_shared.proxies import goes_direct

CALL_DEADLINE_S = 15.0
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
ERROR_KEY = "gaitkeeper-error-bin"
_MAX_ERROR_BYTES = 4_000
_Request = TypeVar("_Request")
_Reply = TypeVar("_Reply")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to call and as whom. PEM throughout; no certificate: the caller stays anonymous (enrolment only)."""

    address: str
    root_certificate: bytes
    certificate: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)

    def channel(self) -> grpc.Channel:
        """An open channel; the caller closes it (``with``)."""
        credentials = grpc.ssl_channel_credentials(self.root_certificate, self.private_key, self.certificate)
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            # A hospital's proxy is used where the environment names one; whom it is not for, gRPC reads differently.
            ("grpc.enable_http_proxy", 0 if goes_direct(self.address.rpartition(":")[0]) else 1),
        ]
        return grpc.secure_channel(self.address, credentials, options)


def call(
    method: Callable[..., _Reply], request: object, endpoint: Endpoint, *, deadline_s: float = CALL_DEADLINE_S
) -> _Reply:
    """One unary call. Raises ``rpc-*``, or the catalogue error that the server named."""
    with translated(endpoint, deadline_s):
        return method(request, timeout=deadline_s)


def stream(
    method: Callable[..., Iterator[_Reply]], request: object, endpoint: Endpoint, *, deadline_s: float
) -> Iterator[_Reply]:
    """One call with a streamed answer, all of it within ``deadline_s``. Raises as :func:`call`."""
    with translated(endpoint, deadline_s):
        answer = method(request, timeout=deadline_s)
        try:
            yield from answer
        finally:
            answer.cancel()  # type: ignore[attr-defined]  # a caller that stops early must not leave the stream open


@contextmanager
def translated(endpoint: Endpoint, deadline_s: float) -> Iterator[None]:
    """Turn gRPC's errors into the catalogue's."""
    try:
        yield
    except grpc.RpcError as error:
        raise _catalogue_error(error, endpoint, deadline_s) from error


def encode_error(error: GaitkeeperError) -> tuple[tuple[str, bytes], ...]:
    """A catalogue error as trailing metadata."""
    values = {name: str(value)[:200] for name, value in error.values.items()}
    return ((ERROR_KEY, json.dumps({"code": error.code, "values": values}).encode("ascii")[:_MAX_ERROR_BYTES]),)


def _catalogue_error(error: grpc.RpcError, endpoint: Endpoint, deadline_s: float) -> GaitkeeperError:
    address = endpoint.address
    code = error.code() if isinstance(error, grpc.Call) else None
    details = (error.details() if isinstance(error, grpc.Call) else None) or "no details"
    details = printable(details, 2_000)  # its words are the server's, and an operator's terminal shows them
    named = _named_error(error)
    if named is not None:
        return named
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return GaitkeeperError("rpc-deadline", address=address, seconds=deadline_s)
    if code is grpc.StatusCode.UNAVAILABLE:
        other_name = "hostname" in details.lower() and "resolving" not in details  # not found by DNS
        if "CERTIFICATE_VERIFY_FAILED" in details or other_name:
            why = "the coordinator's certificate is not of the pinned root, not for this address, or expired"
            return GaitkeeperError("rpc-certificate", address=address, detail=why)
        if "handshake" in details.lower():
            return GaitkeeperError("rpc-certificate", address=address, detail="the TLS handshake failed")
        if "Socket closed" in details and endpoint.certificate is not None:
            why = "the connection was closed at the handshake, as when a certificate is refused"
            return GaitkeeperError("rpc-certificate", address=address, detail=why)
        return GaitkeeperError("rpc-unreachable", address=address, detail=details.rsplit(": ", 1)[-1][:200])
    name = code.name if code is not None else "unknown"
    return GaitkeeperError("rpc-failed", address=address, detail=f"{name}: {details[:200]}")


def _named_error(error: grpc.RpcError) -> GaitkeeperError | None:
    if not isinstance(error, grpc.Call):
        return None
    sent = (value for key, value in error.trailing_metadata() or () if key == ERROR_KEY and isinstance(value, bytes))
    return next((read for value in sent if (read := read_error(value)) is not None), None)


def read_error(sent: bytes) -> GaitkeeperError | None:
    """The catalogue error that another machine put into its answer; None where these bytes are none."""
    if len(sent) > _MAX_ERROR_BYTES:
        return None
    try:
        row = json.loads(sent)
        values = {str(name): printable(str(text), 200) for name, text in row["values"].items()}
        return GaitkeeperError(row["code"], **values) if row["code"] in catalogue() else None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return None
