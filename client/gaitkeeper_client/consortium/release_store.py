"""Releases on the site's disk: one folder a version, and one small file that says which is active.

Nothing here is believed because it lies here: order, manifest and model are checked against the consortium's signatures
each time that a release is opened.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from gaitkeeper_client.consortium.connection import CoordinatorConnection
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.durable import full_disk_is_an_error, make_private_folder, sync_folder, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.clock import iso, utc_now
from gaitkeeper_shared.trust.release import Manifest, Order
from gaitkeeper_shared.trust.signatures import ORDER_CONTEXT, RELEASE_CONTEXT, Signatures, verify

ACTIVE_SCHEMA = "gaitkeeper.active/1"
REFUSED_SCHEMA = "gaitkeeper.refused/1"
_INCOMING = ".incoming-"


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A document's bytes and the signatures beside it, as they came."""

    data: bytes
    signatures: bytes


@dataclass(frozen=True, slots=True)
class ActiveRelease:
    """The model that the site runs, checked just now. ``model``: bytes of a model bundle (safetensors)."""

    version: int
    manifest: Manifest
    order: Order
    model: bytes
    path: Path
    activated_at: str


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which order the site follows. ``acknowledged``: whether the coordinator was told."""

    order: SignedDocument
    sequence: int
    version: int
    activated_at: str
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """The last order that this site refused, and why. ``order_sha256``: of the order's bytes, in hex.

    ``at``: seconds since the epoch when it was last tried. ``told``: whether the coordinator knows.
    """

    order_sha256: str
    sequence: int | None
    version: int | None
    code: str
    message: str
    at: float
    told: bool


def check_order(connection: CoordinatorConnection, signed: SignedDocument) -> Order:
    """The order, where it is signed and for this site. Raises ``signature-*`` or ``release-*``."""
    what = "The deployment order"
    verify(
        signed.data,
        Signatures.from_bytes(signed.signatures, what=what),
        ORDER_CONTEXT,
        connection.consortium.anyone,
        what=what,
    )
    order = Order.from_bytes(signed.data)
    if (order.site, order.coordinator) != (connection.site, connection.coordinator):
        raise GaitkeeperError("release-other-site", site=order.site, coordinator=order.coordinator)
    return order


def check_manifest(connection: CoordinatorConnection, signed: SignedDocument, order: Order) -> Manifest:
    """The manifest, where it is signed and the very one that ``order`` names. Raises ``signature-*``, ``release-*``."""
    what = f"The release {order.version}"
    verify(
        signed.data,
        Signatures.from_bytes(signed.signatures, what=what),
        RELEASE_CONTEXT,
        connection.consortium,
        what=what,
    )
    manifest = Manifest.from_bytes(signed.data)
    if manifest.version != order.version or hashlib.sha256(signed.data).hexdigest() != order.manifest_sha256:
        raise GaitkeeperError("release-order-mismatch", version=order.version)
    return manifest


def active_release(home: SiteHome) -> ActiveRelease | None:
    """The active release, checked from the order down to the last byte; None where none was ever activated.

    Raises ``release-damaged`` (or ``signature-*``, ``not-enrolled``): then no model may be used.
    """
    pointer = read_pointer(home)
    if pointer is None:
        return None
    connection = CoordinatorConnection.load(home)
    order = check_order(connection, pointer.order)
    folder = home.releases / str(order.version)
    manifest, model = read_release(home, connection, order)
    return ActiveRelease(order.version, manifest, order, model, folder / "model.safetensors", pointer.activated_at)


def read_release(home: SiteHome, connection: CoordinatorConnection, order: Order) -> tuple[Manifest, bytes]:
    """A stored release that ``order`` names, checked. Raises ``release-damaged`` or ``signature-*``."""
    folder = home.releases / str(order.version)
    try:
        signed = SignedDocument((folder / "manifest.json").read_bytes(), (folder / "manifest.sig").read_bytes())
        manifest = check_manifest(connection, signed, order)
        path = folder / "model.safetensors"
        if path.stat().st_size != manifest.model_size:
            raise GaitkeeperError(
                "release-damaged", version=order.version, path=path, detail="its size is not that of the release"
            )
        model = path.read_bytes()
    except OSError as error:
        detail = error.strerror or error
        raise GaitkeeperError("release-damaged", version=order.version, path=folder, detail=detail) from error
    if not manifest.fits(model):
        raise GaitkeeperError("release-damaged", version=order.version, path=path, detail="its hash differs")
    return manifest, model


def store_release(home: SiteHome, version: int, manifest: SignedDocument, model: bytes) -> None:
    """Put a checked release in its folder, whole or not at all; one that lies there (damaged) is replaced."""
    make_private_folder(home.releases)
    incoming = home.releases / f"{_INCOMING}{secrets.token_hex(6)}"
    final = home.releases / str(version)
    try:
        with full_disk_is_an_error(home.releases):
            make_private_folder(incoming)
            write_durably(incoming / "model.safetensors", model)
            write_durably(incoming / "manifest.json", manifest.data)
            write_durably(incoming / "manifest.sig", manifest.signatures)
            if final.exists():
                final.rename(home.releases / f"{_INCOMING}old-{secrets.token_hex(6)}")
            incoming.rename(final)
            sync_folder(home.releases)
    finally:
        clean(home)


def clean(home: SiteHome) -> None:
    """Remove what an interrupted download left. Call under :func:`locked` only."""
    for leftover in home.releases.glob(f"{_INCOMING}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def activate(home: SiteHome, signed: SignedDocument, order: Order, *, acknowledged: bool) -> Pointer:
    """Make a stored release the active one: one rename, durable before this returns."""
    pointer = Pointer(signed, order.sequence, order.version, iso(utc_now()), acknowledged)
    write_pointer(home, pointer)
    return pointer


def write_pointer(home: SiteHome, pointer: Pointer) -> None:
    """Keep the pointer, durably."""
    table = {
        "schema": ACTIVE_SCHEMA,
        "order": pointer.order.data.decode("ascii"),
        "signatures": pointer.order.signatures.decode("ascii"),
        "sequence": pointer.sequence,
        "version": pointer.version,
        "activated_at": pointer.activated_at,
        "acknowledged": pointer.acknowledged,
    }
    write_durably(_pointer_path(home), (json.dumps(table, indent=2) + "\n").encode("ascii"))


def read_pointer(home: SiteHome) -> Pointer | None:
    """Which order the site follows. Raises ``release-damaged`` where the file cannot be read."""
    path = _pointer_path(home)
    try:
        table = json.loads(path.read_bytes())
        if table["schema"] != ACTIVE_SCHEMA:
            raise ValueError(f"its schema is not {ACTIVE_SCHEMA}")
        order = SignedDocument(table["order"].encode("ascii"), table["signatures"].encode("ascii"))
        return Pointer(
            order,
            int(table["sequence"]),
            int(table["version"]),
            str(table["activated_at"]),
            bool(table["acknowledged"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise GaitkeeperError("release-damaged", version="?", path=path, detail=error) from error


def write_refusal(home: SiteHome, refusal: Refusal) -> None:
    """Keep the last refusal, durably."""
    table = {"schema": REFUSED_SCHEMA, **asdict(refusal)}
    write_durably(_refusal_path(home), (json.dumps(table, indent=2) + "\n").encode("ascii"))


def read_refusal(home: SiteHome) -> Refusal | None:
    """The last refusal; None where there is none, or none that can be read: then the order is simply tried again."""
    try:
        table = json.loads(_refusal_path(home).read_bytes())
        if table.pop("schema") != REFUSED_SCHEMA:
            return None
        refusal = Refusal(**table)
        return refusal if isinstance(refusal.at, float) and isinstance(refusal.code, str) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def forget_refusal(home: SiteHome) -> None:
    """There is no refused order any more."""
    _refusal_path(home).unlink(missing_ok=True)


@contextlib.contextmanager
def locked(home: SiteHome) -> Iterator[bool]:
    """Only one puller at a time; yields False at once where another is at work."""
    make_private_folder(home.releases)
    descriptor = os.open(home.releases / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _pointer_path(home: SiteHome) -> Path:
    return home.releases / "active.json"


def _refusal_path(home: SiteHome) -> Path:
    return home.releases / "refused.json"
