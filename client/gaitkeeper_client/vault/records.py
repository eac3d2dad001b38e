"""What a vault knows of a patient and of a recording: typed values, and their encoding before they are sealed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gaitkeeper_client.vault.consent import PRESUMABLE, Consent, Purpose, consent_of
from gaitkeeper_shared.errors import GaitkeeperError

Sex = Literal["female", "male", "other"]


@dataclass(frozen=True, slots=True)
class PatientFacts:
    """What a clinic says of a patient. ``age`` in years, ``height_m`` in metres; None where it does not say.

    ``extra``: further columns of the cohort, as text; a later recording's values replace an earlier one's.
    ``consent``: None where nobody said anything. ``clinician_label``: what a clinician set against a model's answer.
    """

    patient_id: str
    label: str | None = None
    age: float | None = None
    sex: Sex | None = None
    height_m: float | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    consent: Consent | None = None
    clinician_label: str | None = None

    def merged(self, newer: PatientFacts) -> PatientFacts:
        """These facts with those that ``newer`` knows put over them."""
        known = {
            item.name: getattr(newer, item.name)
            for item in dataclasses.fields(newer)
            if getattr(newer, item.name) is not None
        }
        if self.consent is not None and newer.consent is not None:
            known["consent"] = self.consent.updated(newer.consent)
        return dataclasses.replace(self, **{**known, "extra": {**self.extra, **newer.extra}})

    def conflict(self, newer: PatientFacts) -> str | None:
        """The attribute that cannot have changed between two visits and yet did, or None."""
        for name in ("label", "sex"):
            old, new = getattr(self, name), getattr(newer, name)
            if old is not None and new is not None and old != new:
                return name
        return None

    def given_back(self, newer: PatientFacts) -> frozenset[Purpose]:
        """The purposes that ``newer`` allows although a command withdrew them here."""
        if self.consent is None or newer.consent is None:
            return frozenset()
        return self.consent.withdrawn & newer.consent.given


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """Where a recording comes from. ``source_sha256`` in hex; times UTC, ISO 8601; ``extra`` as in the cohort's row."""

    source_sha256: str
    file_name: str
    added_at: str
    recorded_at: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Patient:
    """A patient of the vault. Everything outside the vault uses the ``pseudonym`` and nothing else.

    The pseudonym is a keyed hash of the clinic's identifier, or random in vaults of format 1. ``purposes``: what the
    patient's data may serve, by their consent or, where nobody said anything, by the site's policy.
    """

    pseudonym: str
    facts: PatientFacts
    recordings: int
    purposes: frozenset[Purpose] = PRESUMABLE

    def allows(self, purpose: Purpose) -> bool:
        """Whether the patient's data may serve this purpose."""
        return purpose in self.purposes

    @property
    def patient_id(self) -> str:
        """The clinic's own identifier; stays within the clinic's walls."""
        return self.facts.patient_id

    @property
    def label(self) -> str | None:
        """The clinic's diagnosis or group."""
        return self.facts.label

    @property
    def training_label(self) -> str | None:
        """The label that training learns from: a clinician's correction where the patient agreed to that, else the
        clinic's."""
        corrected = self.facts.clinician_label
        return corrected if corrected is not None and self.allows("labels") else self.label

    @property
    def age(self) -> float | None:
        """Years, at the latest recording."""
        return self.facts.age

    @property
    def sex(self) -> Sex | None:
        """As the clinic gave it."""
        return self.facts.sex

    @property
    def height_m(self) -> float | None:
        """Body height in metres."""
        return self.facts.height_m

    @property
    def extra(self) -> Mapping[str, str]:
        """Further columns of the cohort."""
        return self.facts.extra


@dataclass(frozen=True, slots=True)
class DocumentHead:
    """What a document about a patient is, without its content.

    ``name``: unique in the vault, and lasting: a new key changes files, not names. ``kind``: such as ``report``.
    ``created_at``, ``recorded_at``: UTC, ISO 8601. ``subject``: name of the document that this one is about.
    ``source_sha256``: of the recording that it is about, in hex; each empty where there is none.
    """

    name: str
    kind: str
    created_at: str
    recorded_at: str = ""
    subject: str = ""
    source_sha256: str = ""


def encode_facts(facts: PatientFacts | RecordingFacts) -> bytes:
    """JSON bytes; :func:`patient_facts` and :func:`recording_facts` are the inverse."""
    values = {item.name: getattr(facts, item.name) for item in dataclasses.fields(facts)}
    if isinstance(facts, PatientFacts):
        values["consent"] = None if facts.consent is None else facts.consent.table()
    return json.dumps({**values, "extra": dict(facts.extra)}, allow_nan=False).encode("utf-8")


def patient_facts(data: bytes) -> PatientFacts:
    """Facts of a patient from unsealed bytes. Raises ``recording-damaged`` for anything else."""
    values = _decoded(
        data, PatientFacts, optional=frozenset({"consent", "clinician_label"})
    )  # older vaults know neither
    return PatientFacts(**{**values, "consent": consent_of(values.get("consent"))})


def recording_facts(data: bytes) -> RecordingFacts:
    """Facts of a recording from unsealed bytes. Raises ``recording-damaged`` for anything else."""
    return RecordingFacts(**_decoded(data, RecordingFacts))


def encode_head(head: DocumentHead) -> bytes:
    """JSON bytes; :func:`document_head` is the inverse."""
    return json.dumps(dataclasses.asdict(head)).encode("utf-8")


def document_head(data: bytes) -> DocumentHead:
    """The head of a document from unsealed bytes. Raises ``recording-damaged`` for anything else."""
    return DocumentHead(**_decoded(data, DocumentHead))


def _decoded(
    data: bytes,
    kind: type[PatientFacts] | type[RecordingFacts] | type[DocumentHead],
    optional: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    try:
        values = json.loads(data)
    except ValueError as error:
        raise GaitkeeperError("recording-damaged", detail=str(error)) from error
    known = {item.name for item in dataclasses.fields(kind)}
    if not isinstance(values, dict) or not known - optional <= set(values) <= known:
        raise GaitkeeperError("recording-damaged", detail="the facts have other fields than this version writes")
    return values
