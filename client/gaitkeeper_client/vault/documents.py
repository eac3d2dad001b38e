"""Documents about a patient, such as reports and what a clinician decided on them: sealed like recordings.

A document has a name that lasts, while its file and key change with a rotation of the site's key. It is never changed:
what is said later about it is another document. Erasure, backup, rotation and verification cover documents as they
cover recordings.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from gaitkeeper_client.vault.records import DocumentHead
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.vault.index import DocumentRow
    from gaitkeeper_client.vault.store import Vault

MAX_DOCUMENT_BYTES = 256 * 1024 * 1024


def put_document(vault: Vault, pseudonym: str, head: DocumentHead, content: bytes) -> None:
    """Store a document about a patient, durably: sealed file first, then one transaction of the index.

    Raises ``vault-no-such-patient``; ``document-exists`` where the name is taken; ``disk-full``, ``vault-busy``.
    """
    if len(content) > MAX_DOCUMENT_BYTES:
        raise GaitkeeperError("document-too-large", size=len(content), most=MAX_DOCUMENT_BYTES)
    with vault.writing():
        patient_key = vault.patient_key(pseudonym)
        if vault.index.document_by_lookup(vault.cipher.document_lookup(head.name)) is not None:
            raise GaitkeeperError("document-exists", name=head.name)
        document_id = secrets.token_hex(16)
        path = vault.path_of(document_id)
        write_durably(path, vault.cipher.sealed_document(patient_key, pseudonym, document_id, content))
        try:
            with vault.index.transaction():
                vault.index.put_document(vault.cipher.document_row(patient_key, pseudonym, document_id, head))
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def heads_of(vault: Vault, pseudonym: str) -> tuple[DocumentHead, ...]:
    """The documents about a patient, in order of arrival. Raises ``vault-no-such-patient``, ``envelope-damaged``."""
    return tuple(heads_with_ids(vault, pseudonym).values())


def heads_with_ids(vault: Vault, pseudonym: str) -> dict[str, DocumentHead]:
    """What :func:`heads_of` gives, by the random id of each document's file."""
    patient_key = vault.patient_key(pseudonym)
    return {row.id: vault.cipher.document_head(patient_key, row) for row in vault.index.documents(pseudonym)}


def find_document(vault: Vault, name: str) -> tuple[str, DocumentHead] | None:
    """The pseudonym and the head of a document; None where the vault has no such name."""
    row = vault.index.document_by_lookup(vault.cipher.document_lookup(name))
    if row is None:
        return None
    return row.pseudonym, vault.cipher.document_head(vault.patient_key(row.pseudonym), row)


def document_bytes(vault: Vault, name: str) -> bytes:
    """The content of a document. Raises ``document-missing``, ``envelope-damaged``."""
    row = vault.index.document_by_lookup(vault.cipher.document_lookup(name))
    if row is None:
        raise GaitkeeperError("document-missing", name=name)
    return read_document(vault, row, vault.patient_key(row.pseudonym))


def read_document(vault: Vault, row: DocumentRow, patient_key: bytes) -> bytes:
    """The content behind a row, for the other parts of this room. Raises as :func:`document_bytes`."""
    try:
        sealed = vault.path_of(row.id).read_bytes()
    except FileNotFoundError as error:
        raise GaitkeeperError("document-missing", name=row.id) from error
    return vault.cipher.document(patient_key, row, sealed)
