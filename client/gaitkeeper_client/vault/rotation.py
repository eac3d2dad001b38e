"""A new key for the site, and another passphrase around it.

A rotation makes a fresh site key and, for every patient, a fresh key, under which their record, recordings and
documents are sealed anew: whoever had the old key, and copies of the old vault, reads nothing that is written from now
on. The identity secret stays, so that patients keep their pseudonyms and what they spent.

The order makes a kill harmless. The new key is written beside the old one; one transaction changes every key in the
index; then the new key takes the old one's place. A kill before the transaction leaves the old key in force and sealed
files that no index knows; after it, the next unlocking finds that the new key is the one that fits.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from gaitkeeper_client.vault.cipher import VaultCipher
from gaitkeeper_client.vault.documents import read_document
from gaitkeeper_client.vault.erasure import shred
from gaitkeeper_client.vault.events import record
from gaitkeeper_client.vault.home import KeyMode, write_table
from gaitkeeper_client.vault.index import DocumentRow, PatientRow, RecordingRow, key_check
from gaitkeeper_client.vault.keys import LEAST_PASSPHRASE, SCRYPT_N, SiteKey, drop_next_keys, keep_key
from gaitkeeper_client.vault.ledger import LedgerKeys, open_ledger
from gaitkeeper_client.vault.personal import drop_head
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.durable import full_disk_is_an_error, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.envelope import new_key

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome


def rotate_key(home: SiteHome, key: SiteKey, passphrase: str | None, *, scrypt_n: int = SCRYPT_N) -> SiteKey:
    """Give the site a new key, and every patient too. ``passphrase``: the one in use; None for a key file.

    The site's service must not run: it holds the old key. Raises ``vault-busy``, ``disk-full``, ``vault-damaged``,
    ``envelope-damaged`` (a damaged recording cannot be sealed anew), ``ledger-*``; then the old key stays in force.
    """
    fresh = key.rotated()
    ledger = open_ledger(home, key) if home.ledger.exists() else None
    with Vault.open(home, key) as vault, full_disk_is_an_error(home.vault), vault.writing():
        keep_key(home, fresh, passphrase, next_=True, scrypt_n=scrypt_n)
        old_files = [vault.path_of(file_id) for file_id in vault.index.file_ids()]
        _reseal(vault, fresh)
        keep_key(home, fresh, passphrase, scrypt_n=scrypt_n)
        drop_next_keys(home)
        if ledger is not None:  # a kill before this costs the site a round whose answer had not arrived
            ledger.reseal_replies(LedgerKeys.of(fresh))
        for path in old_files:
            shred(path)
        drop_head(home, "the site has a new key")  # sealed by the old one, and quickly fitted again
        vault.index.forget_log()  # where a reader prevents it, the log is cut when the last reader leaves
    record(home, "site-key-rotated")
    return fresh


def _reseal(vault: Vault, fresh: SiteKey) -> None:
    """Seal everything under fresh keys into new files, then change the index in one transaction."""
    vault_id = vault.index.meta()["vault"].decode()
    cipher = VaultCipher(fresh, vault_id)
    patients: list[PatientRow] = []
    recordings: list[tuple[str, RecordingRow]] = []
    documents: list[tuple[str, DocumentRow]] = []
    for row, _ in vault.index.patients():
        old, new = vault.cipher.patient_key(row), new_key()
        patients.append(cipher.sealed_patient(row.pseudonym, cipher.wrap(row.pseudonym, new), vault.cipher.facts(row)))
        for item in vault.index.recordings(row.pseudonym):
            recording_id = secrets.token_hex(16)
            sealed = cipher.sealed_recording(new, row.pseudonym, recording_id, vault.open_recording(item, old))
            write_durably(vault.path_of(recording_id), sealed)
            facts = vault.cipher.recording_facts(old, item)
            recordings.append((item.id, cipher.recording_row(new, row.pseudonym, recording_id, facts)))
        kept = vault.index.documents(row.pseudonym)
        documents += [(document.id, _resealed(vault, cipher, document, old, new)) for document in kept]
    with vault.index.transaction():
        for patient in patients:
            vault.index.put_patient(patient)
        for recording_id, recording in recordings:
            vault.index.replace_recording(recording_id, recording)
        for document_id, resealed in documents:
            vault.index.replace_document(document_id, resealed)
        vault.index.put_meta("key_check", key_check(fresh, vault_id))


def _resealed(vault: Vault, cipher: VaultCipher, row: DocumentRow, old: bytes, new: bytes) -> DocumentRow:
    """A document under a new key, in a new file; it keeps its name."""
    document_id = secrets.token_hex(16)
    content = read_document(vault, row, old)
    write_durably(vault.path_of(document_id), cipher.sealed_document(new, row.pseudonym, document_id, content))
    return cipher.document_row(new, row.pseudonym, document_id, vault.cipher.document_head(old, row))


def change_passphrase(home: SiteHome, key: SiteKey, passphrase: str | None, *, scrypt_n: int = SCRYPT_N) -> None:
    """Keep the same key behind another passphrase, or in a key file where it is None.

    Raises ``passphrase-weak``. A kill leaves the old way or the new one, never neither.
    """
    if passphrase is not None and len(passphrase) < LEAST_PASSPHRASE:
        raise GaitkeeperError("passphrase-weak", least=LEAST_PASSPHRASE)
    config = home.config()
    keep_key(home, key, passphrase, scrypt_n=scrypt_n)
    mode: KeyMode = "file" if passphrase is None else "passphrase"
    if mode != config.key_mode:
        import dataclasses

        write_table(home, "site", dataclasses.asdict(dataclasses.replace(config, key_mode=mode)))
    shred(home.sealed_key_file if passphrase is None else home.key_file)
    record(home, "site-key-kept-anew", key_mode=mode)
