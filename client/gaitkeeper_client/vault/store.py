"""The vault: every recording and document sealed on its own, under its patient's key; an index that tells nothing
without the key.

A recording is added in this order: sealed file written and renamed, then one transaction of the index. A kill between
the two leaves a file that no index knows, which the next opening removes. Readers need no lock; a writer holds one, and
seals the whole index when it is done.
"""

from __future__ import annotations

import contextlib
import fcntl
import hmac
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaitkeeper_client.vault.check import Damage, check_index, check_vault
from gaitkeeper_client.vault.cipher import VaultCipher
from gaitkeeper_client.vault.consent import PRESUMABLE, Consent, Purpose, unless_said, words_for
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.index import BUSY_TIMEOUT_S, INDEX_FORMAT, PatientRow, RecordingRow, VaultIndex, key_check
from gaitkeeper_client.vault.index_seal import IndexSeal
from gaitkeeper_client.vault.keys import SiteKey
from gaitkeeper_client.vault.records import Patient, PatientFacts, RecordingFacts
from gaitkeeper_shared.durable import full_disk_is_an_error, is_temporary, make_private_folder, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import Recording

__all__ = ["Added", "Damage", "Vault"]

_SUFFIX = ".sealed"


@dataclass(frozen=True, slots=True)
class Added:
    """What :meth:`Vault.add` did; ``new`` is False where the vault held this source already."""

    pseudonym: str
    recording_id: str
    new: bool


class Vault:
    """A site's encrypted store. Open with :meth:`open`, best in a ``with`` statement.

    ``index`` and ``cipher`` are for the other parts of this room, which erase, rotate and check.
    """

    def __init__(self, folder: Path, key: SiteKey, unsaid: frozenset[Purpose] = PRESUMABLE) -> None:
        self.folder = folder
        self._files = folder / "recordings"
        self._unsaid = unsaid
        self._known_sound = False
        self.index = self._open_index(key)
        try:
            vault_id = self._identify(key)
            self.cipher = VaultCipher(key, vault_id)
            self.seal = IndexSeal(folder, key.identify("vault/index-seal"), vault_id)
            self._remove_left_overs()
        except BaseException:
            self.index.close()
            raise

    @classmethod
    def open(cls, home: SiteHome, key: SiteKey) -> Vault:
        """Open the vault of a home, making an empty one on first use.

        Raises ``vault-wrong-key``, ``vault-damaged``, ``vault-format-unknown``, ``site-config-damaged``.
        """
        home.config()
        with full_disk_is_an_error(home.vault):
            return cls(home.vault, key, unless_said(home))

    def __enter__(self) -> Vault:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the index."""
        self.index.close()

    # -- reading

    def patients(self) -> tuple[Patient, ...]:
        """Every patient, in order of arrival."""
        return tuple(self._patient(row, count) for row, count in self.index.patients())

    def find(self, patient_id: str) -> Patient | None:
        """A patient by the clinic's own identifier."""
        row = self.index.patient_by_lookup(self.cipher.lookup(patient_id))
        return None if row is None else self._patient(row, len(self.index.recordings(row.pseudonym)))

    def named(self, name: str) -> Patient:
        """A patient by the clinic's identifier or by pseudonym. Raises ``vault-no-such-patient``."""
        if (found := self.find(name)) is not None:
            return found
        if (row := self.index.patient(name)) is None:
            raise GaitkeeperError("vault-no-such-patient", pseudonym=name)
        return self._patient(row, len(self.index.recordings(row.pseudonym)))

    def recordings(self, pseudonym: str) -> Iterator[Recording]:
        """The recordings of one patient, in order of arrival, each opened when it is asked for."""
        patient_key = self.patient_key(pseudonym)
        for row in self.index.recordings(pseudonym):
            yield self.open_recording(row, patient_key)

    def facts_of_recordings(self, pseudonym: str) -> tuple[RecordingFacts, ...]:
        """Where the recordings of one patient come from, in the order of :meth:`recordings`."""
        patient_key = self.patient_key(pseudonym)
        return tuple(self.cipher.recording_facts(patient_key, row) for row in self.index.recordings(pseudonym))

    def check(self, facts: PatientFacts) -> None:
        """Raise ``vault-patient-conflict`` where the vault knows this patient with another label or sex,
        ``consent-withdrawn`` where the facts give a consent that was withdrawn."""
        known = self.find(facts.patient_id)
        if known is None:
            return
        if attribute := known.facts.conflict(facts):
            raise GaitkeeperError("vault-patient-conflict", pseudonym=known.pseudonym, attribute=attribute)
        if back := known.facts.given_back(facts):
            raise GaitkeeperError("consent-withdrawn", pseudonym=known.pseudonym, purposes=words_for(back))

    def holds(self, patient_id: str, source_sha256: str) -> bool:
        """Whether this source is stored for this patient. Raises ``vault-other-patient`` where it is another's."""
        return self._stored(patient_id, source_sha256) is not None

    def verify(self) -> tuple[Damage, ...]:
        """Open everything, and name whatever is damaged, missing, exchanged or unknown to the index."""
        return check_vault(self)

    # -- writing

    def add(self, patient: PatientFacts, recording: Recording, facts: RecordingFacts, *, update: bool = False) -> Added:
        """Store a recording, durably, under a patient who is made where the vault does not know them.

        The same source twice is stored once. ``update`` permits another label or sex for a known patient. Raises
        ``vault-patient-conflict``, ``vault-other-patient``, ``disk-full``, ``vault-busy``; then nothing is changed.
        """
        with self.writing():
            if not update:
                self.check(patient)
            if row := self._stored(patient.patient_id, facts.source_sha256):
                self._put_patient(patient)
                return Added(row.pseudonym, row.id, new=False)
            patient_row = self._merged_row(patient)
            patient_key = self.cipher.patient_key(patient_row)
            recording_id, pseudonym = secrets.token_hex(16), patient_row.pseudonym
            path = self.path_of(recording_id)
            write_durably(path, self.cipher.sealed_recording(patient_key, pseudonym, recording_id, recording))
            try:
                with self.index.transaction():
                    self.index.put_patient(patient_row)
                    self.index.put_recording(self.cipher.recording_row(patient_key, pseudonym, recording_id, facts))
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            return Added(pseudonym, recording_id, new=True)

    def update_patient(self, patient: PatientFacts) -> None:
        """Put new facts over those of a known patient; one whom the vault does not know is left alone."""
        with self.writing():
            self._put_patient(patient)

    def set_consent(self, pseudonym: str, consent: Consent) -> None:
        """Replace what a patient agreed to, durably. Raises ``vault-no-such-patient``."""
        self._replace_facts(pseudonym, consent=consent)

    def set_clinician_label(self, pseudonym: str, label: str | None) -> None:
        """Replace the label that a clinician set against a model's answer, durably; None for none. Training takes it
        only with the patient's consent to that. Raises ``vault-no-such-patient``."""
        self._replace_facts(pseudonym, clinician_label=label)

    def _replace_facts(self, pseudonym: str, **values: Any) -> None:
        import dataclasses

        with self.writing():
            row = self.row(pseudonym)
            facts = dataclasses.replace(self.cipher.facts(row), **values)
            with self.index.transaction():
                self.index.put_patient(self.cipher.sealed_patient(pseudonym, row.wrapped_key, facts))

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """The only writer, with the index sealed again at the end. Raises ``vault-busy``, and ``vault-damaged`` where
        the index is not the one that was sealed: what was changed by others must not be sealed as ours."""
        with self.locked(wait=True):
            self._make_sound()
            self.seal.begin()
            try:
                yield
            finally:
                self.seal.end(self.index.image())

    # -- for the other parts of this room

    def row(self, pseudonym: str) -> PatientRow:
        """A patient's row. Raises ``vault-no-such-patient``."""
        row = self.index.patient(pseudonym)
        if row is None:
            raise GaitkeeperError("vault-no-such-patient", pseudonym=pseudonym)
        return row

    def patient_key(self, pseudonym: str) -> bytes:
        """A patient's key. Raises ``vault-no-such-patient`` or ``envelope-damaged``."""
        return self.cipher.patient_key(self.row(pseudonym))

    def path_of(self, recording_id: str) -> Path:
        """The file of a recording or document."""
        return self._files / f"{recording_id}{_SUFFIX}"

    def files_on_disk(self) -> set[str]:
        """The names of all files among the recordings and documents."""
        return {path.name for path in self._files.iterdir()}

    def open_recording(self, row: RecordingRow, patient_key: bytes) -> Recording:
        """A recording. Raises ``vault-recording-missing``, ``envelope-damaged``, ``recording-damaged``."""
        try:
            sealed = self.path_of(row.id).read_bytes()
        except FileNotFoundError as error:
            raise GaitkeeperError("vault-recording-missing", pseudonym=row.pseudonym) from error
        return self.cipher.recording(patient_key, row, sealed)

    @contextlib.contextmanager
    def locked(self, *, wait: bool) -> Iterator[bool]:
        """Hold the writers' lock, which the system releases when a process dies. False where it is held and we do not
        wait; waiting has a deadline."""
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield _take(handle, self.folder, BUSY_TIMEOUT_S if wait else 0.0)
        finally:
            os.close(handle)

    # -- inside

    def _patient(self, row: PatientRow, recordings: int) -> Patient:
        facts = self.cipher.facts(row)
        return Patient(row.pseudonym, facts, recordings, facts.consent.given if facts.consent else self._unsaid)

    def _merged_row(self, patient: PatientFacts) -> PatientRow:
        lookup = self.cipher.lookup(patient.patient_id)
        if (known := self.index.patient_by_lookup(lookup)) is not None:
            facts = self.cipher.facts(known).merged(patient)
            return self.cipher.sealed_patient(known.pseudonym, known.wrapped_key, facts)
        pseudonym = self.index.erased().get(lookup) or self.cipher.pseudonym(patient.patient_id)
        return self.cipher.sealed_patient(pseudonym, self.cipher.new_patient_key(pseudonym), patient)

    def _put_patient(self, patient: PatientFacts) -> None:
        known = self.index.patient_by_lookup(self.cipher.lookup(patient.patient_id))
        if known is None:
            return
        facts = self.cipher.facts(known)
        if (merged := facts.merged(patient)) != facts:
            with self.index.transaction():
                self.index.put_patient(self.cipher.sealed_patient(known.pseudonym, known.wrapped_key, merged))

    def _stored(self, patient_id: str, source_sha256: str) -> RecordingRow | None:
        row = self.index.recording_by_source(self.cipher.source(source_sha256))
        if row is None:
            return None
        owner = self.index.patient_by_lookup(self.cipher.lookup(patient_id))
        if owner is None or owner.pseudonym != row.pseudonym:
            raise GaitkeeperError("vault-other-patient", pseudonym=row.pseudonym)
        return row

    # -- opening

    def _open_index(self, key: SiteKey) -> VaultIndex:
        path = self.folder / "index.sqlite"
        make_private_folder(self.folder)
        make_private_folder(self._files)
        if path.exists() and path.stat().st_size:
            return VaultIndex(path)  # no lock: readers must not wait for a writer
        with self.locked(wait=True):
            if any(self._files.glob(f"*{_SUFFIX}")):
                raise GaitkeeperError("vault-damaged", path=path, detail="it is gone, yet there are recordings")
            index = VaultIndex(path)
            path.chmod(0o600)
            _settle(index, key)
        return index

    def _identify(self, key: SiteKey) -> str:
        """The vault's random id; refuses a key that did not make it, and migrates an older format."""
        meta = self.index.meta()
        if not meta and not any(self._files.glob(f"*{_SUFFIX}")):
            _settle(self.index, key)  # a first opening was killed half-way
            meta = self.index.meta()
        if not {"format", "vault", "key_check"} <= set(meta):
            detail = "it does not say which vault it belongs to"
            raise GaitkeeperError("vault-damaged", path=self.index.path, detail=detail)
        if meta["format"] not in {str(known).encode() for known in range(1, INDEX_FORMAT + 1)}:
            found = meta["format"].decode(errors="replace")
            raise GaitkeeperError("vault-format-unknown", found=found, known=INDEX_FORMAT)
        vault_id = meta["vault"].decode(errors="replace")
        if not hmac.compare_digest(meta["key_check"], key_check(key, vault_id)):
            raise GaitkeeperError("vault-wrong-key", path=self.folder)
        if int(meta["format"]) < INDEX_FORMAT:
            self._migrate()
        return vault_id

    def _migrate(self) -> None:
        with self.locked(wait=True), self.index.transaction():
            if int(self.index.meta()["format"]) < INDEX_FORMAT:  # another process may have been faster
                self.index.migrate()

    def _remove_left_overs(self) -> None:
        """Remove what a kill left: temporary files, and sealed files that no index knows; seal again what a kill left
        unsealed. Not while another writes."""
        with self.locked(wait=False) as alone:
            if not alone:
                return
            known = {self.path_of(file_id).name for file_id in self.index.file_ids()}
            for name in self.files_on_disk() - known:
                if is_temporary(name) or name.endswith(_SUFFIX):
                    (self._files / name).unlink(missing_ok=True)
            with contextlib.suppress(GaitkeeperError):  # damage stays for verify and for writers to tell
                if self.seal.state() == "writing":
                    self._make_sound()

    def _make_sound(self) -> None:
        """Under the lock: make sure that the index is the one that was sealed, or, after a kill, that each of its
        records opens, and seal it. Raises ``vault-damaged``."""
        if self._known_sound:
            return
        image = self.index.image()
        if self.seal.holds(image):
            self._known_sound = True
            return
        if self.seal.state() == "sealed":
            detail = "it was changed by something else than Gaitkeeper"
            raise GaitkeeperError("vault-damaged", path=self.index.path, detail=detail)
        if found := check_index(self):
            raise GaitkeeperError("vault-damaged", path=self.index.path, detail=f"{found[0].what}: {found[0].detail}")
        self.seal.end(image)
        self._known_sound = True


def _settle(index: VaultIndex, key: SiteKey) -> None:
    """Give a new index its tables and the vault's random id, unless another process was faster."""
    vault_id = secrets.token_hex(16)
    meta = {
        "format": str(INDEX_FORMAT).encode(),
        "vault": vault_id.encode(),
        "key_check": key_check(key, vault_id),
    }
    with index.transaction():
        if not index.meta():
            index.settle(meta)


def _take(handle: int, folder: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError as error:
            if seconds == 0.0:
                return False
            if time.monotonic() > deadline:
                raise GaitkeeperError("vault-busy", path=folder, seconds=seconds) from error
            time.sleep(0.02)
