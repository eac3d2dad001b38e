"""Releases that need more than the coordinator's signature: handed out to co-signers, and taken back signed."""

from __future__ import annotations

from pathlib import Path

from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.releases.publish import kept_release, model_path
from gaitkeeper_server.store import CoordinatorStore
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.clock import Clock, utc_now
from gaitkeeper_shared.trust.signatures import (
    RELEASE_CONTEXT,
    Signatures,
    signature_path,
    valid_signatures,
)


def hand_out(home: CoordinatorHome, version: int, folder: Path) -> tuple[Path, Path, Path]:
    """Write manifest, signatures and model into ``folder`` for a co-signer; their paths.

    Nothing of it is secret: every site that is ordered to run the release gets the same. Raises ``release-unknown`` or
    ``file-not-writable``.
    """
    record = kept_release(home, version)
    manifest, model = folder / f"release-{version}.json", folder / f"release-{version}.safetensors"
    files = {
        manifest: record.manifest,
        signature_path(manifest): record.signatures,
        model: model_path(home, version).read_bytes(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in files.items():
            write_durably(path, data, mode=0o644)
    except OSError as error:
        raise GaitkeeperError("file-not-writable", path=folder, detail=error.strerror) from error
    return manifest, signature_path(manifest), model


def take_back(home: CoordinatorHome, version: int, path: Path, *, clock: Clock = utc_now) -> tuple[str, ...]:
    """Add the co-signers' valid signatures in ``path`` to those of the release; the names of the keys that are new.

    What is no signature of this consortium's is left out. Raises ``release-unknown``, ``signature-unreadable``,
    ``signature-other-document`` or ``release-signature-useless``.
    """
    record, what = kept_release(home, version), f"The release {version}"
    here = Signatures.from_bytes(record.signatures, what=what)
    brought = Signatures.load(path)
    valid = valid_signatures(record.manifest, brought, RELEASE_CONTEXT, home.consortium(), what=what)
    known = {item.key_id for item in here.signatures}
    added = tuple(item for key_id, item in sorted(valid.items()) if key_id not in known)
    if not added:
        raise GaitkeeperError("release-signature-useless", path=path, version=version)
    merged = Signatures(here.context, here.sha256, (*here.signatures, *added)).to_bytes()
    if not CoordinatorStore(home.store).add_signatures(version, record.signatures, merged):
        detail = "another command added a signature at the same moment"
        raise GaitkeeperError("store-failed", path=home.store, detail=detail)
    log = AuditLog(home.audit_log, clock=clock)
    for item in added:
        log.append("release-cosigned", version=version, key=item.key_id)
    return tuple(item.key_id for item in added)
