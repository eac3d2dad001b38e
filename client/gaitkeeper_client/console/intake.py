"""The way in: who may hand in a recording of whom, how large, of which kind, and byte by byte."""

from __future__ import annotations

import dataclasses
import shutil
import threading

from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.jobs import Job, Room
from gaitkeeper_client.console.kinds import check_head, suffix_of
from gaitkeeper_client.console.uploads import SEGMENT_BYTES, UploadFacts
from gaitkeeper_client.lab.options import LONGEST_AID, check_aid
from gaitkeeper_client.language.texts import say
from gaitkeeper_client.vault.cohort import AID, check_age, parse_consent, parse_height, parse_moment, parse_sex
from gaitkeeper_client.vault.consent import unless_said
from gaitkeeper_client.vault.records import PatientFacts
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.clock import iso

SPARE_BYTES = 500_000_000
"""Room that an upload must leave on the disk."""
_LONGEST = {"patient": 200, "file_name": 255, "note": 4_000}
_one_at_a_time = threading.Lock()


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What somebody says of a recording that is to come, as they wrote it. ``size`` in bytes."""

    patient: str
    file_name: str
    size: int
    height_m: str = ""
    age: str = ""
    sex: str = ""
    recorded_at: str = ""
    consent: str = ""
    note: str = ""
    aid: str = ""


def begin(console: Console, owner: str, asked: Asked, *, known_only: bool = False) -> Job:
    """Start an upload. ``known_only``: of a patient whom the vault knows, ``patient-unknown`` otherwise.

    Raises ``console-bad-input``, ``console-upload-kind``, ``console-upload-too-large``, ``console-no-room``,
    ``console-too-many-uploads``, ``consent-missing``, ``vault-patient-conflict``.
    """
    facts = _facts(console, asked)
    _check_size(console, asked.size)
    with console.vault() as vault:
        if known_only and vault.find(facts.patient.patient_id) is None:
            raise GaitkeeperError("patient-unknown", patient=facts.patient.patient_id)
        pseudonym = check_patient(console, vault, facts.patient)
    job = console.queue.open(pseudonym, owner, asked.size, room=lambda: _room(console))
    console.uploads.begin(job, facts)
    console.record("upload-begun", owner, patient=pseudonym, job=job.id)
    return job


def append(console: Console, job: Job, offset: int, data: bytes) -> Job:
    """Take the next bytes of an upload; they are on the disk when this returns.

    Raises ``console-upload-offset``, ``console-upload-kind`` (then the upload is gone), ``console-bad-input``.
    """
    with _one_at_a_time:  # two senders of one upload must not mix their segments
        job = console.queue.get(job.id)
        if job.state != "receiving" or offset != job.received:
            raise GaitkeeperError("console-upload-offset", expected=job.received, offset=offset)
        if offset + len(data) > job.size:
            detail = say("details.more_bytes", came=offset + len(data), size=job.size)
            raise GaitkeeperError("console-bad-input", field=say("details.the_upload"), detail=detail)
        if not data:
            return job
        if len(data) > SEGMENT_BYTES:
            raise GaitkeeperError("console-too-large", most=SEGMENT_BYTES)
        if offset == 0:
            _check_head(console, job, data)
        console.uploads.append(job, offset, data)
        job = console.queue.received(job, offset + len(data))
    if job.state == "queued":
        console.record("upload-complete", job.owner, patient=job.pseudonym, job=job.id, size=job.size)
    return job


def cancel(console: Console, job: Job, by: str) -> None:
    """End an upload that is not whole, and forget its bytes. Raises ``console-upload-offset`` where it is whole."""
    if job.state != "receiving":
        raise GaitkeeperError("console-upload-offset", expected=job.received, offset=job.received)
    console.queue.conclude(job.id, "abandoned", None, None, say("details.taken_back"))
    console.uploads.remove(job)
    console.record("upload-cancelled", by, patient=job.pseudonym, job=job.id)


def _check_head(console: Console, job: Job, data: bytes) -> None:
    try:
        check_head(console.uploads.facts(job).suffix, data)
    except GaitkeeperError as error:
        console.queue.end(job.id, "refused", error=error)
        console.uploads.remove(job)
        console.record("upload-refused", job.owner, patient=job.pseudonym, job=job.id, code=error.code)
        raise


def _facts(console: Console, asked: Asked) -> UploadFacts:
    for name, longest in _LONGEST.items():
        value = getattr(asked, name)
        if len(value) > longest or "\0" in value:
            detail = say("details.longer_or_foreign", most=longest)
            raise GaitkeeperError("console-bad-input", field=say(f"details.{name}"), detail=detail)
    if not asked.patient.strip():
        raise GaitkeeperError("console-bad-input", field=say("details.patient"), detail=say("details.empty"))
    try:
        patient = PatientFacts(
            asked.patient.strip(),
            age=check_age(float(asked.age.replace(",", ".")) if asked.age.strip() else None),
            sex=parse_sex(asked.sex.strip()),
            height_m=parse_height(asked.height_m.strip()),
            extra=_extra(asked),
            consent=parse_consent(asked.consent),
        )
        moment = parse_moment(asked.recorded_at.strip())
    except ValueError as error:
        detail, field = str(error).rstrip("."), say("details.of_the_recording")
        raise GaitkeeperError("console-bad-input", field=field, detail=detail) from error
    return UploadFacts(patient, asked.file_name, suffix_of(asked.file_name), moment or iso(console.clock()))


def _extra(asked: Asked) -> dict[str, str]:
    """What is kept as text beside the recording: the note, and what the patient walked with."""
    try:
        aid = check_aid(asked.aid.strip() or None)
    except GaitkeeperError as error:
        detail = say("details.longer_or_foreign", most=LONGEST_AID)
        raise GaitkeeperError("console-bad-input", field=say("details.aid"), detail=detail) from error
    said = {"note": asked.note.strip(), AID: aid or ""}
    return {name: text for name, text in said.items() if text}


def _check_size(console: Console, size: int) -> None:
    if size < 1:
        raise GaitkeeperError("console-bad-input", field=say("details.size"), detail=say("details.no_byte"))
    if size > console.settings.upload_bytes:
        raise GaitkeeperError("console-upload-too-large", size=size, most=console.settings.upload_bytes)


def _room(console: Console) -> Room:
    """What the disk holds for uploads now."""
    free = shutil.disk_usage(console.home.path).free - SPARE_BYTES
    return Room(free, console.settings.workers)


def check_patient(console: Console, vault: Vault, facts: PatientFacts) -> str:
    """The pseudonym, known or to be. Raises ``consent-missing`` without consent for care, ``vault-patient-conflict``,
    ``consent-withdrawn``."""
    vault.check(facts)
    known = vault.find(facts.patient_id)
    before = vault.index.erased().get(vault.cipher.lookup(facts.patient_id))
    pseudonym = known.pseudonym if known is not None else before or vault.cipher.pseudonym(facts.patient_id)
    if known is None and facts.consent is None:
        purposes = unless_said(console.home)
    elif facts.consent is not None:
        purposes = facts.consent.given
    else:
        assert known is not None
        purposes = known.purposes
    if "care" not in purposes:
        raise GaitkeeperError("consent-missing", pseudonym=pseudonym, purpose="care")
    return pseudonym
