"""A release is made: a model's bytes put in place, its manifest signed, both never changed again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.store import CoordinatorStore, ReleaseRecord
from gaitkeeper_shared.durable import make_private_folder, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now
from gaitkeeper_shared.trust.release import MAX_MODEL_BYTES, Manifest, Validation
from gaitkeeper_shared.trust.signatures import RELEASE_CONTEXT, Signatures, sign, verify

LARGEST_VERSION = 2**63 - 1
"""The store's integers hold no more."""


def model_path(home: CoordinatorHome, version: int) -> Path:
    """Where a released model's bytes lie."""
    return home.releases / str(version) / "model.safetensors"


def publish(
    home: CoordinatorHome,
    version: int,
    model: bytes,
    *,
    study: str,
    study_hash: str,
    parents: tuple[str, ...] = (),
    notes: str = "",
    validated: Validation | None = None,
    clock: Clock = utc_now,
) -> Manifest:
    """Sign ``model`` as release ``version``; releasing the same bytes again gives the release that is there.

    It can be ordered at sites once enough of the consortium signed its manifest (:func:`released`). Raises
    ``release-exists`` where the version has other contents, ``release-too-large``.
    """
    if not 1 <= len(model) <= MAX_MODEL_BYTES:
        raise GaitkeeperError("release-too-large", size=len(model), limit=MAX_MODEL_BYTES)
    store = CoordinatorStore(home.store)
    if (record := store.release(version)) is not None:
        manifest, _ = _checked(home, record)
        if not manifest.fits(model) or manifest.study_hash != study_hash:
            raise GaitkeeperError("release-exists", version=version)
        _place(home, version, model)
        return manifest
    manifest = Manifest(
        version,
        study,
        study_hash,
        hashlib.sha256(model).hexdigest(),
        len(model),
        iso(clock()),
        parents,
        notes[:1000],
        () if validated is None else validated.lines(),
    )
    data = manifest.to_bytes()
    signatures = sign(data, RELEASE_CONTEXT, home.signer(), clock=clock)
    _place(home, version, model)
    store.add_release(ReleaseRecord(version, data, signatures.to_bytes()))
    AuditLog(home.audit_log, clock=clock).append(
        "release-signed", version=version, study=study, model_sha256=manifest.model_sha256
    )
    return manifest


def released(home: CoordinatorHome, version: int) -> Manifest:
    """A release's manifest, signed by as many of the consortium as sites ask for, checked anew.

    Raises ``release-unknown``, ``release-needs-signatures`` or ``signature-*``.
    """
    manifest, valid = _checked(home, kept_release(home, version))
    needed = home.consortium().threshold
    if valid < needed:
        raise GaitkeeperError("release-needs-signatures", version=version, valid=valid, needed=needed)
    return manifest


def kept_release(home: CoordinatorHome, version: int) -> ReleaseRecord:
    """What the store has of a release, signed by enough or not. Raises ``release-unknown``."""
    record = CoordinatorStore(home.store).release(version) if version <= LARGEST_VERSION else None
    if record is None:
        raise GaitkeeperError("release-unknown", version=version)
    return record


def _checked(home: CoordinatorHome, record: ReleaseRecord) -> tuple[Manifest, int]:
    """The manifest, and how many keys signed it: one at least."""
    what = f"The release {record.version}"
    signatures = Signatures.from_bytes(record.signatures, what=what)
    valid = verify(record.manifest, signatures, RELEASE_CONTEXT, home.consortium().anyone, what=what)
    return Manifest.from_bytes(record.manifest), len(valid)


def _place(home: CoordinatorHome, version: int, model: bytes) -> None:
    make_private_folder(model_path(home, version).parent)
    write_durably(model_path(home, version), model)
