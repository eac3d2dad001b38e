"""What a report may know of the patient."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PatientContext:
    """What the report may know of the patient: the pseudonym, and age and sex for the choice of norms. No name."""

    pseudonym: str
    age: float | None = None
    sex: str = ""
    height_m: float | None = None
