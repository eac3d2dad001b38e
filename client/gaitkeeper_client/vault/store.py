"""The vault: every recording sealed on its own, under its patient's key; an index that tells nothing without the key.

A recording is added in this order: sealed file written and renamed, then one transaction of the index. A kill between
the two leaves a file that no index knows, which the next opening removes. Readers need no lock; a writer holds one.
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

from gaitkeeper_client.vault.home import VAULT_FORMAT, SiteHome
from gaitkeeper_client.vault.index import BUSY_TIMEOUT_S, PatientRow, RecordingRow, VaultIndex
from gaitkeeper_client.vault.keys import SiteKey
from gaitkeeper_client.vault.records import (
    Patient,
    PatientFacts,
    RecordingFacts,
    encode_facts,
    patient_facts,
    recording_facts,
)
from gaitkeeper_shared.durable import full_disk_is_an_error, is_temporary, make_private_folder, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import Recording, decode_recording, encode_recording
from gaitkeeper_shared.trust.envelope import SealContext, new_key, seal, unseal

_SUFFIX = ".sealed"


@dataclass(frozen=True, slots=True)
class Added:
    """What :meth:`Vault.add` did; ``new`` is False where the vault held this source already."""

    pseudonym: str
    recording_id: str
    new: bool


@dataclass(frozen=True, slots=True)
class Damage:
    """One finding of :meth:`Vault.verify`. ``what`` names a patient or recording by random id only."""

    what: str
    detail: str


class Vault:
    """A site's encrypted store. Open with :meth:`open`, best in a ``with`` statement."""

    def __init__(self, folder: Path, key: SiteKey) -> None:
        self._folder = folder
        self._files = folder / "recordings"
        self._wrap_key = key.derive("vault/wrap")
        self._lookup_key = key.derive("vault/lookup")
        self._source_key = key.derive("vault/source")
        self._index = self._open_index(key)
        self._remove_left_overs()

    @classmethod
    def open(cls, home: SiteHome, key: SiteKey) -> Vault:
        """Open the vault of a home, making an empty one on first use.

        Raises ``vault-wrong-key``, ``vault-damaged``, ``vault-format-unknown``.
        """
        home.config()
        with full_disk_is_an_error(home.vault):
            return cls(home.vault, key)

    def __enter__(self) -> Vault:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def patients(self) -> tuple[Patient, ...]:
        """Every patient, in order of arrival."""
        return tuple(Patient(row.pseudonym, self._facts(row), count) for row, count in self._index.patients())

    def find(self, patient_id: str) -> Patient | None:
        """A patient by the clinic's own identifier."""
        row = self._index.patient_by_lookup(_keyed(self._lookup_key, patient_id))
        if row is None:
            return None
        return Patient(row.pseudonym, self._facts(row), len(self._index.recordings(row.pseudonym)))

    def recordings(self, pseudonym: str) -> Iterator[Recording]:
        """The recordings of one patient, in order of arrival, each opened when it is asked for."""
        patient_key = self._patient_key(pseudonym)
        for row in self._index.recordings(pseudonym):
            yield self._open_recording(row, patient_key)

    def facts_of_recordings(self, pseudonym: str) -> tuple[RecordingFacts, ...]:
        """Where the recordings of one patient come from, in the order of :meth:`recordings`."""
        patient_key = self._patient_key(pseudonym)
        return tuple(self._recording_facts(row, patient_key) for row in self._index.recordings(pseudonym))

    def check(self, facts: PatientFacts) -> None:
        """Raise ``vault-patient-conflict`` where the vault knows this patient with another label or sex."""
        known = self.find(facts.patient_id)
        if known is not None and (attribute := known.facts.conflict(facts)):
            raise GaitkeeperError("vault-patient-conflict", pseudonym=known.pseudonym, attribute=attribute)

    def holds(self, patient_id: str, source_sha256: str) -> bool:
        """Whether this source is stored for this patient. Raises ``vault-other-patient`` where it is another's."""
        return self._stored(patient_id, source_sha256) is not None

    def add(self, patient: PatientFacts, recording: Recording, facts: RecordingFacts, *, update: bool = False) -> Added:
        """Store a recording, durably, under a patient who is made where the vault does not know them.

        The same source twice is stored once. ``update`` permits another label or sex for a known patient. Raises
        ``vault-patient-conflict``, ``vault-other-patient``, ``disk-full``, ``vault-busy``; then nothing is changed.
        """
        with self._writing():
            if not update:
                self.check(patient)
            if row := self._stored(patient.patient_id, facts.source_sha256):
                self._put_patient(patient)
                return Added(row.pseudonym, row.id, new=False)
            patient_row = self._merged_row(patient)
            patient_key = self._unwrap(patient_row)
            recording_id = secrets.token_hex(16)
            path = self._path(recording_id)
            context = self._context("recording", patient_row.pseudonym, recording_id)
            write_durably(path, seal(patient_key, encode_recording(recording), context))
            source = _keyed(self._source_key, facts.source_sha256)
            context = self._context("recording-facts", patient_row.pseudonym, recording_id)
            record = seal(patient_key, encode_facts(facts), context)
            try:
                with self._index.transaction():
                    self._index.put_patient(patient_row)
                    self._index.put_recording(RecordingRow(recording_id, patient_row.pseudonym, source, record))
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            return Added(patient_row.pseudonym, recording_id, new=True)

    def update_patient(self, patient: PatientFacts) -> None:
        """Put new facts over those of a known patient; one whom the vault does not know is left alone."""
        with self._writing():
            self._put_patient(patient)

    def verify(self) -> tuple[Damage, ...]:
        """Open everything, and name whatever is damaged, missing, exchanged or unknown to the index."""
        found: list[Damage] = []
        if (integrity := self._index.integrity()) != "ok":
            found.append(Damage("index", integrity))
        try:
            rows, recordings = self._index.patients(), self._index.recordings()
        except GaitkeeperError as error:
            return (*found, Damage("index", error.message))
        keys: dict[str, bytes] = {}
        for row, _ in rows:
            try:
                facts = self._facts(row)
                keys[row.pseudonym] = self._unwrap(row)
                if row.lookup != _keyed(self._lookup_key, facts.patient_id):
                    found.append(Damage(f"patient {row.pseudonym}", "the index finds them under another identifier"))
            except GaitkeeperError as error:
                found.append(Damage(f"patient {row.pseudonym}", error.message))
        for recording in recordings:
            found.extend(self._verify_recording(recording, keys.get(recording.pseudonym)))
        unknown = self._files_on_disk() - {self._path(recording.id).name for recording in recordings}
        found.extend(Damage(f"file {name}", "the index does not know it") for name in sorted(unknown))
        return tuple(found)

    # -- patients and their keys

    def _context(self, kind: str, *ids: str) -> SealContext:
        return SealContext(kind, (str(VAULT_FORMAT), self._vault_id, *ids))

    def _unwrap(self, row: PatientRow) -> bytes:
        what = f"the key of patient {row.pseudonym}"
        return unseal(self._wrap_key, row.wrapped_key, self._context("patient-key", row.pseudonym), what=what)

    def _facts(self, row: PatientRow) -> PatientFacts:
        what = f"the record of patient {row.pseudonym}"
        return patient_facts(unseal(self._unwrap(row), row.record, self._context("patient", row.pseudonym), what=what))

    def _patient_key(self, pseudonym: str) -> bytes:
        row = self._index.patient(pseudonym)
        if row is None:
            raise GaitkeeperError("vault-no-such-patient", pseudonym=pseudonym)
        return self._unwrap(row)

    def _merged_row(self, patient: PatientFacts) -> PatientRow:
        lookup = _keyed(self._lookup_key, patient.patient_id)
        known = self._index.patient_by_lookup(lookup)
        if known is None:
            pseudonym, patient_key = f"p-{secrets.token_hex(8)}", new_key()
            wrapped = seal(self._wrap_key, patient_key, self._context("patient-key", pseudonym))
            facts = patient
        else:
            pseudonym, wrapped, patient_key = known.pseudonym, known.wrapped_key, self._unwrap(known)
            facts = self._facts(known).merged(patient)
        record = seal(patient_key, encode_facts(facts), self._context("patient", pseudonym))
        return PatientRow(pseudonym, lookup, wrapped, record)

    def _put_patient(self, patient: PatientFacts) -> None:
        known = self._index.patient_by_lookup(_keyed(self._lookup_key, patient.patient_id))
        if known is None or self._facts(known).merged(patient) == self._facts(known):
            return
        with self._index.transaction():
            self._index.put_patient(self._merged_row(patient))

    # -- recordings and their files

    def _path(self, recording_id: str) -> Path:
        return self._files / f"{recording_id}{_SUFFIX}"

    def _files_on_disk(self) -> set[str]:
        return {path.name for path in self._files.iterdir()}

    def _stored(self, patient_id: str, source_sha256: str) -> RecordingRow | None:
        row = self._index.recording_by_source(_keyed(self._source_key, source_sha256))
        if row is None:
            return None
        owner = self._index.patient_by_lookup(_keyed(self._lookup_key, patient_id))
        if owner is None or owner.pseudonym != row.pseudonym:
            raise GaitkeeperError("vault-other-patient", pseudonym=row.pseudonym)
        return row

    def _open_recording(self, row: RecordingRow, patient_key: bytes) -> Recording:
        try:
            sealed = self._path(row.id).read_bytes()
        except FileNotFoundError as error:
            raise GaitkeeperError("vault-recording-missing", pseudonym=row.pseudonym) from error
        context = self._context("recording", row.pseudonym, row.id)
        return decode_recording(unseal(patient_key, sealed, context, what=f"recording {row.id}"))

    def _recording_facts(self, row: RecordingRow, patient_key: bytes) -> RecordingFacts:
        context = self._context("recording-facts", row.pseudonym, row.id)
        return recording_facts(unseal(patient_key, row.record, context, what=f"the record of recording {row.id}"))

    def _verify_recording(self, row: RecordingRow, patient_key: bytes | None) -> list[Damage]:
        what = f"recording {row.id}"
        if patient_key is None:
            return [Damage(what, "its patient's key cannot be opened")]
        try:
            self._open_recording(row, patient_key)
            facts = self._recording_facts(row, patient_key)
        except GaitkeeperError as error:
            return [Damage(what, error.message)]
        if row.source != _keyed(self._source_key, facts.source_sha256):
            return [Damage(what, "the index finds it under another source")]
        return []

    # -- opening and locking

    def _open_index(self, key: SiteKey) -> VaultIndex:
        path = self._folder / "index.sqlite"
        make_private_folder(self._folder)
        make_private_folder(self._files)
        if path.exists() and path.stat().st_size:
            index = VaultIndex(path)  # no lock: readers must not wait for a writer
        else:
            with self._locked(wait=True):
                if any(self._files.glob(f"*{_SUFFIX}")):
                    raise GaitkeeperError("vault-damaged", path=path, detail="it is gone, yet there are recordings")
                index = VaultIndex(path)
                path.chmod(0o600)
                self._settle(index, key)
        try:
            self._vault_id = self._identify(index, key)
        except BaseException:
            index.close()
            raise
        return index

    def _settle(self, index: VaultIndex, key: SiteKey) -> None:
        """Give a new index its tables and the vault's random id, unless another process was faster."""
        vault_id = secrets.token_hex(16)
        meta = {
            "format": str(VAULT_FORMAT).encode(),
            "vault": vault_id.encode(),
            "key_check": _keyed(key.derive("vault/check"), vault_id),
        }
        with index.transaction():
            if not index.meta():
                index.settle(meta)

    def _identify(self, index: VaultIndex, key: SiteKey) -> str:
        """The vault's random id; refuses a key that did not make it."""
        meta = index.meta()
        if not meta and not any(self._files.glob(f"*{_SUFFIX}")):
            self._settle(index, key)  # a first opening was killed half-way
            meta = index.meta()
        if not {"format", "vault", "key_check"} <= set(meta):
            raise GaitkeeperError("vault-damaged", path=index.path, detail="it does not say which vault it belongs to")
        if meta["format"] != str(VAULT_FORMAT).encode():
            found = meta["format"].decode(errors="replace")
            raise GaitkeeperError("vault-format-unknown", found=found, known=VAULT_FORMAT)
        vault_id = meta["vault"].decode(errors="replace")
        if not hmac.compare_digest(meta["key_check"], _keyed(key.derive("vault/check"), vault_id)):
            raise GaitkeeperError("vault-wrong-key", path=self._folder)
        return vault_id

    def _remove_left_overs(self) -> None:
        """Remove what a kill left: temporary files, and sealed files that no index knows. Not while another writes."""
        with self._locked(wait=False) as alone:
            if not alone:
                return
            known = {self._path(row.id).name for row in self._index.recordings()}
            for name in self._files_on_disk() - known:
                if is_temporary(name) or name.endswith(_SUFFIX):
                    (self._files / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._locked(wait=True):
            yield

    @contextlib.contextmanager
    def _locked(self, *, wait: bool) -> Iterator[bool]:
        """Hold the writers' lock, which the system releases when a process dies. False where it is held and we do not
        wait; waiting has a deadline."""
        handle = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield _take(handle, self._folder, BUSY_TIMEOUT_S if wait else 0.0)
        finally:
            os.close(handle)


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


def _keyed(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode("utf-8"), "sha256")
