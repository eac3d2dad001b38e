"""The release puller: asks for the site's order, fetches what it names, checks everything, switches over, acknowledges.

A step that fails leaves the version that was active as it is, and is told to the coordinator with its reason.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

import grpc

from gaitkeeper_client.consortium.connection import CoordinatorConnection
from gaitkeeper_client.consortium.release_store import (
    ActiveRelease,
    Pointer,
    Refusal,
    SignedDocument,
    activate,
    active_release,
    check_manifest,
    check_order,
    clean,
    forget_refusal,
    locked,
    read_pointer,
    read_refusal,
    read_release,
    store_release,
    write_pointer,
    write_refusal,
)
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.rpc.channels import Endpoint, call, stream
from gaitkeeper_shared.rpc.gaitkeeper.v1 import releases_pb2 as messages
from gaitkeeper_shared.rpc.gaitkeeper.v1 import releases_pb2_grpc as services
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.clock import Clock, utc_now
from gaitkeeper_shared.trust.release import Manifest, Order

__all__ = ["ActiveRelease", "PullOutcome", "active_release", "pull_once"]

DOWNLOAD_DEADLINE_S = 600.0
TRY_AGAIN_S = 600.0
"""So long after a refusal the same order is tried once more: what came may have been broken only on its way."""


@dataclass(frozen=True, slots=True)
class PullOutcome:
    """What one pull did.

    ``none``: nothing was ever ordered. ``busy``: another pull is at work. ``current``: the ordered version is active
    and sound. ``activated``: it became so now. ``refused``: it was not; ``code`` and ``message`` say why.
    """

    state: Literal["none", "busy", "current", "activated", "refused"]
    version: int | None = None
    sequence: int | None = None
    code: str = ""
    message: str = ""


def pull_once(home: SiteHome, *, clock: Clock = utc_now) -> PullOutcome:
    """Follow the coordinator's newest order to this site. Raises ``not-enrolled``, ``site-refused`` or ``rpc-*``.

    An order that was refused is not tried again for :data:`TRY_AGAIN_S`; until then the refusal is given back.
    """
    connection = CoordinatorConnection.load(home)
    endpoint = connection.endpoint(home)
    with locked(home) as free:
        if not free:
            return PullOutcome("busy")
        clean(home)
        with endpoint.channel() as channel:
            return _Pull(home, connection, endpoint, channel, clock).run()


class _Pull:
    """One pull over one channel."""

    def __init__(
        self,
        home: SiteHome,
        connection: CoordinatorConnection,
        endpoint: Endpoint,
        channel: grpc.Channel,
        clock: Clock,
    ) -> None:
        self._home = home
        self._connection = connection
        self._endpoint = endpoint
        self._stub = services.ReleasesStub(channel)
        self._log = AuditLog(home.audit_log)
        self._now = clock().timestamp()
        self._refused = read_refusal(home)

    def run(self) -> PullOutcome:
        answer = call(self._stub.CurrentOrder, messages.CurrentOrderRequest(), self._endpoint)
        if not answer.order:
            return PullOutcome("none")
        signed = SignedDocument(answer.order, answer.signatures)
        before = self._refused
        if before is not None and before.order_sha256 == _sha256(signed) and abs(self._now - before.at) < TRY_AGAIN_S:
            return self._repeat(before)
        order: Order | None = None
        try:
            order = check_order(self._connection, signed)
            outcome = self._follow(signed, order)
        except GaitkeeperError as error:
            if error.code.startswith("rpc-") or error.code == "site-refused":
                raise
            return self._refuse(signed, order, error)
        if before is not None:
            forget_refusal(self._home)
        return outcome

    def _follow(self, signed: SignedDocument, order: Order) -> PullOutcome:
        pointer = self._pointer()
        if pointer is not None and order.sequence < pointer.sequence:
            raise GaitkeeperError("release-replayed", offered=order.sequence, known=pointer.sequence)
        fetched = self._ensure_stored(order)
        if pointer is not None and pointer.sequence == order.sequence and pointer.order == signed:
            if not pointer.acknowledged:
                self._acknowledge_active(pointer)
            state: Literal["current", "activated"] = "activated" if fetched else "current"
            return PullOutcome(state, order.version, order.sequence)
        pointer = activate(self._home, signed, order, acknowledged=False)
        self._log.append("release-activated", version=order.version, order=order.sequence)
        self._acknowledge_active(pointer)
        return PullOutcome("activated", order.version, order.sequence)

    def _pointer(self) -> Pointer | None:
        try:
            return read_pointer(self._home)
        except GaitkeeperError as error:
            # It is made anew from the signed order; what was lost is only the guard against an older signed order.
            self._log.append("release-pointer-damaged", code=error.code)
            return None

    def _ensure_stored(self, order: Order) -> bool:
        """Fetch the release unless it lies here, sound. True where it was fetched."""
        try:
            read_release(self._home, self._connection, order)
            return False
        except GaitkeeperError as error:
            # A try that failed has said so already.
            if self._refused is None and (self._home.releases / str(order.version)).exists():
                self._log.append("release-damaged", version=order.version, code=error.code)
        request = messages.ManifestRequest(version=order.version)
        answer = call(self._stub.Manifest, request, self._endpoint)
        signed = SignedDocument(answer.manifest, answer.signatures)
        manifest = check_manifest(self._connection, signed, order)
        model = self._download(manifest)
        _check_usable(manifest, model)
        store_release(self._home, order.version, signed, model)
        self._log.append("release-downloaded", version=order.version, model_sha256=manifest.model_sha256)
        self._acknowledge(order.sequence, order.version, messages.DEPLOYMENT_STATE_DOWNLOADED)
        return True

    def _download(self, manifest: Manifest) -> bytes:
        """The model, in memory: checked before it is on the disk. Raises ``release-corrupt`` or ``rpc-*``."""
        received = bytearray()
        request = messages.DownloadRequest(version=manifest.version)
        for chunk in stream(self._stub.Download, request, self._endpoint, deadline_s=DOWNLOAD_DEADLINE_S):
            received += chunk.data
            if len(received) > manifest.model_size:
                raise GaitkeeperError("release-corrupt", version=manifest.version, detail="it is longer than signed")
        model = bytes(received)
        if not manifest.fits(model):
            detail = f"{len(model)} bytes came whose hash is not the signed one"
            raise GaitkeeperError("release-corrupt", version=manifest.version, detail=detail)
        return model

    def _acknowledge_active(self, pointer: Pointer) -> None:
        if self._acknowledge(pointer.sequence, pointer.version, messages.DEPLOYMENT_STATE_ACTIVE):
            write_pointer(self._home, replace(pointer, acknowledged=True))

    def _refuse(self, signed: SignedDocument, order: Order | None, error: GaitkeeperError) -> PullOutcome:
        sequence, version = (order.sequence, order.version) if order is not None else (None, None)
        refusal = Refusal(_sha256(signed), sequence, version, error.code, error.message, self._now, order is None)
        before = self._refused
        if before is not None and (before.order_sha256, before.code) == (refusal.order_sha256, refusal.code):
            refusal = replace(refusal, told=before.told)
        elif order is None:
            self._log.append("release-refused", code=error.code)
        else:
            self._log.append("release-refused", version=version, order=sequence, code=error.code)
        write_refusal(self._home, refusal)
        return self._repeat(refusal)

    def _repeat(self, refusal: Refusal) -> PullOutcome:
        """Give a refusal back; the coordinator is told once."""
        if not refusal.told and refusal.sequence is not None and refusal.version is not None:
            state = messages.DEPLOYMENT_STATE_REFUSED
            if self._acknowledge(refusal.sequence, refusal.version, state, refusal.code, refusal.message):
                write_refusal(self._home, replace(refusal, told=True))
        return PullOutcome("refused", refusal.version, refusal.sequence, refusal.code, refusal.message)

    def _acknowledge(
        self, sequence: int, version: int, state: messages.DeploymentState, code: str = "", reason: str = ""
    ) -> bool:
        """Tell the coordinator; False where it could not be told, which the next pull makes up for."""
        said = messages.Acknowledgement(sequence=sequence, version=version, state=state, code=code, reason=reason[:500])
        try:
            call(self._stub.Acknowledge, said, self._endpoint)
        except GaitkeeperError:
            return False
        return True


def _sha256(signed: SignedDocument) -> str:
    return hashlib.sha256(signed.data + b"\0" + signed.signatures).hexdigest()


def _check_usable(manifest: Manifest, model: bytes) -> None:
    """Refuse what this version cannot run before it replaces what runs. Raises ``model-damaged``."""
    from gaitkeeper_shared.models.bundle import ModelBundle

    bundle = ModelBundle.from_bytes(model)
    if bundle.spec.study_hash != manifest.study_hash:
        raise GaitkeeperError("model-damaged", detail="it was trained for another study than its manifest says")
