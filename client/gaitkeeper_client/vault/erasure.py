"""Erasure: a patient's key is destroyed, and with it everything that was ever sealed by it.

In this order: one transaction removes the patient's key, record, recordings and documents from the index and keeps that
this keyed hash had this pseudonym; SQLite overwrites what it removes; the write-ahead log is folded in and cut to
nothing; the sealed files are overwritten and removed. A kill after the transaction leaves sealed bytes that nobody has
a key for; the next opening of the vault, or the same command again, removes them.

The ledger's entries are not touched: what was spent on the pseudonym stays spent, also for the same patient when they
come back. The updates that it keeps of studies which the patient was trained in are dropped.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gaitkeeper_client.vault.events import record
from gaitkeeper_client.vault.index import BUSY_TIMEOUT_S
from gaitkeeper_shared.durable import sync_folder
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.store import Vault

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Erased:
    """What :func:`erase` did. ``again``: the patient was erased before, and only traces were looked for.

    ``backups``: names of the backups that were made since the patient's first recording, as the audit log tells.
    """

    pseudonym: str
    recordings: int
    documents: int
    again: bool
    backups: tuple[str, ...]


def erase(home: SiteHome, vault: Vault, name: str, *, wait_s: float = BUSY_TIMEOUT_S) -> Erased:
    """Erase a patient, by the clinic's identifier or by pseudonym. Running it again ends what a kill interrupted.

    Raises ``vault-no-such-patient``; ``erasure-unfinished`` where a reader kept the write-ahead log open for ``wait_s``
    seconds: the key is gone from the index by then; ``ledger-*`` where the patient is erased, and what the ledger keeps
    of the updates cannot be dropped.
    """
    pseudonym = _pseudonym(vault, name)
    record(home, "erasure-begun", patient=pseudonym)
    with vault.writing():
        row = vault.index.patient(pseudonym)
        recordings, documents = vault.index.recordings(pseudonym), vault.index.documents(pseudonym)
        files = [vault.path_of(file_id) for file_id in vault.index.file_ids(pseudonym)]
        if row is not None:
            with vault.index.transaction():
                vault.index.remove_patient(row)
        forget(vault, files, pseudonym, wait_s)
    _forget_uploads(home, pseudonym)
    _forget_head(home, vault)
    record(home, "patient-erased", patient=pseudonym, recordings=len(recordings), documents=len(documents))
    _forget_updates(home, pseudonym)
    return Erased(pseudonym, len(recordings), len(documents), row is None, _backups_since(home, pseudonym))


def forget(vault: Vault, files: Iterable[Path], pseudonym: str, wait_s: float) -> None:
    """Leave nothing of what was just removed from the index: neither files, nor the write-ahead log."""
    for path in files:
        shred(path)
    deadline = time.monotonic() + wait_s
    while not vault.index.forget_log():
        if time.monotonic() > deadline:
            raise GaitkeeperError("erasure-unfinished", pseudonym=pseudonym, path=vault.folder, seconds=wait_s)
        time.sleep(0.05)


def _forget_uploads(home: SiteHome, pseudonym: str) -> None:
    """Raw recordings that were handed in, with the keys that they are sealed by."""
    folder = home.uploads / pseudonym
    # The keys lie in the files of this name: they go first.
    for path in sorted(folder.rglob("*"), key=lambda item: item.name != "facts.sealed"):
        if path.is_file():
            shred(path)
    for path in (*folder.glob("*"), folder):
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()


def _forget_head(home: SiteHome, vault: Vault) -> None:
    """Drop the site's own head where it was fitted to the patient; it can be fitted again to the others."""
    from gaitkeeper_client.vault.personal import drop_stale_head

    drop_stale_head(home, vault)


def _forget_updates(home: SiteHome, pseudonym: str) -> None:
    """Drop the updates that the ledger keeps, unmasked, of the studies that this patient was charged in."""
    from gaitkeeper_client.vault.ledger import open_ledger

    if not home.ledger.exists():
        return
    ledger = open_ledger(home)
    for study in dict.fromkeys(entry.key.study_hash for entry in ledger.entries if pseudonym in entry.patients):
        ledger.forget_replies(study)


def shred(path: Path) -> None:
    """Overwrite a file where it lies, then remove it, durably. A medium that writes elsewhere (flash, snapshots) keeps
    the old bytes for a while; what is sealed is of no use without its key."""
    with contextlib.suppress(FileNotFoundError):
        with path.open("r+b", buffering=0) as file:
            left = os.fstat(file.fileno()).st_size
            while left > 0:
                left -= file.write(bytes(min(left, _BLOCK)))
            os.fsync(file.fileno())
        path.unlink()
        sync_folder(path.parent)


def _pseudonym(vault: Vault, name: str) -> str:
    """Whom a name means: a patient of the vault, or one who was erased before."""
    try:
        return vault.named(name).pseudonym
    except GaitkeeperError as error:
        if error.code != "vault-no-such-patient":
            raise
        erased = vault.index.erased()
        if (before := erased.get(vault.cipher.lookup(name))) is not None:
            return before
        if name in erased.values():
            return name
        raise


def _backups_since(home: SiteHome, pseudonym: str) -> tuple[str, ...]:
    """Backups that may still hold the patient: the audit log knows when they came and which backups were made since."""
    from gaitkeeper_shared.trust.audit import AuditLog

    came, made = False, []
    for entry in AuditLog(home.audit_log).entries():
        came = came or (entry.event == "ingested" and entry.facts.get("patient") == pseudonym)
        if entry.event == "backup-made" and came:
            made.append(str(entry.facts.get("file", "")))
    return tuple(made)
