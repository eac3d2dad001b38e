"""Looking into a vault: everything is opened, and what is damaged, missing, exchanged or unknown is named."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.index import DocumentRow, RecordingRow
    from gaitkeeper_client.vault.keys import SiteKey
    from gaitkeeper_client.vault.ledger import Ledger, RoundKey
    from gaitkeeper_client.vault.store import Vault


@dataclass(frozen=True, slots=True)
class Damage:
    """One finding. ``what`` names a patient or recording by pseudonym or random id only."""

    what: str
    detail: str


def check_vault(vault: Vault) -> tuple[Damage, ...]:
    """Everything: the index and its seal, each record, each file."""
    found = [*_check_seal(vault), *check_index(vault)]
    try:
        rows, documents = vault.index.recordings(), vault.index.documents()
        keys = _patient_keys(vault)
    except GaitkeeperError:
        return tuple(found)  # check_index said so
    for row in rows:
        if row.pseudonym in keys and not any(item.what == f"recording {row.id}" for item in found):
            found += _check_file(vault, row, keys[row.pseudonym])
    found += [damage for row in documents if row.pseudonym in keys for damage in _check_document(vault, row, keys)]
    unknown = vault.files_on_disk() - {vault.path_of(file_id).name for file_id in vault.index.file_ids()}
    found += [Damage(f"file {name}", "the index does not know it") for name in sorted(unknown)]
    return tuple(found)


def check_records(home: SiteHome, key: SiteKey) -> tuple[Damage, ...]:
    """What lies beside the vault: ledger and the site's own head, where there are any, and the audit log."""
    from gaitkeeper_client.vault.ledger import WITNESS, open_ledger
    from gaitkeeper_shared.trust.audit import AuditLog

    found = _check_head_of_site(home, key)
    try:
        AuditLog(home.audit_log).verify()
    except GaitkeeperError as error:
        found.append(Damage("audit log", error.message))
    try:
        if home.ledger.exists() or (home.keys / WITNESS).exists():
            ledger = open_ledger(home, key)
            _check_pages(home.ledger)
            for entry in ledger.entries:
                if entry.kind == "reply":
                    _check_reply(ledger, entry.key)
    except GaitkeeperError as error:
        found.append(Damage("ledger", error.message))
    return tuple(found)


def _check_head_of_site(home: SiteHome, key: SiteKey) -> list[Damage]:
    from gaitkeeper_client.vault.personal import has_head, kept_head
    from gaitkeeper_client.vault.store import Vault

    if not has_head(home):
        return []
    try:
        with Vault.open(home, key) as vault:
            known = kept_head(home, vault)
    except GaitkeeperError as error:
        return [Damage("personal head", error.message)]
    return [] if known is not None else [Damage("personal head", "another key of this site sealed it")]


def _check_pages(path: Path) -> None:
    """SQLite's own check of the ledger's pages. Raises ``ledger-damaged``."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as database:
            found = [str(row[0]) for row in database.execute("PRAGMA integrity_check(10)")]
    except (sqlite3.Error, UnicodeError) as error:
        raise GaitkeeperError("ledger-damaged", path=path, detail=error) from error
    if found != ["ok"]:
        raise GaitkeeperError("ledger-damaged", path=path, detail="; ".join(found))


def _check_reply(ledger: Ledger, key: RoundKey) -> None:
    """A stored reply against the hash in its entry; an old one is no longer kept. Raises ``ledger-damaged``."""
    try:
        ledger.reply(key)
    except GaitkeeperError as error:
        if error.code != "reply-gone":
            raise


def check_index(vault: Vault) -> tuple[Damage, ...]:
    """The index alone: SQLite's own check, and every sealed record."""
    found: list[Damage] = []
    if (integrity := vault.index.integrity()) != "ok":
        found.append(Damage("index", integrity))
    try:
        rows, recordings, documents = vault.index.patients(), vault.index.recordings(), vault.index.documents()
    except GaitkeeperError as error:
        return (*found, Damage("index", error.message))
    keys: dict[str, bytes] = {}
    for row, _ in rows:
        try:
            facts = vault.cipher.facts(row)
            keys[row.pseudonym] = vault.cipher.patient_key(row)
            if row.lookup != vault.cipher.lookup(facts.patient_id):
                found.append(Damage(f"patient {row.pseudonym}", "the index finds them under another identifier"))
        except GaitkeeperError as error:
            found.append(Damage(f"patient {row.pseudonym}", error.message))
    for recording in recordings:
        found += _check_record(vault, recording, keys.get(recording.pseudonym))
    for document in documents:
        found += _check_head(vault, document, keys.get(document.pseudonym))
    return tuple(found)


def _check_seal(vault: Vault) -> list[Damage]:
    with vault.locked(wait=True):  # a writer's index is not sealed
        try:
            if not vault.seal.holds(vault.index.image()):
                return [Damage("index", "it is not the one that was sealed after the last change")]
        except GaitkeeperError as error:
            return [Damage("index", error.message)]
    return []


def _patient_keys(vault: Vault) -> dict[str, bytes]:
    keys = {}
    for row, _ in vault.index.patients():
        try:
            keys[row.pseudonym] = vault.cipher.patient_key(row)
        except GaitkeeperError:
            continue
    return keys


def _check_record(vault: Vault, row: RecordingRow, patient_key: bytes | None) -> list[Damage]:
    def found(key: bytes) -> bool:
        return row.source == vault.cipher.source(vault.cipher.recording_facts(key, row).source_sha256)

    return _check_row(f"recording {row.id}", patient_key, found, "the index finds it under another source")


def _check_row(what: str, patient_key: bytes | None, found: Callable[[bytes], bool], elsewhere: str) -> list[Damage]:
    """A row of the index: whether its record opens, and whether it is ``found`` where its content says."""
    if patient_key is None:
        return [Damage(what, "its patient's key cannot be opened")]
    try:
        return [] if found(patient_key) else [Damage(what, elsewhere)]
    except GaitkeeperError as error:
        return [Damage(what, error.message)]


def _check_file(vault: Vault, row: RecordingRow, patient_key: bytes) -> list[Damage]:
    try:
        vault.open_recording(row, patient_key)
    except GaitkeeperError as error:
        return [Damage(f"recording {row.id}", error.message)]
    return []


def _check_head(vault: Vault, row: DocumentRow, patient_key: bytes | None) -> list[Damage]:
    def found(key: bytes) -> bool:
        return row.lookup == vault.cipher.document_lookup(vault.cipher.document_head(key, row).name)

    return _check_row(f"document {row.id}", patient_key, found, "the index finds it under another name")


def _check_document(vault: Vault, row: DocumentRow, keys: dict[str, bytes]) -> list[Damage]:
    from gaitkeeper_client.vault.documents import read_document

    try:
        read_document(vault, row, keys[row.pseudonym])
    except GaitkeeperError as error:
        return [Damage(f"document {row.id}", error.message)]
    return []
