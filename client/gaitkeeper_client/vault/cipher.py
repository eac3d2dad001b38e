"""What a vault seals and how: patients' keys wrapped by the site's key, everything of a patient sealed by their key.

Keyed hashes and pseudonyms come from the site's identity secret, so that they outlive a rotation of the key, an erasure
and a vault that was made anew: the ledger finds the same patient again.
"""

from __future__ import annotations

import hmac

from gaitkeeper_client.vault.index import DocumentRow, PatientRow, RecordingRow
from gaitkeeper_client.vault.keys import SiteKey
from gaitkeeper_client.vault.records import (
    DocumentHead,
    PatientFacts,
    RecordingFacts,
    document_head,
    encode_facts,
    encode_head,
    patient_facts,
    recording_facts,
)
from gaitkeeper_shared.recording import Recording, decode_recording, encode_recording
from gaitkeeper_shared.trust.envelope import SealContext, new_key, seal, unseal

_SEAL_FORMAT = "1"


class VaultCipher:
    """The keys of one vault. Sealed values open only as what they are, for whom they are, in this vault."""

    def __init__(self, key: SiteKey, vault_id: str) -> None:
        self._vault_id = vault_id
        self._wrap_key = key.derive("vault/wrap")
        self.head_key = key.derive("vault/personal-head")
        """Seals the site's own head (``vault.personal``); another one after a rotation."""
        self._lookup_key = key.identify("vault/lookup")
        self._source_key = key.identify("vault/source")
        self._document_key = key.identify("vault/document")
        self._pseudonym_key = key.identify("vault/pseudonym")

    # -- keyed hashes

    def lookup(self, patient_id: str) -> bytes:
        """By what the index finds a patient."""
        return _keyed(self._lookup_key, patient_id)

    def source(self, source_sha256: str) -> bytes:
        """By what the index finds a file."""
        return _keyed(self._source_key, source_sha256)

    def document_lookup(self, name: str) -> bytes:
        """By what the index finds a document."""
        return _keyed(self._document_key, name)

    def pseudonym(self, patient_id: str) -> str:
        """The name of a patient outside the vault: the same for as long as the site's identity secret is kept."""
        return f"p-{_keyed(self._pseudonym_key, patient_id)[:8].hex()}"

    # -- patients

    def new_patient_key(self, pseudonym: str) -> bytes:
        """A fresh key for a patient, wrapped."""
        return self.wrap(pseudonym, new_key())

    def wrap(self, pseudonym: str, patient_key: bytes) -> bytes:
        """A patient's key as the index keeps it."""
        return seal(self._wrap_key, patient_key, self._context("patient-key", pseudonym))

    def patient_key(self, row: PatientRow) -> bytes:
        """A patient's key. Raises ``envelope-damaged``."""
        what = f"the key of patient {row.pseudonym}"
        return unseal(self._wrap_key, row.wrapped_key, self._context("patient-key", row.pseudonym), what=what)

    def sealed_patient(self, pseudonym: str, wrapped: bytes, facts: PatientFacts) -> PatientRow:
        """A patient's row; ``wrapped``: their key."""
        row = PatientRow(pseudonym, self.lookup(facts.patient_id), wrapped, b"")
        record = seal(self.patient_key(row), encode_facts(facts), self._context("patient", pseudonym))
        return PatientRow(pseudonym, row.lookup, wrapped, record)

    def facts(self, row: PatientRow) -> PatientFacts:
        """What is known of a patient. Raises ``envelope-damaged`` or ``recording-damaged``."""
        what = f"the record of patient {row.pseudonym}"
        context = self._context("patient", row.pseudonym)
        return patient_facts(unseal(self.patient_key(row), row.record, context, what=what))

    # -- recordings

    def sealed_recording(self, patient_key: bytes, pseudonym: str, recording_id: str, recording: Recording) -> bytes:
        """A recording's file."""
        return seal(patient_key, encode_recording(recording), self._context("recording", pseudonym, recording_id))

    def recording(self, patient_key: bytes, row: RecordingRow, sealed: bytes) -> Recording:
        """A recording out of its file's bytes. Raises ``envelope-damaged`` or ``recording-damaged``."""
        context = self._context("recording", row.pseudonym, row.id)
        return decode_recording(unseal(patient_key, sealed, context, what=f"recording {row.id}"))

    def recording_row(
        self, patient_key: bytes, pseudonym: str, recording_id: str, facts: RecordingFacts
    ) -> RecordingRow:
        """A recording's row."""
        context = self._context("recording-facts", pseudonym, recording_id)
        record = seal(patient_key, encode_facts(facts), context)
        return RecordingRow(recording_id, pseudonym, self.source(facts.source_sha256), record)

    def recording_facts(self, patient_key: bytes, row: RecordingRow) -> RecordingFacts:
        """Where a recording comes from. Raises ``envelope-damaged`` or ``recording-damaged``."""
        context = self._context("recording-facts", row.pseudonym, row.id)
        return recording_facts(unseal(patient_key, row.record, context, what=f"the record of recording {row.id}"))

    # -- documents

    def sealed_document(self, patient_key: bytes, pseudonym: str, document_id: str, content: bytes) -> bytes:
        """A document's file."""
        return seal(patient_key, content, self._context("document", pseudonym, document_id))

    def document(self, patient_key: bytes, row: DocumentRow, sealed: bytes) -> bytes:
        """A document out of its file's bytes. Raises ``envelope-damaged``."""
        return unseal(patient_key, sealed, self._context("document", row.pseudonym, row.id), what=f"document {row.id}")

    def document_row(self, patient_key: bytes, pseudonym: str, document_id: str, head: DocumentHead) -> DocumentRow:
        """A document's row."""
        context = self._context("document-head", pseudonym, document_id)
        record = seal(patient_key, encode_head(head), context)
        return DocumentRow(document_id, pseudonym, self.document_lookup(head.name), record)

    def document_head(self, patient_key: bytes, row: DocumentRow) -> DocumentHead:
        """What a document is. Raises ``envelope-damaged`` or ``recording-damaged``."""
        context = self._context("document-head", row.pseudonym, row.id)
        return document_head(unseal(patient_key, row.record, context, what=f"the record of document {row.id}"))

    def _context(self, kind: str, *ids: str) -> SealContext:
        return SealContext(kind, (_SEAL_FORMAT, self._vault_id, *ids))


def _keyed(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode("utf-8"), "sha256")
