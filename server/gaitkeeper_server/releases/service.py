"""The gRPC service that brings releases to the sites."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator

import grpc

from gaitkeeper_server.enrolment.identity import Doorkeeper, answered, refuse
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.releases.publish import model_path
from gaitkeeper_server.store import AckState, CoordinatorStore
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.printable import printable
from gaitkeeper_shared.rpc.gaitkeeper.v1 import releases_pb2 as messages
from gaitkeeper_shared.rpc.gaitkeeper.v1 import releases_pb2_grpc as services
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now

CHUNK_BYTES = 256 * 1024
DOWNLOAD_LIMIT_S = 600.0
DOWNLOADS_A_SITE = 2
_STATES: dict[int, AckState] = {
    messages.DEPLOYMENT_STATE_DOWNLOADED: "downloaded",
    messages.DEPLOYMENT_STATE_ACTIVE: "active",
    messages.DEPLOYMENT_STATE_REFUSED: "refused",
}


class ReleasesService(services.ReleasesServicer):
    """A site sees the order to itself, and can fetch the versions that it was ever ordered to run."""

    def __init__(self, home: CoordinatorHome, doorkeeper: Doorkeeper, clock: Clock = utc_now) -> None:
        self._home = home
        self._store = CoordinatorStore(home.store)
        self._doorkeeper = doorkeeper
        self._clock = clock
        self._downloads: Counter[str] = Counter()
        self._lock = threading.Lock()

    @answered
    def CurrentOrder(  # noqa: N802 - gRPC's name
        self, request: messages.CurrentOrderRequest, context: grpc.ServicerContext
    ) -> messages.CurrentOrderResponse:
        """The newest order to the caller."""
        order = self._store.current_order(self._doorkeeper.site(context))
        if order is None:
            return messages.CurrentOrderResponse()
        return messages.CurrentOrderResponse(order=order.order, signatures=order.signatures)

    @answered
    def Manifest(  # noqa: N802 - gRPC's name
        self, request: messages.ManifestRequest, context: grpc.ServicerContext
    ) -> messages.ManifestResponse:
        """The signed manifest of a version that the caller was ordered to run."""
        self._check_ordered(self._doorkeeper.site(context), request.version)
        record = self._store.release(request.version)
        if record is None:
            raise GaitkeeperError("release-unknown", version=request.version)
        return messages.ManifestResponse(manifest=record.manifest, signatures=record.signatures)

    def Download(  # noqa: N802 - gRPC's name
        self, request: messages.DownloadRequest, context: grpc.ServicerContext
    ) -> Iterator[messages.ModelChunk]:
        """The model in chunks. A site that is revoked meanwhile gets no further chunk."""
        until = time.monotonic() + DOWNLOAD_LIMIT_S
        try:
            site = self._doorkeeper.site(context)
            self._check_ordered(site, request.version)
            self._begin(site, context)
            with model_path(self._home, request.version).open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    self._doorkeeper.site(context, note=False)
                    if time.monotonic() > until:
                        raise GaitkeeperError("rpc-busy", detail=f"the download took over {DOWNLOAD_LIMIT_S:.0f} s")
                    yield messages.ModelChunk(data=chunk)
        except FileNotFoundError:
            refuse(context, GaitkeeperError("release-unknown", version=request.version))
        except GaitkeeperError as error:
            refuse(context, error)

    @answered
    def Acknowledge(  # noqa: N802 - gRPC's name
        self, request: messages.Acknowledgement, context: grpc.ServicerContext
    ) -> messages.AcknowledgementReceipt:
        """Note what the caller did with an order."""
        site = self._doorkeeper.site(context)
        state = _STATES.get(request.state)
        if state is None or request.sequence >= 2**63:
            raise GaitkeeperError("release-unreadable", what="the acknowledgement", detail="its state is unknown")
        code, reason = printable(request.code, 64), printable(request.reason, 500)
        if not self._store.acknowledge(site, request.sequence, state, code, reason, iso(self._clock())):
            raise GaitkeeperError("release-unreadable", what="the acknowledgement", detail="there is no such order")
        AuditLog(self._home.audit_log, clock=self._clock).append(
            "deployment-acknowledged", site=site, order=request.sequence, state=state, code=code
        )
        return messages.AcknowledgementReceipt()

    def _begin(self, site: str, context: grpc.ServicerContext) -> None:
        """Count a download until its call ends. Raises ``rpc-busy`` where the site has enough of them."""
        with self._lock:
            if self._downloads[site] >= DOWNLOADS_A_SITE:
                raise GaitkeeperError("rpc-busy", detail=f"this site has {DOWNLOADS_A_SITE} downloads open already")
            self._downloads[site] += 1

        def end() -> None:
            with self._lock:
                self._downloads[site] -= 1

        if not context.add_callback(end):
            end()  # the call is over already

    def _check_ordered(self, site: str, version: int) -> None:
        if all(order.version != version for order in self._store.orders(site)):
            raise GaitkeeperError("release-unknown", version=version)
