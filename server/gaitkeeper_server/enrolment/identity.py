"""Who is calling: the site whose certificate the TLS handshake proved, checked against the store on every call."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, NoReturn, TypeVar, cast

import grpc

from gaitkeeper_server.store import CoordinatorStore
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.rpc.channels import encode_error
from gaitkeeper_shared.trust.certificates import pem, read_certificate
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now

_LOG = logging.getLogger(__name__)
_REFUSED = {2: grpc.StatusCode.INVALID_ARGUMENT, 3: grpc.StatusCode.PERMISSION_DENIED}
_NOTE_EVERY = timedelta(minutes=1)
_NOTE_TOGETHER_S = 1.0
_F = TypeVar("_F", bound=Callable[..., Any])


class Doorkeeper:
    """Tells the caller's site. A revoked site, or one with a superseded certificate, is nobody."""

    def __init__(self, store: CoordinatorStore, clock: Clock = utc_now) -> None:
        self._store = store
        self._clock = clock
        self._noted: dict[str, datetime] = {}
        self._to_note: dict[str, str] = {}
        self._noted_at = 0.0
        self._lock = threading.Lock()

    def site(self, context: grpc.ServicerContext, *, note: bool = True) -> str:
        """The enrolled site that calls. Raises ``site-refused``."""
        presented = cast("list[bytes]", context.auth_context().get("x509_pem_cert", []))
        if len(presented) != 1:
            raise GaitkeeperError("site-refused", detail="it was not shown")
        shown = read_certificate(presented[0], what="the caller's certificate")
        # Not the name but the very certificate is looked for: an older one of the same site is not accepted.
        site = self._store.site_of_certificate(pem(shown))
        if site is None:
            raise GaitkeeperError("site-refused", detail="the site is unknown, was revoked, or enrolled again since")
        if note:
            self._note(site)
        return site

    def _note(self, site: str) -> None:
        """Note that a site called; no call waits for that longer, or fails of it, than for what it asked."""
        now = self._clock()
        with self._lock:
            before = self._noted.get(site)
            # Sites ask every other second: not each time a write that waits for the disk, nor one for each of many.
            if before is None or abs(now - before) >= _NOTE_EVERY:
                self._noted[site], self._to_note[site] = now, iso(now)
            if not self._to_note or time.monotonic() - self._noted_at < _NOTE_TOGETHER_S:
                return
            calls, self._to_note, self._noted_at = self._to_note, {}, time.monotonic()
        try:
            self._store.seen(calls)
        except GaitkeeperError as error:
            _LOG.warning("when sites called was not noted: %s", error)


def answered(method: _F) -> _F:
    """For a servicer's unary method: catalogue errors go back to the caller as such.

    Anything else is ours to mend: it goes to the log, and the caller learns no more than that it happened.
    """

    @wraps(method)
    def wrapped(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except GaitkeeperError as error:
            refuse(context, error)
        except Exception:
            _LOG.exception("%s failed", method.__name__)
            context.abort(grpc.StatusCode.INTERNAL, "the coordinator failed; its log says why")

    return wrapped  # type: ignore[return-value]  # the same signature


def refuse(context: grpc.ServicerContext, error: GaitkeeperError) -> NoReturn:
    """End the call with a catalogue error."""
    context.set_trailing_metadata(encode_error(error))
    context.abort(_REFUSED.get(error.exit_status, grpc.StatusCode.INTERNAL), error.message[:500])
    raise AssertionError("abort raises")
